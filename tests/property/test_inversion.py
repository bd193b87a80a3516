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
    plain = {steps: round_trip(portraits, images, steps, 0) for steps in (25, 50)}
    refined = {steps: round_trip(portraits, images, steps, 20) for steps in (25, 50)}
    assert refined[50] < 1e-3
    assert plain[50] < plain[25]  # more steps, smaller strides, smaller error
    for steps, error in plain.items():
        assert refined[steps] < error / 3  # control: without refinement it is worse


def test_h_is_recorded_where_the_sampler_will_pass(portraits: hsem.HSpaceUNet) -> None:
    """h on the way to x_T is h on the way back, level for level (directions are made of it)."""
    images = hsem.datasets.portraits().images[:1]

    def gap(fixed_point: int) -> float:
        found = hsem.invert(portraits, images, steps=50, fixed_point=fixed_point, progress=False)
        back = hsem.sample(
            portraits, x_T=found.x_T, schedule=found.schedule, eta=0.0, progress=False
        )
        assert back.h_seq is not None
        return float((found.h_seq - back.h_seq).norm() / back.h_seq.norm())

    assert gap(20) < 0.02 < gap(0)  # control: plain inversion passes elsewhere


def test_the_residual_tells_how_far_it_got(portraits: hsem.HSpaceUNet) -> None:
    images = hsem.datasets.portraits().images[:1]
    residuals = [
        float(
            hsem.invert(portraits, images, steps=25, fixed_point=k, progress=False).residual.max()
        )
        for k in (0, 3, 10)
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
