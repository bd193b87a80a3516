"""Results for "Real faces": what the expressions of given pictures do to generated people (SM F).

Needs the directions of `real_faces.py`. Two controls have the mean length of the six: a direction
between two groups of neutral people, and a random one. About 12,000 runs of the network.

    python -m hsem.recipes.expressions
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.directions.direction import Direction
from hsem.evaluation.effects import edited_scores

from . import command
from .command import run
from .parts import Parts
from .real_faces import EXPRESSIONS
from .reference import judges_of

FIRST = 3_000_000  # seed of the first person
ETA = 1.0
VARIANTS: dict[str, dict[str, Any]] = {"expressions": {}}
SMALL = {"people": 18}  # as many as the game on the page shows
EXACT = False


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--people", type=int, default=64, help="generated people")
    parser.add_argument("--scale", type=float, default=1.5, help="in lengths of the directions")
    parser.add_argument("--directions", default="real_faces", help="stored results to take")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(20 * args.people * (len(EXPRESSIONS) + 3))


def moves(directions: Mapping[str, Direction]) -> dict[str, Direction]:
    """The six directions, and two controls stretched to their mean length."""
    six = {name: directions[name] for name in EXPRESSIONS}
    usual = sum(float(v.norm()) for v in six.values()) / len(six)
    groups = directions["two groups"]
    random = hsem.random_like(groups, torch.Generator().manual_seed(0))
    controls = {"two groups": groups, "random": random}
    return six | {name: v * (usual / float(v.norm())) for name, v in controls.items()}


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of the same people as drawn, and with each direction."""
    judge = judges_of(model)[1]  # chose no example
    found = results.load_or_make(args.directions, model).directions
    parts = Parts(args.output, model, **vars(args))
    people, grid = range(FIRST, FIRST + args.people), found["two groups"].timesteps

    def scores(edit: hsem.Edit | None) -> Tensor:
        return edited_scores(model, judge, people, grid, edit, eta=ETA).cpu()

    edits = {"plain": None, **{n: hsem.add(v, args.scale) for n, v in moves(found).items()}}
    tensors = {
        name: parts(name, lambda edit=edit: scores(edit))  # type: ignore[misc]
        for name, edit in tqdm(edits.items(), unit="direction")
    }
    path = results.save(
        args.output, model, tensors, attributes=list(judge.names), people=args.people,
        scale=args.scale, first_seed=FIRST, eta=ETA, steps=len(grid),
        measured_by="the second judge", command=command.said("expressions", args),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
