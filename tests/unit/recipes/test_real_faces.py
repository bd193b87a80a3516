"""The recipe for given faces: noises are compared with the right ones."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem.recipes import real_faces

STEPS = 4

pytestmark = pytest.mark.slow


def test_noises_are_compared_with_those_the_pictures_were_made_of(model) -> None:
    found = real_faces.noises(model, 2, STEPS)
    assert found["noise"].shape == (2, 2) and found["noise/pictures"].shape == (2, 2)
    seeds = [real_faces.FIRST, real_faces.FIRST + 1]
    common = {"steps": STEPS, "progress": False}
    drawn = hsem.sample(model, seeds, eta=0.0, record=(), **common)
    again = hsem.invert(
        model, drawn.images.clamp(-1, 1), fixed_point=real_faces.ROUNDS, **common
    ).x_T
    for i in range(2):
        for j in range(2):
            gap = (again[i] - drawn.x_T[j]).square().mean().sqrt()
            torch.testing.assert_close(found["noise"][i, j], gap, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found["noise"], found["noise"].T, atol=1e-3)  # control
