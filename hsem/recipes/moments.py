"""Directions of several moments in the making of four images, each at its own step and at all.

    python -m hsem.recipes.moments      # 7,000 runs of the network

For SM D (Figs. 13 to 16) in the chapter "Directions of one image". The three leading directions at
each of five steps, both ways, with a quarter of the norm of regions.py; beside them random
directions of that norm. What is kept is the pictures, and where and in which attributes they
changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results

from . import command
from .parts import FLOAT, Parts, drawn
from .reference import judges_of, region_of, strength_of
from .regions import measures
from .sheets import packed

FIRST = 1_000_002  # seed of the first image
AT = (0.1, 0.25, 0.4, 0.6, 0.8)  # of the way from noise to picture
K, REACH = 3, 0.25
WHERE = ("its own step", "all steps")
SMALL = {"m": 2}
EXACT = True  # it takes derivatives


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, m=(4, "images"), principal=("principal", "results of that recipe"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    return int(args.m * (20 * (1 + len(AT) * (K + 1) * 4) + len(AT) * 2 * 30))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of each image a sheet of pictures for each way to apply, and their measures."""
    judge = judges_of(model)[1]
    principal = results.load_or_make(args.principal, model)
    steps, eta = principal.provenance["steps"], principal.provenance["eta"]
    gamma = REACH * strength_of(principal)
    common: dict[str, Any] = {"steps": steps, "eta": eta}
    moments = sorted({round(at * steps) for at in AT})
    regions = [region_of(model, name) for name in ("eyes", "mouth")]
    signs = torch.tensor([-gamma, gamma] * (K + 1), **FLOAT)

    def of_image(seed: int) -> dict[str, Tensor]:
        samples = hsem.sample(model, [seed], progress=False, **common)
        plain = samples.images
        spectrum = hsem.image_spectrum(model, samples, steps=moments, k=K, progress=False)
        tables, pictures = [], []
        for at in spectrum:
            generator = torch.Generator().manual_seed(seed + at.i)
            noise = torch.randn(at.v[:1].shape, generator=generator, **FLOAT)
            v = torch.cat([at.v, (noise / noise.norm()).to(at.v)])
            edit = hsem.add(v.repeat_interleave(2, 0)[:, None].expand(-1, steps, -1, -1, -1), signs)
            for how in (hsem.only_at(edit, [at.i]), edit):
                x = drawn(model, [seed] * len(signs), edit=how, **common)
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
    seeds = enumerate(tqdm(range(FIRST, FIRST + args.m), unit="image"))
    rows = [parts.tensors(f"image/{k}", of_image, seed) for k, seed in seeds]
    sheets = {f"{key}/{k}": row[key] for k, row in enumerate(rows) for key in row if "sheet" in key}
    return parts.finish(
        "moments", args,
        # measures: (m, moments, WHERE, K and a random one, -γ and +γ, columns), as in regions.py;
        # sheet/w/k: pictures of image k, (moments, v1 -γ, v1 +γ, v2 -γ, ...), see sheets.py.
        {key: torch.cat([row[key] for row in rows]) for key in ("measures", "values")} | sheets,
        columns=["box", "half", "rms", "moved", "eyes", "mouth", *judge.names],
        moments=moments, timesteps=[model.schedule(steps).timesteps[i] for i in moments],
        where=list(WHERE), k=K, m=args.m, gamma=gamma, steps=steps, eta=eta, first_seed=FIRST,
        measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
