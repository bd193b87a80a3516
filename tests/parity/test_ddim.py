"""The sampler against diffusers' DDIMScheduler, step by step, with the same stored noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

import hsem


def diffusers_run(
    model: hsem.HSpaceUNet, x: Tensor, z: Tensor, eta: float, **options: Any
) -> tuple[Tensor, tuple[int, ...]]:
    settings = {
        "prediction_type": model.prediction_type,
        "clip_sample": False,
        "timestep_spacing": model.timestep_spacing,
    }
    if model.name == "portraits-64":
        settings["beta_schedule"] = "squaredcos_cap_v2"
    scheduler = DDIMScheduler(**{**settings, **options})
    scheduler.set_timesteps(z.shape[1])
    for i, t in enumerate(scheduler.timesteps):
        out = model.unet(x, t).sample
        noise = z[:, i] if eta > 0 else None
        x = scheduler.step(out, t, x, eta=eta, variance_noise=noise).prev_sample
    return x, tuple(scheduler.timesteps.tolist())


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@torch.no_grad()
def test_same_images(tiny: hsem.HSpaceUNet, eta: float) -> None:
    x_T, z = hsem.draw_noise(tiny, seeds=range(3), steps=10)
    ours = hsem.sample(tiny, x_T=x_T, z=z, steps=10, eta=eta, progress=False)
    theirs, timesteps = diffusers_run(tiny, x_T, z, eta)
    assert ours.schedule.timesteps == timesteps
    # random weights give pictures far from [-1, 1]: compare relative to their size
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours.images / scale, theirs / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@torch.no_grad()
def test_same_images_of_the_default_model(portraits: hsem.HSpaceUNet, eta: float) -> None:
    """Trailing steps and a cosine schedule, whose first alpha_bar is 2e-9."""
    x_T, z = hsem.draw_noise(portraits, seeds=range(2), steps=8)
    ours = hsem.sample(portraits, x_T=x_T, z=z, steps=8, eta=eta, progress=False)
    theirs, timesteps = diffusers_run(portraits, x_T, z, eta)
    assert ours.schedule.timesteps == timesteps
    assert timesteps[0] == 999
    # theirs takes its coefficients from float32, where 1 - 2e-9 is 1
    torch.testing.assert_close(ours.images, theirs, rtol=2e-3, atol=2e-3)


@torch.no_grad()
def test_the_comparison_can_fail(tiny: hsem.HSpaceUNet) -> None:
    x_T, z = hsem.draw_noise(tiny, seeds=range(2), steps=10)
    ours = hsem.sample(tiny, x_T=x_T, z=z, steps=10, eta=1.0, progress=False).images
    clipped, _ = diffusers_run(tiny, x_T, z, 1.0, clip_sample=True)
    other_eta, _ = diffusers_run(tiny, x_T, z, 0.5)
    for wrong in (clipped, other_eta):
        assert float((ours - wrong).pow(2).mean().sqrt()) > 1e-2


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 10, 50, 999])
def test_timesteps_are_spaced_as_diffusers_spaces_them(spacing: str, steps: int) -> None:
    scheduler = DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    ours = hsem.Schedule.spaced(scheduler.alphas_cumprod.double(), steps, spacing)
    assert ours.timesteps == tuple(scheduler.timesteps.tolist())
