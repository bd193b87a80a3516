"""What the core says to bad input: the argument, what was expected, what came, the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

import hsem

TINY = hsem.tiny_unet(0)
C, H, W = TINY.h_shape
CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "x of another size": (
        lambda: TINY.encode(torch.zeros(1, 3, 8, 8), 0),
        ValueError,
        r"x must have shape \(b, 3, 16, 16\)",
    ),
    "x of another dtype": (
        lambda: TINY.encode(torch.zeros(1, 3, 16, 16, dtype=torch.float64), 0),
        TypeError,
        "x is torch.float64",
    ),
    "h of another size": (
        lambda: TINY.decode(
            torch.zeros(1, C, H, W + 1), TINY.encode(torch.zeros(1, 3, 16, 16), 0)[1]
        ),
        ValueError,
        "h must have shape",
    ),
    "a direction with NaN": (
        lambda: hsem.Direction(torch.full((1, C, H, W), float("nan")), (5,)),
        ValueError,
        "NaN or infinite",
    ),
    "a direction of integers": (
        lambda: hsem.Direction(torch.ones(1, C, H, W, dtype=torch.long), (5,)),
        TypeError,
        "must be floating point",
    ),
    "a direction without a step axis": (
        lambda: hsem.Direction(torch.ones(C, H, W), (5,)),
        ValueError,
        r"must have shape \(T=1, C, h, w\)",
    ),
    "no noise where eta needs some": (
        lambda: hsem.sample(TINY, x_T=torch.zeros(1, 3, 16, 16), steps=2, eta=1.0, progress=False),
        ValueError,
        "needs noise z",
    ),
    "noise for other steps": (
        lambda: hsem.sample(
            TINY, x_T=torch.zeros(1, 3, 16, 16), z=torch.zeros(1, 3, 3, 16, 16), steps=2,
            progress=False,
        ),
        ValueError,
        "z must have shape",
    ),
    "neither seeds nor noise": (
        lambda: hsem.sample(TINY, steps=2, progress=False),
        ValueError,
        "give seeds",
    ),
    "one seed instead of several": (
        lambda: hsem.sample(TINY, 3, steps=2, progress=False),  # type: ignore[arg-type]
        TypeError,
        r"write range\(3\)",
    ),
    "an unknown model": (lambda: hsem.load("portrait-64"), ValueError, "known are portraits-64"),
    "more steps than the model was trained with": (
        lambda: hsem.sample(TINY, [0], steps=1001, progress=False),
        ValueError,
        r"outside 1\.\.1000",
    ),
    "eta beyond 1": (
        lambda: hsem.sample(TINY, [0], steps=2, eta=1.5, progress=False),
        ValueError,
        "eta must lie between",
    ),
    "a mask over pixels instead of h": (
        lambda: hsem.sample(
            TINY, [0], steps=1, progress=False,
            edit=hsem.masked(hsem.add(torch.zeros(1, C, H, W)), torch.ones(16, 16)),
        ),
        ValueError,
        "it lives in h-space",
    ),
    "a direction for another number of steps": (
        lambda: hsem.sample(
            TINY, [0], steps=3, progress=False, edit=hsem.add(torch.zeros(2, C, H, W))
        ),
        ValueError,
        "the edit holds 2 steps",
    ),
    "a record of something else": (
        lambda: hsem.sample(TINY, [0], steps=1, record=("hidden",), progress=False),
        ValueError,
        "record must list some of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message(case: str) -> None:
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message):
        call()


def network(**options: Any) -> UNet2DModel:
    base = {
        "sample_size": 16, "layers_per_block": 1, "block_out_channels": (8, 8),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"), "norm_num_groups": 4,
    }  # fmt: skip
    return UNet2DModel(**{**base, **options})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_class_embeds": 3}, "class-conditioned"),
        ({"time_embedding_type": "fourier"}, "fourier"),
        ({"center_input_sample": True}, "center_input_sample"),
        ({"out_channels": 6}, "learned variance"),
    ],
)
def test_networks_that_cannot_be_split_are_named(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        hsem.load(network(**options), scheduler=DDPMScheduler())
    assert hsem.load(network(), scheduler=DDPMScheduler()).h_shape == (8, 8, 8)  # control


def test_prediction_of_x0_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction_type='sample'"):
        hsem.load(network(), scheduler=DDPMScheduler(prediction_type="sample"))


def test_files_of_the_package_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot read a classifier"):
        hsem.classifier.load(tmp_path)
    with pytest.raises(OSError, match="cannot read portraits"):
        hsem.datasets.portraits(tmp_path / "none.npz")
    with pytest.raises(KeyError, match="no factor 'moustache'"):
        hsem.datasets.portraits()["moustache"]
