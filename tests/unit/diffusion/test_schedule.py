"""Schedules that start too low, or end elsewhere than in diffusers, say so."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from diffusers import DDIMScheduler, DDPMScheduler

import hsem


@pytest.mark.parametrize("steps", [400, 501, 750, 899])
def test_a_leading_grid_that_starts_far_too_low_says_so(steps: int) -> None:
    alpha_bar = DDIMScheduler().alphas_cumprod
    with pytest.warns(UserWarning, match="far below pure noise.*trailing"):
        hsem.Schedule.spaced(alpha_bar, steps, "leading")


@pytest.mark.parametrize(
    ("steps", "spacing"), [(4, "leading"), (50, "leading"), (500, "leading"), (1000, "leading"),
                           (750, "trailing"), (750, "linspace")],
)  # fmt: skip
def test_other_grids_are_silent(steps: int, spacing: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hsem.Schedule.spaced(DDIMScheduler().alphas_cumprod, steps, spacing)


def test_the_warning_points_at_the_line_of_the_caller() -> None:
    model = hsem.tiny_unet()
    for work in (
        lambda: model.schedule(1),
        lambda: hsem.Schedule.spaced(model.alpha_bar, 1),
        lambda: hsem.sample(model, [1], steps=1, progress=False),
    ):
        with pytest.warns(UserWarning, match="far below pure noise") as told:
            work()
        assert [w.filename for w in told] == [__file__]


@pytest.mark.parametrize("setting", [{"thresholding": True}, {"variance_type": "fixed_large"}])
def test_what_the_sampler_of_hsem_leaves_out_is_told(setting: dict[str, Any]) -> None:
    unet = hsem.tiny_unet().unet
    (key,) = setting
    with pytest.warns(UserWarning, match=f"says {key}=.*leaves out") as told:
        hsem.load(unet, scheduler=DDPMScheduler(**setting))
    assert [w.filename for w in told] == [__file__]
    with warnings.catch_warnings():  # control: what most schedulers of diffusers say
        warnings.simplefilter("error")
        hsem.load(unet, scheduler=DDPMScheduler(clip_sample=True))


def test_a_last_step_that_differs_from_diffusers_is_told() -> None:
    unet = hsem.tiny_unet().unet
    with pytest.warns(UserWarning, match="set_alpha_to_one=False"):
        hsem.load(unet, scheduler=DDIMScheduler(set_alpha_to_one=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hsem.load(unet, scheduler=DDIMScheduler())
