"""Results for "Can you see it?": does a small network tell edits from unedited samples (SM G)?

For each kind of edit and each strength a detector is trained on half of the people and asked about
the other half, which it sees once as drawn and once edited, and never side by side. Controls: a
random direction as long as that of the head's turn, and two sets of unedited samples. Then samples
are told from real pictures, and that detector is asked about damaged ones and about edits. About
40,000 runs of the network.

    python -m hsem.recipes.detector
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.evaluation.detector import detector

from . import command
from .parts import FLOAT, Parts, as_long_as_any
from .reference import pictures_of

STEPS, ETA = 20, 1.0
KINDS = ("yaw", "age", "glasses", "smile")
SCALES = (1.0, 2.0)
FIRST_NEW = 6_000_000  # seed of the first person; nobody else looks at them
SMALL = {"n": 8}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(160, "people drawn, and edited"),
        directions=("named", "stored results to take them from"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(STEPS * args.n * (2 + (len(KINDS) + 1) * len(SCALES)))


def damaged(images: Tensor) -> dict[str, Tensor]:
    """What is wrong by construction with pictures (n, 3, H, W): damage that a viewer would see."""
    grain = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), **FLOAT)
    half = images.shape[-1] // 2
    small = torch.nn.functional.avg_pool2d(images, 2)
    return {
        "grain": (images + 0.2 * grain).clamp(-1, 1),
        "blur": torch.nn.functional.interpolate(small, images.shape[-2:], mode="bilinear"),
        "contrast": (1.6 * images).clamp(-1, 1),
        "two halves": torch.cat([images[..., :half], images.roll(1, 0)[..., half:]], dim=-1),
    }


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of all detectors, each of people that it has not seen."""
    named = results.load_or_make(args.directions, model).directions
    parts = Parts(args.output, model, **vars(args))
    kinds = {name: named[name] for name in KINDS if name in named}
    kinds["random"] = as_long_as_any(kinds)

    def drawn(key: str, first: int, edit: hsem.Edit | None = None) -> Tensor:
        def some(seeds: Sequence[int]) -> dict[str, Tensor]:
            x = hsem.sample(model, seeds, steps=STEPS, eta=ETA, edit=edit, record=()).images
            return {"images": x.clamp(-1, 1).half()}

        return parts.over(key, range(first, first + args.n), some, 60)["images"].float()

    plain, others = drawn("plain", FIRST_NEW), drawn("others", FIRST_NEW + args.n)
    nothing = detector(plain, others)
    real = pictures_of(model).images.float()
    fake = detector(real, plain, paired=False)  # the others are asked, and so are the edited
    tensors = {
        "scales": torch.tensor(SCALES, **FLOAT),
        "nothing": torch.stack([nothing.a, nothing.b]),
        "real/real": fake.a,
        "real/plain": fake.b,
        "real/others": fake(others),
    }
    unseen = detector(real[::2], plain[::2], paired=False)  # knows nobody of the other half
    tensors["damaged/none"] = unseen(real[1::2])
    for name, images in damaged(real[1::2]).items():
        tensors[f"damaged/{name}"] = unseen(images)
    tensors["damaged/sampled"] = unseen(plain[1::2])
    for name, direction in tqdm(kinds.items(), unit="kind"):
        told, odds = [], []
        for scale in SCALES:
            edited = drawn(f"{name}/{scale}", FIRST_NEW, hsem.add(direction, scale))
            found = detector(plain, edited)
            told.append(torch.stack([found.a, found.b]))
            odds.append(unseen(edited[1::2]))
        tensors[f"edited/{name}"] = torch.stack(told)  # (scales, 2, n)
        tensors[f"odds/{name}"] = torch.stack(odds)  # (scales, n / 2)
    return parts.finish(
        "detector", args, tensors, n=args.n, real=len(real), steps=STEPS, eta=ETA,
        first_new_seed=FIRST_NEW, kinds=list(kinds), directions_of=args.directions,
        measured_by="detectors trained on other people",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
