"""Results for "Real faces": what directions of generated people do to given portraits.

    python -m hsem.recipes.given               # quarter of an hour on two cores

Held-out portraits are inverted and drawn again: unedited, with directions of `named`, and with a
random one. As many generated people are drawn with the same edits in the same way, without fresh
noise, so that given and made portraits are compared by one sampler. About 29,000 runs of the
network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .parts import Parts, as_long_as_any
from .reference import judges_of, pictures_of

EDITS, STRENGTH = ("yaw", "smile", "glasses", "age"), 1.5
STEPS, ROUNDS = 20, 10
SMALL = {"faces": 4}
EXACT = True  # it inverts


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, faces=(64, "held-out portraits, and as many generated people"),
        directions=("named", "stored results to edit with"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(STEPS * args.faces * (1 + ROUNDS + 2 * (len(EDITS) + 2)))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of given and of made people, by edit: "given/plain", "made/yaw", and so on."""
    judge = judges_of(model)[1]  # chose no example
    faces = pictures_of(model).images[: args.faces]
    schedule = model.schedule(STEPS)
    known = results.load_or_make(args.directions, model)
    parts = Parts(args.output, model, **vars(args), directions_of=known.provenance["date"])

    def inverted(which: Sequence[int]) -> dict[str, Tensor]:
        some = faces[list(which)]
        return {"x_T": hsem.invert(model, some, steps=STEPS, fixed_point=ROUNDS).x_T}

    x_T = parts.over("inverted", range(len(faces)), inverted, 16)["x_T"]
    moves = {name: known.directions[name].resampled(schedule) for name in EDITS}
    moves["random"] = as_long_as_any(moves)
    edits = {"plain": None, **{name: hsem.add(v, STRENGTH) for name, v in moves.items()}}
    people = range(FIRST_SEED, FIRST_SEED + len(faces))
    scores = partial(edited_scores, model, judge, people, schedule.timesteps, eta=0.0)
    tensors = {
        f"{whose}/{name}": parts(f"{whose}/{name}", partial(scores, edit, x_T=start))
        for whose, start in (("given", x_T), ("made", None))
        for name, edit in edits.items()
    }
    return parts.finish(
        "given", args, tensors, edits=list(EDITS), strength=STRENGTH, steps=STEPS, rounds=ROUNDS,
        eta=0.0, faces=len(faces), first_seed=FIRST_SEED, columns=list(judge.names),
        measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
