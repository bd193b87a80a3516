"""Directions of several moments in the making of four images, each at its own step and at all.

    python -m hsem.recipes.moments      # about two minutes on one core

For SM D (Figs. 13 to 16) in the chapter "Directions of one image". The three leading directions at
each of five steps, both ways, with a quarter of the norm of regions.py; beside them random
directions of that norm. What is kept is the pictures, and where and in which attributes they
changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results

from . import command
from .command import run
from .parts import FLOAT, Parts
from .reference import judges_of, region_of
from .regions import measures
from .sheets import packed

FIRST = 1_000_002  # seed of the first image
AT = (0.1, 0.25, 0.4, 0.6, 0.8)  # of the way from noise to picture
K, REACH = 3, 0.25
WHERE = ("its own step", "all steps")
VARIANTS: dict[str, dict[str, Any]] = {"moments": {}}
SMALL = {"m": 2}
EXACT = True  # it takes derivatives


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--m", type=int, default=4, help="images")
    parser.add_argument("--principal", default="principal", help="results of that recipe")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    return int(args.m * (20 * (1 + len(AT) * (K + 1) * 4) + len(AT) * 2 * 30))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of each image a sheet of pictures for each way to apply, and their measures."""
    judge = judges_of(model)[1]
    principal = results.load_or_make(args.principal, model)
    steps, eta = principal.provenance["steps"], principal.provenance["eta"]
    gamma = 2 * REACH * median(principal.directions["pca/0"].step_norms().tolist())
    common: dict[str, Any] = {"steps": steps, "eta": eta, "progress": False}
    moments = sorted({round(at * steps) for at in AT})
    regions = [region_of(model, name) for name in ("eyes", "mouth")]
    signs = torch.tensor([-gamma, gamma] * (K + 1), **FLOAT)

    def of_image(seed: int) -> dict[str, Tensor]:
        samples = hsem.sample(model, [seed], record=("h",), **common)
        plain = samples.images
        spectrum = hsem.image_spectrum(model, samples, steps=moments, k=K, progress=False)
        tables, pictures = [], []
        for at in spectrum:
            generator = torch.Generator().manual_seed(seed + at.i)
            noise = torch.randn(at.v[:1].shape, generator=generator, **FLOAT)
            v = torch.cat([at.v, (noise / noise.norm()).to(at.v)])
            edit = hsem.add(v.repeat_interleave(2, 0)[:, None].expand(-1, steps, -1, -1, -1), signs)
            for how in (hsem.only_at(edit, [at.i]), edit):
                x = hsem.sample(
                    model, [seed] * len(signs), edit=how, record=(), **common
                ).images  # fmt: skip
                tables.append(measures(x, plain.expand_as(x), regions, judge))
                pictures.append(x[: 2 * K])
        found = torch.stack(tables).reshape(len(moments), 2, K + 1, 2, -1)
        sheets = torch.stack(pictures).unflatten(0, (len(moments), 2))  # (t, 2, 2 K, 3, H, W)
        return {
            "measures": found[None],
            **{f"sheet/{k}": packed(sheets[:, k]) for k in range(2)},
            "values": torch.stack([at.s for at in spectrum])[None].float(),
        }

    parts = Parts(args.output, model, **vars(args), directions_of=principal.provenance["date"])
    rows = [
        parts.tensors(f"image/{k}", lambda seed=seed: of_image(seed))  # type: ignore[misc]
        for k, seed in enumerate(tqdm(range(FIRST, FIRST + args.m), unit="image"))
    ]
    sheets = {f"{key}/{k}": row[key] for k, row in enumerate(rows) for key in row if "sheet" in key}
    path = results.save(
        args.output, model,
        # measures: (m, moments, WHERE, K and a random one, -γ and +γ, columns), as in regions.py;
        # sheet/w/k: pictures of image k, (moments, v1 -γ, v1 +γ, v2 -γ, ...), see sheets.py.
        {key: torch.cat([row[key] for row in rows]) for key in ("measures", "values")} | sheets,
        columns=["box", "half", "rms", "moved", "eyes", "mouth", *judge.names],
        moments=moments, timesteps=[model.schedule(steps).timesteps[i] for i in moments],
        where=list(WHERE), k=K, m=args.m, gamma=gamma, steps=steps, eta=eta, first_seed=FIRST,
        measured_by="the second judge", command=command.said("moments", args),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
