"""DDIM inversion: the error of a round trip, with and without refinement."""

from __future__ import annotations

import warnings
from itertools import pairwise
from math import sqrt

import pytest
import torch
from torch import Tensor

import hsem
from hsem.diffusion.inversion import rms, undo_step
from hsem.diffusion.schedule import predict_x0
from hsem.network.unet import Context, Prediction
from tests.painter import Painter


def round_trip(model: hsem.HSpaceUNet, images: Tensor, steps: int, *rounds: int) -> float:
    """Root-mean-square difference after inverting and sampling again, of the worst image."""
    options = {"fixed_point": rounds[0]} if rounds else {}
    found = hsem.invert(model, images, steps=steps, progress=False, **options)
    back = hsem.sample(
        model, x_T=found.x_T, schedule=found.schedule, eta=0.0, record=(), progress=False
    )
    return float(rms(back.images - images).max())


def test_the_default_comes_back(portraits: hsem.HSpaceUNet) -> None:
    """Within a grey level (0.008) at twenty steps, where plain inversion leads to somebody else."""
    images = hsem.datasets.portraits().images[[0, 4]]
    apart = float((images[0] - images[1]).square().mean().sqrt())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert round_trip(portraits, images, 20) < 0.008 < 0.02 * apart
    assert round_trip(portraits, images, 20, 0) > 0.4 * apart  # control: plain DDIM inversion


def test_h_is_recorded_where_the_sampler_will_pass(portraits: hsem.HSpaceUNet) -> None:
    """h on the way to x_T is h on the way back, level for level (directions are made of it)."""
    images = hsem.datasets.portraits().images[:1]

    def gap(fixed_point: int) -> float:
        found = hsem.invert(portraits, images, steps=20, fixed_point=fixed_point, progress=False)
        back = hsem.sample(
            portraits, x_T=found.x_T, schedule=found.schedule, eta=0.0, progress=False
        )
        assert back.h_seq is not None
        return float((found.h_seq - back.h_seq).norm() / back.h_seq.norm())

    assert gap(20) < 0.05 < gap(0)  # control: plain inversion passes elsewhere


class Linear(Painter):
    """eps = x @ gain: each step of the sampler is a matrix, so its inverse is known."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain, self.runs = gain, 0

    def predict(self, h: Tensor, context: Context) -> Prediction:
        self.runs += 1
        eps, a = context.x @ self.gain.to(context.x), float(self.alpha_bar[context.t])
        return Prediction(eps, predict_x0(context.x, eps, a))


@pytest.mark.parametrize("gain", [0.3, -0.8, 2.5, -2.0])
def test_steps_that_do_not_contract(gain: float) -> None:
    """The iteration runs away where |1 - slope / cos d| > 1; the secant finds the answer."""
    model = Linear(gain * torch.eye(8))
    x_prev, (t, a, a_prev) = torch.ones(2, 3, 8, 8), next(iter(model.schedule(3)))
    slope = sqrt(a_prev) * (1 - sqrt(1 - a) * gain) / sqrt(a) + sqrt(1 - a_prev) * gain
    answer = undo_step(model, x_prev, t, a, a_prev, rounds=3)
    torch.testing.assert_close(answer.x, x_prev / slope, atol=1e-3, rtol=1e-3)
    cos_d = sqrt(a * a_prev) + sqrt((1 - a) * (1 - a_prev))
    if abs(1 - slope / cos_d) > 1:  # control: what the plain iteration makes of it
        x = x_prev
        for _ in range(5):
            x = x + (x_prev - slope * x) / cos_d
        assert float((x - x_prev / slope).abs().max()) > 1e-2


def test_more_rounds_never_harm() -> None:
    """Not even where nothing helps: many directions, each with a rate of its own."""
    gain = 3 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    x_prev = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    model = Linear(gain)
    level = next(iter(model.schedule(3)))
    residuals = [undo_step(model, x_prev, *level, rounds=k).residual for k in range(12)]
    for before, after in pairwise(residuals):
        assert bool((after <= before).all())


def test_an_image_does_not_depend_on_its_neighbours(portraits: hsem.HSpaceUNet) -> None:
    images = hsem.datasets.portraits().images[[0, 4]]
    run = {"steps": 5, "progress": False}
    together = hsem.invert(portraits, images, **run)
    alone = hsem.invert(portraits, images[1:], **run)
    torch.testing.assert_close(alone.x_T[0], together.x_T[1], atol=2e-3, rtol=0)
    assert float((together.x_T[0] - together.x_T[1]).abs().max()) > 0.1  # control


def test_what_is_done_is_not_done_again() -> None:
    model = Linear(0.01 * torch.eye(8))
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    hsem.invert(model, images, steps=50, fixed_point=100, progress=False)
    assert model.runs < 5 * 50


def test_images_that_were_not_inverted_are_named(portraits: hsem.HSpaceUNet) -> None:
    images = hsem.datasets.portraits().images[:2]
    with pytest.warns(
        UserWarning, match=r"images \[0, 1\] of 2 were not inverted.*fixed_point"
    ) as told:
        found = hsem.invert(portraits, images, steps=4, fixed_point=1, progress=False)
    assert [w.filename for w in told] == [__file__]  # the line that called
    assert found.residual.shape == (2, 4) and bool((found.residual.amax(dim=1) > 0.01).all())
    with warnings.catch_warnings():  # control: plain inversion is asked for as it is
        warnings.simplefilter("error")
        hsem.invert(portraits, images, steps=4, fixed_point=0, progress=False)


def test_pictures_from_0_to_1_are_noticed() -> None:
    model = Linear(0.01 * torch.eye(8))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match=r"in \[0, 1\].*2 \* images - 1") as told:
        hsem.invert(model, images, steps=2, progress=False)
    assert [w.filename for w in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hsem.invert(model, 2 * images - 1, steps=2, progress=False)  # control: the remedy


MEAN, STD = ((torch.tensor(v).view(1, 3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.2, 0.2, 0.2)))


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (lambda unit: unit, r"images \[1\] of 3 lie in \[0, 1\]"),
        (lambda unit: (unit - MEAN) / STD, r"images \[1\] of 3 reach 2\..*\* std \+ mean"),
        (lambda unit: 2 * unit, r"images \[1\] of 3 reach (1\.9|2;)"),
    ],
    ids=["unit", "ImageNet", "twice"],
)
def test_one_picture_in_another_range_is_named(spoiled, message) -> None:
    """Among good ones, which a look at the whole batch would let it hide behind."""
    model = Linear(0.01 * torch.eye(8))
    good = 2 * torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 1
    mixed = good.clone()
    mixed[1] = spoiled((good[1:2] + 1) / 2)[0]
    with pytest.warns(UserWarning, match=message) as told:
        hsem.invert(model, mixed, steps=2, progress=False)
    assert [w.filename for w in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hsem.invert(model, good, steps=2, progress=False)  # control
        hsem.invert(model, 1.1 * good, steps=2, progress=False)  # what a sampler may give


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floating-point"),
        (torch.full((1, 3, 64, 64), float("nan")), "NaN"),
        (torch.full((1, 3, 64, 64), 128.0), r"should lie in \[-1, 1\]"),
        (torch.zeros(1, 3, 32, 32), "must have shape"),
    ],
)
def test_bad_images(portraits: hsem.HSpaceUNet, images: Tensor, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        hsem.invert(portraits, images, steps=2, progress=False)
