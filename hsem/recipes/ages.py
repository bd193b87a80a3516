"""Results for "Does h matter by itself?": directions with names in networks of several ages.

    python -m hsem.recipes.ages --also 2M=FOLDER 300k=FOLDER   # and other weights, by a label

The eight handles of "Directions with names", found anew in each network in one way: as many samples
of its own, as many extreme ones a side, chosen by the first judge; then pushed both ways on the
same new seeds, and measured by the second judge, beside a random direction as long as the longest.
What the file holds of weights that are not named is kept, as in `swap`. About 40,000 runs of each
network.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem.evaluation.effects import FIRST_SEED, edited_scores
from hsem.evaluation.targets import HANDLES

from . import command
from .named import logits_of
from .parts import FLOAT, Parts, as_long_as_any, crowd, finish
from .reference import judges_of
from .swap import MEASURED_BY, networks, stored

STEPS, ETA = 20, 1.0
SMALL = {"n": 64, "count": 8, "people": 6}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(800, "samples in the crowd"), count=(80, "examples per side"),
        people=(64, "new samples, pushed both ways"), reach=(2.0, "end of the sliders"),
        also=([], "LABEL=FOLDER of more models"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the networks run."""
    return int(STEPS * (args.n + args.people * (2 * len(HANDLES) + 3)) * (1 + len(args.also)))


def pushed(parts: Parts, model: hsem.HSpaceUNet, args: argparse.Namespace) -> dict[str, Tensor]:
    """Scores (3, people, attributes) of each handle and a random one: down, plain, up; in sd."""
    judge, second = judges_of(model)  # the first chooses, the second measures
    samples = crowd(parts, args.n, steps=STEPS, eta=ETA)
    table = logits_of(model, samples, judge)
    sets = [hsem.extremes(table, name, count=args.count) for name in HANDLES]
    directions = hsem.supervised_directions(model, sets, samples=samples)
    directions["random"] = as_long_as_any(directions)

    people = range(FIRST_SEED, FIRST_SEED + args.people)
    grid = samples.schedule.timesteps
    scores = partial(edited_scores, model, second, people, grid, eta=ETA)
    plain = parts("plain", lambda: scores(None))

    def both(direction: hsem.Direction) -> Tensor:
        ends = [scores(hsem.add(direction, sign * args.reach)) for sign in (-1, 1)]
        return torch.stack([ends[0], plain, ends[1]])

    found = {name: parts(name, both, direction) for name, direction in directions.items()}
    return {name: scores / second.spread for name, scores in found.items()}


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Of the model ("ordinary"), of its twin if it has one, and of others by a label."""
    asked = {key: getattr(args, key) for key in ("n", "count", "people", "reach")}
    tensors, prints = stored(args.output, **asked)
    kept: list[Parts] = []
    for label, one in networks(args, model):
        if prints.get(label) != one.fingerprint:
            parts = Parts(args.output, one, keep_crowd=args.keep_crowd, **asked)
            tensors |= {f"{label}/{key}": x for key, x in pushed(parts, one, args).items()}
            prints[label] = one.fingerprint
            kept.append(parts)
    return finish(
        "ages", args, model, {key: x.to(**FLOAT) for key, x in tensors.items()}, kept,
        columns=list(judges_of(model)[1].names), handles=list(HANDLES), fingerprints=prints,
        **asked, measured_by=MEASURED_BY, steps=STEPS, eta=ETA, first_seed=FIRST_SEED,
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
