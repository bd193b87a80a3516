"""Schedules that start too low, or end elsewhere than in diffusers, say so."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

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


@pytest.mark.parametrize(
    "setting",
    [{"thresholding": True}, {"variance_type": "fixed_large"},
     {"variance_type": "fixed_large_log"}, {"variance_type": "learned_range"},
     {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True},
     {"use_lu_lambdas": True}, {"use_flow_sigmas": True}],
)  # fmt: skip
def test_what_the_sampler_of_hsem_leaves_out_is_told(setting: dict[str, Any]) -> None:
    unet = hsem.tiny_unet().unet
    (key,) = setting
    kind = DPMSolverMultistepScheduler if key.startswith("use") else DDPMScheduler
    with pytest.warns(UserWarning, match=f"says {key}=.*leaves out") as told:
        hsem.load(unet, scheduler=kind(**setting))
    assert [w.filename for w in told] == [__file__]
    with warnings.catch_warnings():  # control: what most schedulers of diffusers say
        warnings.simplefilter("error")
        hsem.load(unet, scheduler=DDPMScheduler(clip_sample=True))
        hsem.load(unet, scheduler=DPMSolverMultistepScheduler())


@pytest.mark.parametrize("beta_start", [0.0, 1e-9])
def test_a_schedule_that_begins_without_noise(beta_start: float) -> None:
    def sampled(start: float) -> torch.Tensor:
        model = hsem.load(hsem.tiny_unet().unet, scheduler=DDIMScheduler(beta_start=start))
        assert (model.alpha_bar[0] == 1) == (start < 1e-8)
        return hsem.sample(model, [1], steps=4, progress=False).images

    torch.testing.assert_close(sampled(beta_start), sampled(1e-7), atol=0.01, rtol=1e-3)
    assert (sampled(beta_start) - sampled(1e-2)).abs().max() > 0.1  # control


def test_a_last_step_that_differs_from_diffusers_is_told() -> None:
    unet = hsem.tiny_unet().unet
    for scheduler, said in (
        (DDIMScheduler(set_alpha_to_one=False), "set_alpha_to_one=False"),
        (DPMSolverMultistepScheduler(final_sigmas_type="sigma_min"), "final_sigmas_type='sigma_m"),
    ):
        with pytest.warns(UserWarning, match=f"{said}.* ends short of alpha_bar = 1"):
            hsem.load(unet, scheduler=scheduler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hsem.load(unet, scheduler=DDIMScheduler())
