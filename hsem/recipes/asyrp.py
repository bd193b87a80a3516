"""Results for "Asyrp, and which steps matter": edits with and without Asyrp (SM B, Figs. 11, 12).

    python -m hsem.recipes.asyrp                # a quarter of an hour on one core

Needs the directions of `named` and the strength of `principal`. Each direction is applied plainly,
by Asyrp at several scales, and by Asyrp with the scale of each step that `first_order` foretells.
How far each picture lies from the plain edit is stored, and that of Asyrp along the *other*
directions, as a control. The same for directions of algorithm 1 that are kept to the eyes and to
the mouth of single images. About 45,000 runs of the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.diffusion.schedule import Schedule, sigma
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges import geometry
from hsem.judges.scorers import scores_of

from . import command
from .expressions import all_of, split
from .parts import FLOAT, WHOLE, Parts, drawn
from .reference import judges_of, kind_of, region_of, strength_of

NAMES = ("yaw", "age", "gender", "glasses")  # of Fig. 12
REGIONS = ("eyes", "mouth")  # of Fig. 11
SCALES = (0.3, 0.45, 1.0)
KINDS = ("none", "plain", *(f"asyrp {s:g}" for s in SCALES), "asyrp by step")
OPENED = {"eyes": "eye_opening", "mouth": "mouth_opening"}
FIRST = FIRST_SEED + 50_000  # of people that no other chapter looks at
OWN = 2_000_000  # the images of `regions`
ETA = 1.0
SMALL = {"people": 8, "images": 2}


def first_order(schedule: Schedule, eta: float) -> Tensor:
    """(T,): a plain edit as a multiple of the same edit by Asyrp, at each step, if h acts linearly.

    A shift d of the noise moves x by c_P d through P_t (eq. 3) and by c_D d through D_t (eq. 4),
    which has the other sign. Asyrp keeps c_P alone, so the plain edit is 1 + c_D / c_P times that:
    one minus the ratio of the signal-to-noise ratios before and after the step for eta = 1, of
    their roots for eta = 0.
    """
    found = []
    for _, a, a_prev in schedule:
        through_p = -sqrt(a_prev * (1 - a) / a)
        through_d = sqrt(max(1 - a_prev - sigma(a, a_prev, eta) ** 2, 0.0))
        found.append(1 + through_d / through_p)
    return torch.tensor(found, **FLOAT)


def rms(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square difference of each picture, (n,)."""
    return (a - b).square().mean(dim=(1, 2, 3)).sqrt()


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "new samples for each direction"),
        images=(8, "images with their own directions"),
        rank=(8, "of the null space outside the mask"),
        directions=("named", "stored results to take"),
        principal=("principal", "results whose strength is taken"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; one by Asyrp, or a Jacobian product, counts as two at most."""
    people = args.people * (len(NAMES) + 1 / 4) * 20
    return int(people * (1.5 + 2 * (len(KINDS) - 2)) + args.images * (20 * 21 + 2 * 130))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of named directions, and of directions of single images."""
    judge = judges_of(model)[1]  # chose no example
    shapes = geometry.load(device=model.device) if kind_of(model) == "portraits" else None
    scorer = all_of(judge, shapes)
    named = results.load_or_make(args.directions, model)
    parts = Parts(args.output, model, **vars(args), directions_of=named.provenance["date"])
    directions = {name: named.directions[name] for name in NAMES}
    grid = Schedule(model.alpha_bar, directions["yaw"].timesteps)
    tensors: dict[str, Tensor] = {
        f"first order/{eta:g}": first_order(grid, eta) for eta in (0.0, ETA)
    }

    people = range(FIRST, FIRST + args.people)
    few = people[: max(2, args.people // 4)]
    bare = {
        eta: parts(
            f"none, eta {eta:g}",
            lambda eta=eta, seeds=seeds: drawn(model, seeds, schedule=grid, eta=eta),
        )
        for eta, seeds in ((ETA, people), (0.0, few))
    }

    def of_kinds(key: str, seeds: Sequence[int], v: hsem.Direction, eta: float) -> Tensor:
        """Pictures of all kinds, (kinds, n, 3, H, W), in parts."""
        by_step = v.delta_h * first_order(grid, eta).to(v.delta_h).view(-1, 1, 1, 1)
        edits: list[tuple[Any, bool]] = [(hsem.add(v), False)]
        edits += [(hsem.add(v, s), True) for s in SCALES]
        edits.append((hsem.add(by_step), True))

        def some(which: Sequence[int]) -> dict[str, Tensor]:
            found = [
                drawn(model, which, schedule=grid, eta=eta, edit=edit, asyrp=asyrp)
                for edit, asyrp in edits
            ]
            return {"images": torch.stack(found, dim=1)}

        edited = parts.over(key, seeds, some, 16)["images"].transpose(0, 1)
        return torch.cat([bare[eta][None], edited])

    def keep(key: str, images: Tensor) -> None:
        scores = torch.stack([scores_of(scorer, x.clamp(-1, 1)) for x in images])
        cut = split(key, scores.flatten(0, 1), judge)
        tensors.update({k: x.unflatten(0, images.shape[:2]) for k, x in cut.items()})
        tensors[f"apart/{key}"] = torch.stack([rms(x, images[1]) for x in images])

    pictures = {name: of_kinds(name, people, v, ETA) for name, v in directions.items()}
    for name, images in pictures.items():
        keep(name, images)
        others = torch.stack([
            torch.stack([rms(x, images[1]) for x in pictures[other][2:]])
            for other in directions if other != name
        ])  # fmt: skip
        tensors[f"others/{name}"] = others.flatten(0, 1)  # (3 * kinds of Asyrp, people)
    keep("yaw, eta 0", of_kinds("yaw, eta 0", few, directions["yaw"], 0.0))

    principal = results.load_or_make(args.principal, model)
    gamma = strength_of(principal)
    step = round(0.4 * len(grid.timesteps))
    own_people = range(OWN, OWN + args.images)

    def of_image(seed: int) -> dict[str, Tensor]:
        """Directions of one image for each region, and the pictures of all kinds."""
        with results.in_dtype(model, torch.float32):
            start = hsem.sample(model, [seed], schedule=grid, eta=ETA, progress=False)
            v = torch.cat([
                hsem.image_directions(
                    model, start, step=step, k=1, mask=region_of(model, region),
                    outside="penalise", rank=args.rank,
                ).v
                for region in REGIONS
            ])  # fmt: skip
        shift = gamma * v[:, None].expand(-1, len(grid.timesteps), -1, -1, -1)
        at: dict[str, Any] = {"schedule": grid, "eta": ETA}
        both = torch.cat([shift, -shift])
        with_it = drawn(model, [seed] * len(both), edit=hsem.add(both), **at)
        plain = drawn(model, [seed], **at)
        sign = torch.ones(len(REGIONS), **FLOAT)
        if shapes is not None:  # the end that opens more, by the plain edit
            lengths = scores_of(shapes, with_it.clamp(-1, 1)).unflatten(0, (2, len(REGIONS)))
            for r, region in enumerate(REGIONS):
                k = shapes.names.index(OPENED[region])
                sign[r] = 1.0 if float(lengths[0, r, k]) >= float(lengths[1, r, k]) else -1.0
        r_t = first_order(grid, ETA).to(shift).view(1, -1, 1, 1, 1)
        shift = shift * sign.to(shift).view(-1, 1, 1, 1, 1)
        kinds = [*(s * shift for s in SCALES), r_t * shift]
        edit, same = hsem.add(torch.cat(kinds)), [seed] * len(kinds) * len(REGIONS)
        by_asyrp = drawn(model, same, edit=edit, asyrp=True, **at)
        by_asyrp = by_asyrp.unflatten(0, (len(kinds), len(REGIONS)))
        up, down = with_it.split(len(REGIONS))
        chosen = torch.where(sign.view(-1, 1, 1, 1) > 0, up, down)
        images = torch.cat([plain.expand_as(chosen)[None], chosen[None], by_asyrp])
        return {"v": (v * sign.view(-1, 1, 1, 1))[None], "images": images[None]}

    found = parts.over("own", own_people, lambda which: of_image(which[0]), size=1)
    for r, region in enumerate(REGIONS):
        keep(f"own/{region}", found["images"][:, :, r].transpose(0, 1))
    return parts.finish(
        "asyrp", args,
        # by direction: scores (kinds, people, attributes), "apart/", "geometry/" and "seen/" of it
        tensors | {"own/v": found["v"][:4], "own/step": torch.tensor([step], **WHOLE)},
        kinds=list(KINDS), scales=list(SCALES), names=list(NAMES), regions=list(REGIONS),
        columns=list(judge.names), lengths=list(shapes.names) if shapes else [],
        people=args.people, first_seed=FIRST, images=args.images, first_image=OWN, step=step,
        gamma=gamma, rank=args.rank, steps=len(grid.timesteps), eta=ETA, scale=1.0,
        measured_by="the second judge", directions_of=args.directions,
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
