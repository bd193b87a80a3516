"""DDIM inversion: the error of a round trip, with and without refinement."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hsem


def round_trip(model: hsem.HSpaceUNet, images: Tensor, steps: int, fixed_point: int) -> float:
    """Root-mean-square difference after inverting and sampling again."""
    found = hsem.invert(model, images, steps=steps, fixed_point=fixed_point, progress=False)
    back = hsem.sample(
        model, x_T=found.x_T, schedule=found.schedule, eta=0.0, record=(), progress=False
    )
    return float((back.images - images).pow(2).mean().sqrt())


def test_the_table_of_round_trips(portraits: hsem.HSpaceUNet) -> None:
    """Real (held-out) portraits; the target is 1e-3 at 50 steps with refinement."""
    images = hsem.datasets.portraits().images[:2]
    plain = {steps: round_trip(portraits, images, steps, 0) for steps in (10, 50)}
    refined = {steps: round_trip(portraits, images, steps, 10) for steps in (10, 50)}
    assert refined[50] < 1e-3
    assert plain[50] < plain[10]  # more steps, smaller strides, smaller error
    for steps, error in plain.items():
        assert refined[steps] < error / 3  # control: without refinement it is worse


def test_it_undoes_the_sampler(portraits: hsem.HSpaceUNet) -> None:
    """A drawn portrait comes back, and so does the h of the last steps on the way."""
    drawn = hsem.sample(portraits, seeds=range(2), steps=20, eta=0.0, progress=False)
    found = hsem.invert(portraits, drawn.images, steps=20, fixed_point=10, progress=False)
    assert drawn.h_seq is not None

    def gap(h: Tensor) -> float:
        return float((h - drawn.h_seq[:, -1]).norm() / drawn.h_seq[:, -1].norm())

    assert gap(found.h_seq[:, -1]) < 1e-2
    assert gap(drawn.h_seq[:, -1].roll(1, 0)) > 0.1  # control: somebody else's h


def test_the_residual_tells_how_far_it_got(portraits: hsem.HSpaceUNet) -> None:
    images = hsem.datasets.portraits().images[:1]
    residuals = [
        float(
            hsem.invert(portraits, images, steps=10, fixed_point=k, progress=False).residual.max()
        )
        for k in (0, 2, 6)
    ]
    assert residuals[0] > residuals[1] > residuals[2]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floating point"),
        (torch.full((1, 3, 64, 64), float("nan")), "NaN"),
        (torch.full((1, 3, 64, 64), 128.0), r"should lie in \[-1, 1\]"),
        (torch.zeros(1, 3, 32, 32), "must have shape"),
    ],
)
def test_bad_images(portraits: hsem.HSpaceUNet, images: Tensor, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        hsem.invert(portraits, images, steps=2, progress=False)
