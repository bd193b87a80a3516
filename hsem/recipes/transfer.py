"""Directions of one image, lent to strangers: do they do to others what they do to their owner?

    python -m hsem.recipes.transfer     # 23,000 runs of the network

For the chapters "Directions of one image" and "Regions". Eight owners, the first images of
regions.py, each with the directions of masked and penalised eyes and mouths and its own leading
one; all with half the norm of regions.py at every step. What is kept is the change of all
attributes, and of portraits of a face's shape, at both ends: of the owners, and of sixteen
strangers who are owners of nothing; and pictures of the owners, up to the whole norm.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.judges import geometry

from . import command
from .parts import Parts
from .reference import judges_of, kind_of, region_of, strength_of
from .regions import FIRST, WAYS, shapes
from .sheets import packed

REGIONS = ("eyes", "mouth")
KINDS = [*(f"{how} {name}" for name in REGIONS for how, _ in WAYS), "own"]
LENT = [k for k, kind in enumerate(KINDS) if not kind.startswith("masked")]
STRANGERS = 2_100_000  # seed of the first
SCALES = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the pictures, times the norm of regions.py
ENDS = (SCALES.index(-0.5), SCALES.index(0.5))  # where changes are measured
SMALL = {"owners": 2, "people": 3}
EXACT = True  # it takes derivatives


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, owners=(8, "images with directions of their own"),
        people=(16, "strangers they are lent to"), rank=(8, "of the null space outside the mask"),
        principal=("principal", "results of that recipe"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    edits = len(SCALES) * len(KINDS) + 2 * len(LENT) * args.people
    return int(args.owners * (20 * edits + 2 * 220) + 20 * args.people)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: directions of the owners, and the changes they make."""
    judge = judges_of(model)[1]  # chose no example
    shaper = geometry.load(device=model.device) if kind_of(model) == "portraits" else None
    principal = results.load_or_make(args.principal, model)
    steps, eta = principal.provenance["steps"], principal.provenance["eta"]
    far = strength_of(principal)
    step, grid = round(0.4 * steps), model.schedule(steps)
    common: dict[str, Any] = {"steps": steps, "eta": eta, "progress": False}
    parts = Parts(args.output, model, **vars(args), directions_of=principal.provenance["date"])
    people = range(STRANGERS, STRANGERS + args.people)

    def read(images: Tensor) -> Tensor:
        """All that is measured of pictures, (n, attributes and shapes)."""
        scores = judge(images.clamp(-1, 1)).float()
        return scores if shaper is None else torch.cat([scores, shapes(images, shaper)[0]], dim=1)

    def found(seed: int) -> Tensor:
        """The directions of one image, (kinds, C, h, w), each of norm one."""
        samples = hsem.sample(model, [seed], record=("h",), **common)
        given = {"step": step, "k": 1}
        vectors = [
            hsem.image_directions(
                model, samples, mask=region_of(model, name), outside=how, rank=args.rank, **given
            ).v[0]
            for name in REGIONS
            for _, how in WAYS
        ]
        return torch.stack([*vectors, hsem.image_directions(model, samples, **given).v[0]])

    def drawn(v: Tensor, seeds: Sequence[int], scale: float) -> Tensor:
        edit = hsem.add(hsem.spread_over_steps(v, grid), scale * far)
        return hsem.sample(model, seeds, edit=edit, record=(), **common).images

    def of_owner(seed: int) -> dict[str, Tensor]:
        vectors = found(seed)
        images = torch.stack([torch.cat([drawn(v, [seed], s) for s in SCALES]) for v in vectors])
        own = read(images[0, SCALES.index(0)][None])
        return {
            "plain_owners": own,
            "owners": torch.stack([read(row[list(ENDS)]) - own for row in images])[None],
            "strangers": torch.stack(
                [
                    torch.stack([read(drawn(vectors[k], people, SCALES[e])) - plain for e in ENDS])
                    for k in LENT
                ]
            )[None],
            "sheet": packed(images),
        }

    plain = parts("plain", lambda: read(hsem.sample(model, people, record=(), **common).images)).to(
        model.device
    )
    seeds = enumerate(tqdm(range(FIRST, FIRST + args.owners), unit="owner"))
    rows = [parts.tensors(f"owner/{k}", of_owner, seed) for k, seed in seeds]
    return parts.finish(
        "transfer", args,
        # owners: (owners, kinds, ends, columns), strangers: (owners, lent, ends, people, columns):
        # what was added to the unedited, which are plain_owners and plain. sheet/k: pictures of
        # owner k, (kinds, SCALES).
        {key: torch.cat([row[key] for row in rows]) for key in rows[0] if key != "sheet"}
        | {f"sheet/{k}": row["sheet"] for k, row in enumerate(rows)}
        | {"plain": plain},
        kinds=KINDS, lent=[KINDS[k] for k in LENT],
        columns=[*judge.names, *(geometry.NAMES if shaper else ())],
        spread=[*judge.spread.tolist(), *(shaper.spread.tolist() if shaper else [])],
        attributes=len(judge.names), owners=args.owners, people=args.people, step=step,
        gamma=far / 2, scales=list(SCALES), far=far, steps=steps, eta=eta,
        first_seed=FIRST, first_stranger=STRANGERS,
        measured_by="the second judge, and geometry in pixels",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
