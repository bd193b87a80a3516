"""Hooks under the schedulers of diffusers: which row of an edit acts when, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

import hsem
from tests.pipelines import NOISE, denoise, unconditional

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' use of numpy
STEPS = 5
# name, options, grid of five steps, and how many times the network is called
SCHEDULERS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], int]] = {
    "DDPM": ("DDPMScheduler", {}, (800, 600, 400, 200, 0), 5),
    "DDIM": ("DDIMScheduler", {}, (800, 600, 400, 200, 0), 5),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}, (800, 600, 400, 200, 0), 6),
    "PNDM with Runge-Kutta": (
        "PNDMScheduler", {}, (800, 700, 600, 500, 400, 300, 200, 0), 14,
    ),
    "Heun": ("HeunDiscreteScheduler", {}, (999, 749, 500, 250, 0), 9),
    "Euler": ("EulerDiscreteScheduler", {}, (999, 749, 500, 250, 0), 5),
    "Euler, Karras": (
        "EulerDiscreteScheduler", {"use_karras_sigmas": True}, (999, 786, 427, 59, 0), 5,
    ),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}, (999, 749, 500, 250, 0), 5),
    "DPM++": ("DPMSolverMultistepScheduler", {}, (999, 799, 599, 400, 200), 5),
    "DPM++ SDE": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
        (999, 786, 427, 59, 0), 5,
    ),
    "DPM++ single": ("DPMSolverSinglestepScheduler", {}, (999, 799, 599, 400, 200), 5),
    "UniPC": ("UniPCMultistepScheduler", {"solver_order": 3}, (999, 799, 599, 400, 200), 5),
    "DEIS": ("DEISMultistepScheduler", {}, (999, 799, 599, 400, 200), 5),
    "LMS": ("LMSDiscreteScheduler", {}, (999, 749, 500, 250, 0), 5),
    "KDPM2": ("KDPM2DiscreteScheduler", {}, (999, 885, 749, 632, 500, 371, 250, 21, 0), 9),
    "KDPM2 ancestral": ("KDPM2AncestralDiscreteScheduler", {}, (999, 749, 500, 250, 0), 9),
    "LCM": ("LCMScheduler", {}, (999, 799, 599, 399, 199), 5),
    "TCD": ("TCDScheduler", {}, (999, 799, 599, 399, 199), 5),
}  # fmt: skip


@pytest.fixture(scope="module")
def unet() -> Any:
    return hsem.tiny_unet(0).unet


def made(name: str) -> Any:
    kind, options, *_ = SCHEDULERS[name]
    return getattr(diffusers, kind)(**NOISE, **options)


def run(unet: Any, scheduler: Any, steps: int = STEPS) -> Tensor:
    """Samplers with noise of their own take it from torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(1, 3, 16, 16)
        return denoise(unet, scheduler, x, steps)


