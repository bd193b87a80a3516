"""How local are the directions of one image, of its regions, and of PCA, at equal norm?

    python -m hsem.recipes.regions              # 47,000 runs of the network
    python -m hsem.recipes.regions --m 100      # with a GPU

For the chapters "Directions of one image" and "Regions". Needs the results of principal.py, and of
named.py its direction of glasses: "cleared" ones are those of the eyes without it (eq. 12). Every
edit has the same norm at every step: that of two standard deviations along the first principal
component, so that no method wins by pushing harder or less. "Matched" ones are Jacobian directions
as strong in the finished picture as the principal ones. What is measured is the difference of the
finished pictures: where, by the second judge, and, of portraits, by geometry in pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.judges import geometry
from hsem.unsupervised import masks
from hsem.unsupervised.focus import Outside

from . import command
from .parts import FLOAT, WHOLE, Parts, drawn
from .reference import Judge, judges_of, kind_of, region_of, strength_of

WAYS: tuple[tuple[str, Outside], ...] = (("masked", "ignore"), ("focused", "penalise"))
REGIONS = ("eyes", "mouth", "hair")
FIRST = 2_000_000  # seed of the first image
KINDS = [
    *(f"jacobian {j}" for j in range(3)), *(f"{how} {name}" for name in REGIONS for how, _ in WAYS),
    *(f"pca {j}" for j in range(3)), "random", *(f"cleared {how}" for how, _ in WAYS),
    *(f"matched {j}" for j in range(3)),
]  # fmt: skip
ENDS = (1.0, -1.0)  # times the norm: which way a direction points is arbitrary
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
    inside = [masks.share_inside(change, m).float() for m in regions]
    shift = (judge(images.clamp(-1, 1)) - judge(plain.clamp(-1, 1))) / judge.spread
    moved = shift.square().mean(dim=1).sqrt()
    return torch.cat([torch.stack([box, half, rms, moved, *inside], dim=1), shift], dim=1)


def shapes(images: Tensor, judge: geometry.PortraitGeometry) -> tuple[Tensor, Tensor]:
    """Measures of faces in pixels, and whether each can be believed, (n, 6) each."""
    parts = judge.parts(images.clamp(-1, 1))
    return geometry.measure(parts).float(), geometry.seen(parts).to(torch.uint8)


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, m=(32, "images"), step=(int, "step index where the Jacobian is taken"),
        rank=(8, "of the null space outside the mask"),
        principal=("principal", "results of that recipe"),
        directions=("named", "results with that of glasses"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    edits, products = len(ENDS) * (len(KINDS) - 3) + 3, 2 * 400
    return int(args.m * (20 * (edits + 1) + products))


def fill(options: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One row of measures for each image and direction."""
    judge = judges_of(model)[1]  # chose no example
    principal = results.load_or_make(options.principal, model)
    steps, eta = principal.provenance["steps"], principal.provenance["eta"]
    step = options.step if options.step is not None else round(0.4 * steps)
    gamma = strength_of(principal)
    regions = [region_of(model, name) for name in REGIONS]
    common = {"steps": steps, "eta": eta}
    grid = model.schedule(steps)
    glasses = results.load_or_make(options.directions, model).directions["glasses"].resampled(grid)
    shaper = geometry.load(device=model.device) if kind_of(model) == "portraits" else None

    def of_image(seed: int) -> dict[str, Tensor]:
        """Everything about one image, as rows of the tables below."""
        samples = hsem.sample(model, [seed], progress=False, **common)
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
        for how, _ in WAYS:
            rest = hsem.project_out(edits[f"{how} eyes"], [glasses])
            edits[f"cleared {how}"] = rest.rescaled_like(like)
        assert list(edits) == KINDS[: len(edits)]
        stack = torch.stack([v.delta_h for v in edits.values()])  # one edit per sample of a batch
        same = [seed] * len(stack)
        ends = [drawn(model, same, edit=hsem.add(stack, gamma * end), **common) for end in ENDS]
        # Equal norm is not equal effect: once more, as strong as the principal ones turned out.
        strength = (ends[0] - samples.images).square().mean(dim=(1, 2, 3)).sqrt()
        target = strength[[i for i, name in enumerate(edits) if name.startswith("pca")]].mean()
        alike = hsem.add(stack[:3], gamma * target / strength[:3])
        matched = drawn(model, [seed] * 3, edit=alike, **common)
        plus, minus = (
            measures(x, samples.images.expand_as(x), regions, judge)
            for x in (torch.cat([ends[0], matched]), ends[1])
        )
        shape: dict[str, Tensor] = {}
        if shaper is not None:
            found = [shapes(x, shaper) for x in (samples.images, *ends)]
            shape = {
                "plain_geometry": found[0][0],
                "geometry": torch.stack([x - found[0][0] for x, _ in found[1:]], dim=1)[None],
                "geometry_seen": torch.stack([x * found[0][1] for _, x in found[1:]], dim=1)[None],
            }
        return {
            "measures": plus[None],
            "measures_minus": minus[None],
            "plain": judge(samples.images.clamp(-1, 1)).float(),
            **shape,
            "first_order_share": torch.tensor(found_inside, **FLOAT).reshape(1, len(REGIONS), 2),
            "products": torch.tensor(products, **WHOLE).reshape(1, len(REGIONS), 2),
        }

    parts = Parts(
        options.output, model, **vars(options), directions_of=principal.provenance["date"]
    )
    seeds = range(FIRST, FIRST + options.m)
    tables = parts.over("image", seeds, lambda which: of_image(which[0]), size=1)
    return parts.finish(
        "regions", options,
        # measures: (m, kinds, 4 + regions + attributes); measures_minus the same for -gamma, of all
        # kinds but the matched ones: a mouth may open on one side only. geometry: (m, kinds but the
        # matched, ENDS, 6), pixels more than unedited, whose own are plain_geometry;
        # geometry_seen: whether to believe it. plain: scores of the unedited.
        tables | {"area": torch.stack([m.mean() for m in regions])},
        kinds=KINDS, columns=["box", "half", "rms", "moved", *REGIONS, *judge.names],
        regions=list(REGIONS), ends=list(ENDS), shapes=list(geometry.NAMES) if shaper else [],
        shape_spread=shaper.spread.tolist() if shaper else [],
        m=options.m, step=step, gamma=gamma, steps=steps, eta=eta, first_seed=FIRST,
        rank=options.rank, measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
