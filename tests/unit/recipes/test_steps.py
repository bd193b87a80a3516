"""The recipe for SM D: windows, schedules of eta, and angles between spans."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

import hsem
from hsem import results
from hsem.recipes import steps


def test_windows_are_all_steps_once() -> None:
    found = steps.windows()
    assert [i for window in found for i in window] == list(range(steps.STEPS))
    assert len({len(window) for window in found}) == 1 and len(found) == steps.WINDOWS


def test_schedules_of_eta_are_halves() -> None:
    found = {name: torch.tensor(eta) for name, eta in steps.etas().items()}
    assert all(len(eta) == steps.STEPS for eta in found.values())
    torch.testing.assert_close(found["first"] + found["last"], found["all"])
    assert not found["none"].any() and bool(found["first"][0]) and not bool(found["last"][0])


def test_overlap_is_that_of_scipys_angles() -> None:
    draw = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0))
    draw[1] += 2 * draw[0]  # spans that have something in common
    a, b = (torch.linalg.qr(x)[0].T for x in draw)
    angles = scipy.linalg.subspace_angles(a.T.numpy(), b.T.numpy())
    assert float(steps.overlap(a, b)) == pytest.approx(float(np.mean(np.cos(angles) ** 2)), 1e-5)
    assert hsem.largest_principal_angle(a, b) == pytest.approx(float(angles.max()), 1e-4)


def test_overlap_of_the_same_of_others_and_halfway() -> None:
    axes = torch.eye(4)
    assert float(steps.overlap(axes[:2], axes[:2])) == pytest.approx(1)
    assert float(steps.overlap(axes[:2], axes[2:])) == pytest.approx(0)
    between = (axes[:2] + axes[2:]) / math.sqrt(2)
    assert float(steps.overlap(axes[:2], between)) == pytest.approx(0.5)


@pytest.mark.slow
def test_the_recipe_runs(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    named = results.load_or_make("named", model, n=24, count=4, people=2)
    results.load_or_make("principal", model, n=24, m=2, batch_size=8)
    stored = results.load_or_make("steps", model, people=3, images=2)
    people = range(steps.FIRST, steps.FIRST + 3)
    whole, late = (
        hsem.sample(model, people, steps=20, edit=edit, record=(), progress=False).images
        for edit in (
            hsem.add(named.directions["yaw"]),
            hsem.only_at(hsem.add(named.directions["yaw"]), steps.windows()[-1]),
        )
    )
    judge = hsem.judges_of(model)[1]

    def near(a, b):  # other batches in half precision: in deviations of the judge
        return float(((a - b) / judge.spread).abs().max()) < 0.05

    found = stored["window/yaw"]
    assert near(found[-1], judge(whole.clamp(-1, 1)).float())
    assert near(found[-2], judge(late.clamp(-1, 1)).float())
    # the same edit of the same people, by another way: all steps, all noise
    assert near(stored["eta/all"][1], found[-1])
    assert near(stored["eta/all"][0], stored["window/plain"][0])
    assert float((stored["eta/none"][0] - stored["eta/all"][0]).abs().max()) > 0.01  # control
    assert stored["found/measures"].shape == (2, 2, 6, 6, 3)
    diagonal = stored["found/overlap"].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal, torch.ones_like(diagonal), atol=1e-2, rtol=0)
    other = stored["found/overlap of neighbours"]
    assert bool((other < 1 - 1e-3).all())
    assert not list((tmp_path / "parts").glob("steps*"))
