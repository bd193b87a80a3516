"""Do the directions of `named` do to a face, in pixels, what their names say? Measured by geometry.

    python -m hsem.recipes.named       # whose directions it takes
    python -m hsem.recipes.geometry

The judge finds the parts of a face and measures them (`hsem.judges.geometry`); it knows no smile.
New people are drawn with each direction from -2 to 2, and with random directions of its norm at
both ends; the pictures are kept until all are measured. `geometry` is about the default model and
the directions of `named`, `geometry-obeys` about its twin and those of `named-obeys`,
`geometry-mouth` about the mouth that `named-mouth` found. About 30,000 runs of the network each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.diffusion.schedule import Schedule
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges import geometry

from . import command
from .parts import FLOAT, Parts, drawn

MEASURED = {
    "smile": "mouth_curve", "mouth_open": "mouth_opening", "eye_open": "eye_opening",
    "yaw": "head_turn",
}  # fmt: skip
"""Directions that have a measure of their own."""
ETA = 1.0


VARIANTS: dict[str, dict[str, Any]] = {
    "geometry": {},
    "geometry-obeys": {"model": "portraits-64-obeys", "directions": "named-obeys"},
    "geometry-mouth": {"directions": "named-mouth", "reach": 3.0},
}
SMALL = {"people": 8}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "new samples behind each curve"),
        draws=(2, "random directions beside each"), reach=(2.0, "end of the sliders"),
        directions=("named", "stored results that hold them"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(20 * args.people * (len(MEASURED) * (4 + 2 * args.draws) + 1))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of one model and its stored directions."""
    directions = results.load_or_make(args.directions, model).directions
    wanted = {name: directions[name] for name in MEASURED if name in directions}
    judge = geometry.load(device=model.device)
    parts = Parts(args.output, model, **vars(args))
    people = range(FIRST_SEED, FIRST_SEED + args.people)
    scales = [args.reach * s for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    tensors: dict[str, Tensor] = {"scales": torch.tensor(scales, **FLOAT)}

    def measured(key: str, direction: hsem.Direction, scale: float) -> Tensor:
        """Measures, and whether each can be believed, (2, people, 6)."""
        grid = Schedule(model.alpha_bar, direction.timesteps)
        edit = hsem.add(direction, scale) if scale else None
        images = parts(key, lambda: drawn(model, people, schedule=grid, eta=ETA, edit=edit))
        shares = judge.parts(images.clamp(-1, 1))
        return torch.stack([geometry.measure(shares), geometry.seen(shares).float()])

    def keep(key: str, found: list[Tensor]) -> None:
        both = torch.stack(found)  # (scales, 2, people, 6)
        tensors[key], tensors[f"{key}/seen"] = both[:, 0], both[:, 1].to(torch.uint8)

    for name, direction in wanted.items():
        rows = [measured(f"{name}/{s}" if s else "plain", direction, s) for s in scales]
        keep(f"curve/{name}", rows)
    for name in wanted:
        for seed in range(args.draws):
            random = hsem.random_like(wanted[name], torch.Generator().manual_seed(seed))
            ends = [measured(f"random/{name}/{seed}/{s}", random, s) for s in scales[::4]]
            keep(f"random/{name}/{seed}", ends)
    return parts.finish(
        "geometry", args, tensors, columns=list(judge.names), people=args.people,
        first_seed=FIRST_SEED, eta=ETA, steps=len(next(iter(wanted.values())).timesteps),
        own={name: MEASURED[name] for name in wanted}, directions_of=args.directions,
        unit="pixels of a 64x64 portrait", measured_by="the geometric judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
