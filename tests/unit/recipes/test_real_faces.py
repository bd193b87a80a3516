"""The recipe for given faces: noises are compared with the right ones, edits with no edit."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem.judges.scorers import scores_of
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


def test_edits_of_given_portraits_start_from_their_own_noise(model) -> None:
    faces = hsem.datasets.portraits().images[:2]
    h = torch.Generator().manual_seed(0)
    shape = (STEPS, *model.h_shape)
    grid = model.schedule(STEPS).timesteps
    known = {
        name: hsem.Direction(torch.randn(shape, generator=h), grid) for name in real_faces.EDITS
    }
    found = real_faces.edited(model, faces, known, STEPS)
    assert set(found) == {f"edited/{n}" for n in ("plain", *real_faces.EDITS, "random")}
    common = {"steps": STEPS, "progress": False}
    noise = hsem.invert(model, faces, fixed_point=real_faces.ROUNDS, **common).x_T
    judge = hsem.judges_of(model)[1]
    edit = hsem.add(known["age"], real_faces.STRENGTH)
    for name, given in (("plain", None), ("age", edit)):
        images = hsem.sample(model, x_T=noise, eta=0.0, edit=given, record=(), **common).images
        torch.testing.assert_close(
            found[f"edited/{name}"], scores_of(judge, images), rtol=1e-3, atol=1e-3
        )
