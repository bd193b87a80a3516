"""Results for "Real faces": what the expressions of given pictures do to generated people (SM F).

Needs the directions of `real_faces.py`. Two controls have the mean length of the six: a direction
between two groups of neutral people, and a random one. Of portraits the geometric judge measures
the same pictures, and the given ones. About 12,000 runs of the network.

    python -m hsem.recipes.expressions
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.directions.direction import Direction
from hsem.evaluation.effects import edited_scores
from hsem.judges import geometry
from hsem.judges.scorers import Scorer, from_function, scores_of

from . import command
from .parts import Parts
from .real_faces import EXPRESSIONS
from .reference import Judge, judges_of, kind_of

FIRST = 3_000_000  # seed of the first person
ETA = 1.0
SMALL = {"people": 18}  # as many as the game on the page shows
UNSEEN = {
    "happiness": 0.4, "sadness": 2.75, "anger": 3.3, "fear": 5.3, "disgust": 5.9, "surprise": 2.0,
}  # fmt: skip
"""What the renderer adds to each of the given expressions besides the factors, such as a wrinkled
nose: sum of the weights of such units, all zero in the pictures that the model learned from."""


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "generated people"), scale=(1.5, "in lengths of the directions"),
        directions=("real_faces", "stored results to take"),
    )  # fmt: skip


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


def all_of(judge: Judge, shapes: geometry.PortraitGeometry | None) -> Scorer:
    """One scorer: what a judge reads, the lengths that `shapes` measures, and if they are seen."""
    if shapes is None:
        return judge

    def read(images: Tensor) -> Tensor:
        shares = shapes.parts(images)
        columns = (judge(images), geometry.measure(shares), geometry.seen(shares))
        return torch.cat([c.double() for c in columns], dim=1)

    seen = [f"{name} seen" for name in shapes.names]
    return from_function(read, [*judge.names, *shapes.names, *seen])


def split(key: str, scores: Tensor, judge: Judge) -> dict[str, Tensor]:
    """What `all_of` gave, by who gave it: judge, geometry, and whether to believe the latter."""
    k = len(judge.names)
    found = {key: scores[:, :k]}
    if scores.shape[1] > k:
        lengths, seen = scores[:, k:].chunk(2, dim=1)
        found |= {f"geometry/{key}": lengths, f"seen/{key}": seen.to(torch.uint8)}
    return found


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of the same people as drawn, and with each direction."""
    judge = judges_of(model)[1]  # chose no example
    shapes = geometry.load(device=model.device) if kind_of(model) == "portraits" else None
    scorer = all_of(judge, shapes)
    found = results.load_or_make(args.directions, model).directions
    parts = Parts(args.output, model, **vars(args))
    people, grid = range(FIRST, FIRST + args.people), found["two groups"].timesteps

    scores = partial(edited_scores, model, scorer, people, grid, eta=ETA)
    edits = {"plain": None, **{n: hsem.add(v, args.scale) for n, v in moves(found).items()}}
    tensors: dict[str, Tensor] = {}
    for name, edit in tqdm(edits.items(), unit="direction"):
        tensors |= split(name, parts(name, scores, edit), judge)
    if shapes is not None:
        given = hsem.datasets.expressions(size=model.image_shape[1]).images
        tensors |= split("given", scores_of(scorer, given), judge)
    return parts.finish(
        "expressions", args, tensors, attributes=list(judge.names),
        lengths=list(shapes.names) if shapes else [], people=args.people,
        scale=args.scale, first_seed=FIRST, eta=ETA, steps=len(grid),
        measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
