"""Results for "Asyrp, and which steps matter": when an edit acts, and where it was found (SM D).

    python -m hsem.recipes.steps                # a quarter of an hour on one core

Three questions. Named directions act in one window of the steps only: what does each window do?
Directions of algorithm 1, found at one step, act in the window of another, or in all. And the
noise of eq. 5 is switched on for none, the first, the last, or all of the steps: does a direction
that was found with eta = 1 still work? A random direction of equal norm goes through each of them.
Needs the directions of `named` and the strength of `principal`. About 65,000 runs of the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.diffusion.replay import Replay
from hsem.diffusion.schedule import Schedule
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges import geometry
from hsem.judges.scorers import scores_of

from . import command
from .asyrp import OWN, rms
from .expressions import all_of, split
from .parts import FLOAT, Parts, as_long_as_any, drawn
from .reference import judges_of, kind_of, strength_of
from .regions import measures

NAMES = ("yaw", "age", "glasses", "smile")
EDITS = ("none", "yaw", "smile", "random")  # under each schedule of eta
WINDOWS = 5
K = 3
FIRST = FIRST_SEED + 60_000
STEPS, ETA = 20, 1.0
SMALL = {"people": 8, "images": 2}


def windows(steps: int = STEPS) -> list[range]:
    """The steps in windows of equal length, noisiest first."""
    size = steps // WINDOWS
    return [range(w * size, (w + 1) * size) for w in range(WINDOWS)]


def etas(steps: int = STEPS) -> dict[str, list[float]]:
    """Schedules of eta: fresh noise in none, the first half, the last half, or all of the steps."""
    half = steps // 2
    off, on = [0.0] * half, [1.0] * half
    return {"none": off + off, "first": on + off, "last": off + on, "all": on + on}


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared cosine between two spans, (k, d) with orthonormal rows: 1 the same, 0 none."""
    return (a.double() @ b.double().T).square().sum() / len(a)


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "new samples for each direction"),
        images=(12, "images with their own directions"),
        directions=("named", "stored results to take"),
        principal=("principal", "results whose strength is taken"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs; a Jacobian product counts as two."""
    parted = sum(STEPS - w[0] for w in windows()) + STEPS  # each window from its first step on
    people = (len(NAMES) + 1) * parted + STEPS + 4 * len(EDITS) * STEPS
    image = 2 * (WINDOWS + 1) * (parted + STEPS) + WINDOWS * 2 * 60
    return int(args.people * people + args.images * image)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: windows, steps where directions were found, and schedules of eta."""
    judge = judges_of(model)[1]  # chose no example
    shapes = geometry.load(device=model.device) if kind_of(model) == "portraits" else None
    scorer = all_of(judge, shapes)
    named = results.load_or_make(args.directions, model)
    grid = Schedule(model.alpha_bar, named.directions["yaw"].timesteps)
    if grid.timesteps != model.schedule(STEPS).timesteps:
        raise ValueError(f"{args.directions!r} holds directions for other steps than {STEPS}")
    parts = Parts(args.output, model, **vars(args), directions_of=named.provenance["date"])
    directions = {name: named.directions[name] for name in NAMES}
    directions["random"] = as_long_as_any(directions)
    people = range(FIRST, FIRST + args.people)
    tensors: dict[str, Tensor] = {}

    def judged(key: str, images: Tensor, plain: Tensor) -> None:
        """Scores (edits, n, ...) of pictures (n, edits, 3, H, W), and how far they moved."""
        scores = torch.stack([scores_of(scorer, x.clamp(-1, 1)) for x in images.transpose(0, 1)])
        cut = split(key, scores.flatten(0, 1), judge)
        tensors.update({k: x.unflatten(0, scores.shape[:2]) for k, x in cut.items()})
        if len(images) == len(plain):
            tensors[f"rms/{key}"] = torch.stack([rms(x, plain) for x in images.transpose(0, 1)])

    def in_windows(which: Sequence[int]) -> dict[str, Tensor]:
        replay = Replay(model, which, steps=STEPS, eta=ETA)
        found = {"plain": replay.images[:, None]}
        for name, v in directions.items():
            edit = hsem.add(v)
            images = [
                replay.edited(hsem.only_at(edit, window), first=window[0]) for window in windows()
            ]
            found[name] = torch.stack([*images, replay.edited(edit)], dim=1)
        return found

    runs_of = parts.over("windows", people, in_windows, 16)
    for name, images in runs_of.items():
        judged(f"window/{name}", images, runs_of["plain"][:, 0])
    tensors["norms"] = torch.stack([v.step_norms().float() for v in directions.values()])

    for label, eta in etas().items():

        def with_noise(which: Sequence[int], eta: list[float] = eta) -> dict[str, Tensor]:
            edits = [None if e == "none" else hsem.add(directions[e]) for e in EDITS]
            found = [drawn(model, which, schedule=grid, eta=eta, edit=edit) for edit in edits]
            return {"images": torch.stack(found, dim=1)}

        images = parts.over(f"eta {label}", people, with_noise, 16)["images"]
        judged(f"eta/{label}", images, images[:, 0])

    principal = results.load_or_make(args.principal, model)
    gamma = strength_of(principal)
    at = [window[len(window) // 2] for window in windows()]

    def of_image(seed: int) -> dict[str, Tensor]:
        """Directions found at each of `at`, and what the first of each does where it is used."""
        with results.in_dtype(model, torch.float32):
            start = hsem.sample(model, [seed], schedule=grid, eta=ETA, progress=False)
            spectrum = hsem.image_spectrum(model, start, steps=at, k=K, progress=False)
        v = torch.stack([found.v for found in spectrum])  # (windows, K, C, h, w)
        random = torch.randn(v.shape[2:], generator=torch.Generator().manual_seed(seed), **FLOAT)
        rows = torch.cat([v[:, 0], random[None] / random.norm()])
        ends = torch.cat([rows, -rows])  # both ends of each: which way it points is arbitrary
        shift = (gamma * ends[:, None]).expand(-1, STEPS, -1, -1, -1)
        edit = hsem.add(shift)
        replay = Replay(model, [seed] * len(ends), steps=STEPS, eta=ETA)
        plain = replay.images[:1]
        uses = [replay.edited(hsem.only_at(edit, w), first=w[0]) for w in windows()]
        images = torch.stack([*uses, replay.edited(edit)], dim=1)  # (2 * rows, uses, ...)
        flat = images.flatten(0, 1)
        box, _, far, moved = measures(flat, plain.expand_as(flat), [], judge)[:, :4].unbind(1)
        shape = (2, len(rows), len(windows()) + 1)
        return {
            "found/measures": torch.stack([far, moved, box], dim=1).unflatten(0, shape)[None],
            "found/v": v.flatten(2)[None],
            "found/values": torch.stack([found.s.float() for found in spectrum])[None],
        }

    seeds = range(OWN, OWN + args.images)
    found = parts.over("found", seeds, lambda which: of_image(which[0]), size=1)
    v = found.pop("found/v")  # (images, windows, K, d)
    tensors["found/first"] = v[0, :, 0].unflatten(1, model.h_shape)  # of one image, to be shown
    tensors |= found
    pairs = [(a, b) for a in range(WINDOWS) for b in range(WINDOWS)]
    tensors["found/overlap"] = torch.stack([
        torch.stack([overlap(x[a], x[b]) for a, b in pairs]).view(WINDOWS, WINDOWS) for x in v
    ])  # fmt: skip
    tensors["found/overlap of neighbours"] = torch.stack([
        torch.stack([overlap(x[a], y[a]) for a in range(WINDOWS)])
        for x, y in zip(v, v.roll(1, 0), strict=True)
    ])  # fmt: skip
    angles = [[hsem.largest_principal_angle(x[a], x[b]) for a, b in pairs] for x in v]
    tensors["found/angle"] = torch.tensor(angles, **FLOAT).view(-1, WINDOWS, WINDOWS)
    return parts.finish(
        "steps", args, tensors, names=list(directions), edits=list(EDITS),
        schedules=list(etas()), windows=[[w[0], w[-1]] for w in windows()], found_at=at, k=K,
        rows=[*map(str, at), "random"], columns=list(judge.names),
        lengths=list(shapes.names) if shapes else [], measures=["rms", "moved", "box"],
        people=args.people, first_seed=FIRST, images=args.images, first_image=OWN, gamma=gamma,
        steps=STEPS, eta=ETA, scale=1.0, measured_by="the second judge",
        directions_of=args.directions,
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
