"""Do the directions of `named` do to a face, in pixels, what their names say? Measured by geometry.

    python book/_tools/results/named.py       # whose directions it takes
    python book/_tools/results/geometry.py

The judge finds the parts of a face and measures them (`hsem.judges.geometry`); it knows no smile.
New people are drawn with each direction from -2 to 2, and with random directions of its norm at
both ends; the pictures are kept until all are measured. `geometry` is about the default model and
the directions of `named`, `geometry-obeys` about its twin and those of `named-obeys`. About 30,000
runs of the network each.
"""

from __future__ import annotations

import argparse
import shlex
import sys

import torch
from _parts import Parts
from torch import Tensor

import hsem
from hsem import results
from hsem.diffusion.schedule import Schedule
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges import geometry

MEASURED = {
    "smile": "mouth_curve", "mouth_open": "mouth_opening", "eye_open": "eye_opening",
    "yaw": "head_turn",
}  # fmt: skip
"""Directions that have a measure of their own."""
ETA = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=64, help="new samples behind each curve")
    parser.add_argument("--draws", type=int, default=2, help="random directions beside each")
    parser.add_argument("--reach", type=float, default=2.0, help="end of the sliders")
    parser.add_argument("--model", default="portraits-64", help="name of a packaged model")
    parser.add_argument("--directions", default="named", help="stored results that hold them")
    parser.add_argument("--output", help="name or path of the file (default: both)")
    args = parser.parse_args()
    if args.output:
        fill(args)
        return
    for output, model, directions in (
        ("geometry", "portraits-64", "named"),
        ("geometry-obeys", "portraits-64-obeys", "named-obeys"),
    ):
        more = {"output": output, "model": model, "directions": directions}
        fill(argparse.Namespace(**{**vars(args), **more}))


def fill(args: argparse.Namespace) -> None:
    """One file: of one model and its stored directions."""
    model = hsem.load(args.model, dtype=hsem.fast_dtype())
    directions = results.load(args.directions, model).directions
    wanted = {name: directions[name] for name in MEASURED if name in directions}
    judge = geometry.load(device=model.device)
    parts = Parts(args.output, model, **vars(args))
    people = range(FIRST_SEED, FIRST_SEED + args.people)
    scales = [args.reach * s for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    tensors: dict[str, Tensor] = {"scales": torch.tensor(scales)}

    def measured(key: str, direction: hsem.Direction, scale: float) -> Tensor:
        """Measures, and whether each can be believed, (2, people, 6)."""
        grid = Schedule(model.alpha_bar, direction.timesteps)
        edit = hsem.add(direction, scale) if scale else None
        images = parts(
            key,
            lambda: (
                hsem.sample(
                    model, people, schedule=grid, eta=ETA, edit=edit, record=(), progress=False
                ).images
            ),
        )
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
    path = results.save(
        args.output, model, tensors, columns=list(judge.names), people=args.people,
        first_seed=FIRST_SEED, eta=ETA, steps=len(next(iter(wanted.values())).timesteps),
        own={name: MEASURED[name] for name in wanted}, directions_of=args.directions,
        unit="pixels of a 64x64 portrait", measured_by="the geometric judge",
        command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    parts.clear()
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
