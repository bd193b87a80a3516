"""Directions: arithmetic, projection (eq. 12), files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import hsem
from hsem import Direction

SHAPE = (5, 4, 2, 2)
GRID = (800, 600, 400, 200, 0)


def some(seed: int, **provenance: object) -> Direction:
    generator = torch.Generator().manual_seed(seed)
    return Direction(torch.randn(SHAPE, generator=generator), GRID, "test", provenance)


def test_arithmetic() -> None:
    a, b = some(0), some(1)
    torch.testing.assert_close((2 * a - b / 2).delta_h, 2 * a.delta_h - b.delta_h / 2)
    assert a.cosine(a) == pytest.approx(1) and a.cosine(-a) == pytest.approx(-1)
    assert a.dot(b) == pytest.approx(float((a.delta_h * b.delta_h).sum()), rel=1e-5)
    with pytest.raises(ValueError, match="do not match"):
        a + Direction(torch.zeros(3, 4, 2, 2), (2, 1, 0))


@pytest.mark.parametrize("per_step", [False, True])
def test_projection_is_orthogonal_idempotent_and_the_closed_form(per_step: bool) -> None:
    v, others = some(0), [some(1), some(2), some(1) + 0.3 * some(3)]
    clean = hsem.project_out(v, others, per_step=per_step)
    for other in others:
        inner = (clean.delta_h * other.delta_h).double().flatten(1).sum(1)
        assert float((inner if per_step else inner.sum()).abs().max()) < 1e-5
        assert abs(v.dot(other)) > 1e-2  # it was not orthogonal before
    twice = hsem.project_out(clean, others, per_step=per_step)
    torch.testing.assert_close(twice.delta_h, clean.delta_h, rtol=1e-4, atol=1e-5)
    if not per_step:  # (I - V (V'V)^-1 V') v, as printed in the paper
        matrix = torch.stack([o.delta_h.double().flatten() for o in others], 1)
        flat = v.delta_h.double().flatten()
        expected = flat - matrix @ torch.linalg.inv(matrix.T @ matrix) @ matrix.T @ flat
        torch.testing.assert_close(clean.delta_h.double().flatten(), expected, atol=1e-5, rtol=0)
        one_by_one = v
        for other in others:  # the mistake that eq. 12 avoids
            one_by_one = hsem.project_out(one_by_one, [other])
        assert abs(one_by_one.cosine(others[0])) > 1e-3


def test_collinear_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="linearly dependent"):
        hsem.project_out(some(0), [some(1), 2 * some(1)])
    with pytest.raises(ValueError, match="linearly dependent"):  # also where float32 rounds
        hsem.project_out(some(0), [some(1), some(2), some(1) + 1.7 * some(2)])
    nearly = some(1) + 1e-3 * some(2)  # control: close, and yet a condition of its own
    assert abs(hsem.project_out(some(0), [some(1), nearly]).cosine(some(2))) < 1e-3


def test_random_directions_have_the_same_norm_at_every_step() -> None:
    v = some(0)
    control = hsem.random_like(v, torch.Generator().manual_seed(3))
    torch.testing.assert_close(control.step_norms(), v.step_norms())
    assert abs(control.cosine(v)) < 0.5


def test_spreading_and_resampling() -> None:
    shift = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0))
    spread = hsem.spread_over_steps(shift, GRID)
    assert all(torch.equal(row, shift) for row in spread.delta_h)
    v = some(0)
    assert torch.equal(v.resampled(GRID).delta_h, v.delta_h)
    middle = v.resampled((700, 100)).delta_h
    torch.testing.assert_close(middle[0], (v.delta_h[0] + v.delta_h[1]) / 2)
    torch.testing.assert_close(middle[1], (v.delta_h[3] + v.delta_h[4]) / 2)


def test_files(tmp_path: Path) -> None:
    model = hsem.tiny_unet(0)
    schedule = model.schedule(5)
    delta = torch.randn(5, *model.h_shape, generator=torch.Generator().manual_seed(0))
    facts = hsem.provenance_of(model, seeds=[1, 2], eta=1.0)
    saved = Direction(delta, schedule.timesteps, "supervised", facts)
    path = tmp_path / "smile.safetensors"
    saved.save(path)
    loaded = Direction.load(path, model, schedule)
    assert torch.equal(loaded.delta_h, delta)
    assert loaded.timesteps == saved.timesteps and loaded.method == "supervised"
    assert dict(loaded.provenance) == facts
    with pytest.raises(ValueError, match="made for model"):
        Direction.load(path, hsem.tiny_unet(1))
    with pytest.raises(ValueError, match=r"resampled\(\)"):
        Direction.load(path, model, model.schedule(10))
    finer = Direction.load(path, model).resampled(model.schedule(10))
    assert len(finer.delta_h) == 10
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="damaged"):
        Direction.load(path)


def test_a_fingerprint_survives_half_precision_and_notices_training() -> None:
    model = hsem.tiny_unet(0)
    rounded = hsem.tiny_unet(0)
    for p in rounded.unet.parameters():
        p.data = p.data.half().float()
    assert hsem.HSpaceUNet(rounded.unet, _scheduler()).fingerprint == model.fingerprint
    with torch.no_grad():
        next(rounded.unet.parameters()).add_(0.01)
    assert hsem.HSpaceUNet(rounded.unet, _scheduler()).fingerprint != model.fingerprint


def _scheduler() -> object:
    from diffusers import DDPMScheduler

    return DDPMScheduler(clip_sample=False)


def test_sum_of_directions() -> None:
    a, b = (Direction(torch.full((2, 1, 1, 1), v), (10, 0), "difference") for v in (1.0, 2.0))
    assert torch.equal(sum([a, b]).delta_h, (a + b).delta_h)
    assert torch.equal(sum([a]).delta_h, a.delta_h)
    assert torch.equal(sum([a, b], 0.0).delta_h, (a + b).delta_h)
    with pytest.raises(TypeError, match="unsupported operand"):  # control
        sum([a, b], 1.0)
    with pytest.raises(TypeError):
        _ = 1 + a  # control: only zero is nothing
