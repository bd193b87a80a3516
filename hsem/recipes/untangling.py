"""Results for "Untangling" (Fig. 9): what a projection takes out of directions that are entangled.

Every ordered pair of the five directions of Table I whose cosine is beyond a quarter: the first as
it was found, and with the second projected out, at equal length, on new people. Then the paper's
own examples, whatever their cosines: age without gender, and glasses without age and gender, read
in two ways. And the open mouth of `named-mouth`, which is a laugh, without the smile, at both ends
of its slider. About 30,000 runs of the network. Needs both results of `named.py`.

    python -m hsem.recipes.untangling
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .parts import Parts
from .reference import judges_of
from .table_one import ATTRIBUTES

FIRST = FIRST_SEED + 50_000  # people that no other chapter looks at
LEAST = 0.25  # of the cosine, to call two directions entangled
MOUTH = "mouth_open"
SMALL = {"people": 4}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "new samples, with every edit"),
        directions=("named", "stored results to take them from"),
        mouths=("named-mouth", "those that hold the open mouth"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs: unedited, five directions, a dozen projections or so, a laugh."""
    return int(20 * args.people * (1 + len(ATTRIBUTES) + 14 + 4))


def projections(directions: dict[str, hsem.Direction]) -> dict[str, hsem.Direction]:
    """Each projection by its name, as "hat ⊥ gender", stretched to the length of the original."""
    found = {}
    for a, v in directions.items():
        for b, other in directions.items():
            if a != b and abs(v.cosine(other)) > LEAST:
                found[f"{a} ⊥ {b}"] = hsem.project_out(v, [other])
    glasses, age, gender = (directions[name] for name in ("glasses", "age", "gender"))
    found["age ⊥ gender"] = hsem.project_out(age, [gender])
    found["glasses ⊥ age, gender"] = hsem.project_out(glasses, [age, gender])
    found["glasses ⊥ age, gender, by step"] = hsem.project_out(
        glasses, [age, gender], per_step=True
    )
    return {name: like(v, directions[name.split(" ⊥ ")[0]]) for name, v in found.items()}


def like(v: hsem.Direction, original: hsem.Direction) -> hsem.Direction:
    """The first direction, as long as the second: tamer only if it points to something else."""
    return v * (original.norm() / v.norm())


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of all people with each edit."""
    judge = judges_of(model)[1]  # chose no example
    named = results.load_or_make(args.directions, model)
    wide = results.load_or_make(args.mouths, model)
    directions = {name: named.directions[name] for name in ATTRIBUTES}
    edits = {**directions, **projections(directions)}
    dates = [x.provenance["date"] for x in (named, wide)]
    parts = Parts(args.output, model, **vars(args), directions_of=dates)
    eta, grid = named.provenance["eta"], directions[ATTRIBUTES[0]].timesteps
    people = range(FIRST, FIRST + args.people)

    scores = partial(edited_scores, model, judge, people, grid, eta=eta)
    tensors = {"plain": parts("plain", scores, None)}
    bar = tqdm(edits.values(), unit="edit")
    found = [parts(f"edit/{k}", scores, hsem.add(v)) for k, v in enumerate(bar)]
    tensors["scores"] = torch.stack(found)  # (edits, people, attributes)

    mouth, reach = wide.directions[MOUTH], float(wide["scales"].max())
    moves = mouth, like(hsem.project_out(mouth, [directions["smile"]]), mouth)
    laugh = [
        parts(f"laugh/{k}/{end}", scores, hsem.add(v, end * reach))
        for k, v in enumerate(moves)
        for end in (-1, 1)
    ]
    # (as found and without the smile, both ends, people, attributes)
    tensors["laugh"] = torch.stack(laugh).unflatten(0, (2, 2))
    return parts.finish(
        "untangling", args, tensors, edits=list(edits), columns=list(judge.names),
        people=args.people, first_seed=FIRST, least=LEAST, eta=eta, reach=reach,
        steps=named.provenance["steps"], directions_of=named.provenance["date"],
        measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
