"""How local are the directions of one image, of its regions, and of PCA, at equal norm?

    python -m hsem.recipes.regions              # about ten minutes on two cores
    python -m hsem.recipes.regions --m 100      # with a GPU

For the chapters "Directions of one image" and "Regions". Needs the results of principal.py. Every
edit has the same norm at every step: that of two standard deviations along the first principal
component, so that no method wins by pushing harder or less. "Matched" ones are Jacobian directions
as strong in the finished picture as the principal ones. What is measured is the difference of the
finished pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.unsupervised import masks
from hsem.unsupervised.focus import Outside

from . import command
from .command import run
from .parts import FLOAT, WHOLE, Parts
from .reference import Judge, judges_of, region_of

WAYS: tuple[tuple[str, Outside], ...] = (("masked", "ignore"), ("focused", "penalise"))
REGIONS = ("eyes", "mouth", "hair")
FIRST = 2_000_000  # seed of the first image
KINDS = [
    *(f"jacobian {j}" for j in range(3)), *(f"{how} {name}" for name in REGIONS for how, _ in WAYS),
    *(f"pca {j}" for j in range(3)), "random", *(f"matched {j}" for j in range(3)),
]  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {"regions": {}}
SMALL = {"m": 2}
EXACT = True  # it takes derivatives


def measures(images: Tensor, plain: Tensor, regions: list[Tensor], judge: Judge) -> Tensor:
    """(n, 4 + regions + attributes): smallest boxes with 90 % and half of the squared change, as
    shares of the image; RMS change; RMS change of the attributes; share inside each region;
    change of each attribute."""
    change = images - plain
    if not bool((change.flatten(1).abs().amax(dim=1) > 0).all()):
        raise RuntimeError("an edit changed nothing")
    box, half = (
        torch.tensor([masks.smallest_box(c, x).area for c in change], **FLOAT) for x in (0.9, 0.5)
    )
    rms = change.square().mean(dim=(1, 2, 3)).sqrt()
    inside = torch.stack([masks.share_inside(change, m).float() for m in regions], dim=1)
    shift = (judge(images.clamp(-1, 1)) - judge(plain.clamp(-1, 1))) / judge.spread
    moved = shift.square().mean(dim=1).sqrt()
    return torch.cat([torch.stack([box, half, rms, moved], dim=1), inside, shift], dim=1)


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--m", type=int, default=32, help="images")
    parser.add_argument("--step", type=int, help="step index where the Jacobian is taken")
    parser.add_argument("--rank", type=int, default=8, help="of the null space, see hsem.focus")
    parser.add_argument("--principal", default="principal", help="results of that recipe")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    edits, products = 2 * len(KINDS), 2 * 400
    return int(args.m * (20 * (edits + 1) + products))


def fill(options: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One row of measures for each image and direction."""
    judge = judges_of(model)[1]  # chose no example
    principal = results.load_or_make(options.principal, model)
    steps, eta = principal.provenance["steps"], principal.provenance["eta"]
    step = options.step if options.step is not None else round(0.4 * steps)
    gamma = 2 * median(principal.directions["pca/0"].step_norms().tolist())
    regions = [region_of(model, name) for name in REGIONS]
    common = {"steps": steps, "eta": eta, "progress": False}

    def of_image(seed: int) -> dict[str, Tensor]:
        """Everything about one image, as rows of the tables below."""
        samples = hsem.sample(model, [seed], record=("h",), **common)
        own = hsem.image_directions(model, samples, step=step, k=3)
        edits = {f"jacobian {j}": own[j] for j in range(3)}
        found_inside, products = [], []
        for name, mask in zip(REGIONS, regions, strict=True):
            for how, outside in WAYS:
                part = hsem.image_directions(
                    model, samples, step=step, k=1, mask=mask, outside=outside, rank=options.rank
                )
                edits[f"{how} {name}"] = part[0]
                assert part.share is not None
                found_inside.append(float(part.share[0]))
                products.append(part.products)
        like = own[0]
        edits |= {
            f"pca {j}": principal.directions[f"pca/{j}"].rescaled_like(like) for j in range(3)
        }
        edits["random"] = hsem.random_like(like, torch.Generator().manual_seed(seed))
        assert list(edits) == KINDS[: len(edits)]
        stack = torch.stack([v.delta_h for v in edits.values()])  # one edit per sample of a batch
        images, other = (
            hsem.sample(
                model, [seed] * len(stack), edit=hsem.add(stack, g), record=(), **common
            ).images
            for g in (gamma, -gamma)
        )
        # Equal norm is not equal effect: once more, as strong as the principal ones turned out.
        strength = (images - samples.images).square().mean(dim=(1, 2, 3)).sqrt()
        target = strength[[i for i, name in enumerate(edits) if name.startswith("pca")]].mean()
        matched = hsem.sample(
            model, [seed] * 3, edit=hsem.add(stack[:3], gamma * target / strength[:3]),
            record=(), **common,
        ).images  # fmt: skip
        images = torch.cat([images, matched])
        plus, minus = (
            measures(x, samples.images.expand_as(x), regions, judge) for x in (images, other)
        )
        return {
            "measures": plus[None],
            "measures_minus": minus[None],
            "first_order_share": torch.tensor(found_inside, **FLOAT).reshape(1, len(REGIONS), 2),
            "products": torch.tensor(products, **WHOLE).reshape(1, len(REGIONS), 2),
        }

    parts = Parts(
        options.output, model, **vars(options), directions_of=principal.provenance["date"]
    )
    seeds = range(FIRST, FIRST + options.m)
    tables = parts.over("image", seeds, lambda which: of_image(which[0]), size=1)
    path = results.save(
        options.output, model,
        # measures: (m, kinds, 4 + regions + attributes); measures_minus the same for -gamma, of all
        # kinds but the matched ones: which way a direction points is arbitrary, and a mouth may
        # open on one side only.
        tables | {"area": torch.stack([m.mean() for m in regions])},
        kinds=KINDS, columns=["box", "half", "rms", "moved", *REGIONS, *judge.names],
        regions=list(REGIONS), m=options.m, step=step, gamma=gamma, steps=steps, eta=eta,
        first_seed=FIRST, rank=options.rank, measured_by="the second judge",
        command=command.said("regions", options),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