def by_hand(unet: Any, change: Callable[[int, float], float], scheduler: Any) -> Tensor:
    """The same run with a plain hook of torch that adds change(call, timestep) to h."""
    calls, now = 0, 0.0

    def before(_: Any, args: Any) -> None:
        nonlocal now
        now = float(args[1])

    def after(_: Any, __: Any, h: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return h + change(calls - 1, now)

    handles = unet.register_forward_pre_hook(before), unet.mid_block.register_forward_hook(after)
    try:
        return run(unet, scheduler)
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_rows_act_at_their_timesteps(name: str, unet: Any) -> None:
    """`timesteps=scheduler.timesteps`, as the documentation recommends, for every scheduler."""
    *_, grid, calls = SCHEDULERS[name]
    scheduler = made(name)
    scheduler.set_timesteps(STEPS)
    assert len(scheduler.timesteps) == calls
    rows = torch.linspace(-0.5, 1.0, len(grid))
    delta = rows.view(-1, 1, 1, 1).expand(-1, 16, 4, 4)
    with hsem.edit_h(unet, hsem.add(delta), timesteps=scheduler.timesteps):
        edited = run(unet, scheduler)

    def nearest(_: int, t: float) -> float:
        return float(rows[min(range(len(grid)), key=lambda i: abs(grid[i] - t))])

    torch.testing.assert_close(edited, by_hand(unet, nearest, made(name)))
    assert float((edited - run(unet, made(name))).abs().max()) > 1e-3  # control: it acts at all
    if calls > len(grid):  # control: counting calls in place of timesteps is something else
        counted = by_hand(unet, lambda k, _: float(rows[min(k, len(grid) - 1)]), made(name))
        assert float((edited - counted).abs().max()) > 1e-3
    direction = hsem.Direction(delta.clone(), grid)
    with hsem.edit_h(unet, hsem.add(direction)):  # a direction knows its grid itself
        torch.testing.assert_close(run(unet, made(name)), edited)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_last_visit_is_recorded(name: str, unet: Any) -> None:
    *_, grid, calls = SCHEDULERS[name]
    scheduler = made(name)
    with hsem.record_h(unet) as record:
        run(unet, scheduler)
    assert len(record) == calls and record.grid == grid
    assert record.h_seq.shape == (1, len(grid), 16, 4, 4)
    for i, t in enumerate(grid):
        visits = [
            h for s, h in zip(scheduler.timesteps, record.h, strict=True) if abs(s - t) <= 0.5
        ]
        assert torch.equal(record.h_seq[:, i], visits[-1])
    assert hsem.Direction(record.h_seq[0], record.grid).timesteps == grid


def test_the_last_visit_is_where_the_sampler_goes_on() -> None:
    """Heun with an order of 2 ends a step at a point; there the network is asked once more."""
    unet, scheduler = hsem.tiny_unet(0).unet, made("Heun")
    points: list[Tensor] = []
    step = scheduler.step

    def watched(output: Tensor, t: Any, x: Tensor, **options: Any) -> Any:
        if scheduler.state_in_first_order:
            points.append(x)
        return step(output, t, x, **options)

    scheduler.step = watched
    with hsem.record_h(unet) as record:
        run(unet, scheduler)
    assert len(points) == len(record.grid) == STEPS
    for i, x in enumerate(points):
        scheduler = made("Heun")
        scheduler.set_timesteps(STEPS)
        t = scheduler.timesteps[max(2 * i - 1, 0)]
        with hsem.record_h(unet) as one, torch.no_grad():
            sigma = scheduler.sigmas[2 * i]
            unet(x / (sigma**2 + 1) ** 0.5, t)
        torch.testing.assert_close(record.h_seq[:, i], one.h[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(record.h[1], record.h[2], rtol=1e-4, atol=1e-4)  # control: the probe


def test_a_stock_pipeline_with_timesteps_between_the_trained_ones() -> None:
    pipeline = unconditional(diffusers.LCMScheduler())
    with hsem.record_h(pipeline.unet) as record:
        pipeline(1, num_inference_steps=4, generator=torch.Generator().manual_seed(0))
    assert record.h_seq.shape[1] == 4


def test_complaints(unet: Any) -> None:
    scheduler = made("PNDM")
    assert scheduler.timesteps is None  # diffusers does not know them before set_timesteps
    with pytest.raises(ValueError, match=r"set_timesteps\(T\)"):
        with hsem.edit_h(unet, lambda i, h: h, timesteps=scheduler.timesteps):
            pass
    scheduler.set_timesteps(STEPS)
    for rows in (6, 4):  # one row for each call is one too many
        with pytest.raises(ValueError, match="visited twice has one row"):
            with hsem.edit_h(unet, hsem.add(torch.zeros(rows, 16, 4, 4)), scheduler.timesteps):
                pass
    many = diffusers.EulerDiscreteScheduler(**NOISE, use_karras_sigmas=True)
    many.set_timesteps(100)
    assert len(many.timesteps.unique()) == 100  # none is visited twice
    with pytest.raises(ValueError, match=r"100 steps, .* round to one whole number.*fewer steps"):
        with hsem.edit_h(unet, hsem.add(torch.zeros(100, 16, 4, 4)), many.timesteps):
            pass
    other = hsem.Direction(torch.zeros(2, 16, 4, 4), (700, 3))
    with pytest.raises(ValueError, match=r"direction\.resampled\(\(800, 600, 400, 200, 0\)\)"):
        with hsem.edit_h(unet, hsem.add(other), scheduler.timesteps):
            pass
    moved = other.resampled((800, 600, 400, 200, 0))  # the remedy
    with hsem.edit_h(unet, hsem.add(moved), scheduler.timesteps):
        run(unet, scheduler)


def test_several_runs_are_not_taken_for_one(unet: Any) -> None:
    for steps in (1, STEPS):
        with hsem.record_h(unet) as record:
            run(unet, made("DDIM"), steps)
            run(unet, made("DDIM"), steps)
        assert len(record) == 2 * steps
        with pytest.raises(ValueError, match="record one run at a time"):
            _ = record.h_seq
