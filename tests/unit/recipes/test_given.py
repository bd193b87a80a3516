"""Given and made portraits are edited by one sampler, each from its own noise."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges.scorers import scores_of
from hsem.recipes import given

pytestmark = pytest.mark.slow


@pytest.fixture
def known(model, tmp_path):
    """A stored result with a direction for each edit."""
    draw = torch.Generator().manual_seed(0)
    shape, grid = (given.STEPS, *model.h_shape), model.schedule(given.STEPS).timesteps
    found = {n: hsem.Direction(torch.randn(shape, generator=draw), grid) for n in given.EDITS}
    path = tmp_path / "named.safetensors"
    results.save(path, model, {"scales": torch.zeros(1)}, directions=found)
    return path, results.load(path, model).directions  # as stored, in half precision


def test_edits_start_from_the_noise_of_each_portrait(model, known, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(given, "ROUNDS", 1)
    path, directions = known
    words = ["--faces", "2", "--directions", str(path), "--output", str(tmp_path / "x.safetensors")]
    stored = results.load(given.fill(given.parser().parse_args(words), model), model)
    kinds = ("plain", *given.EDITS, "random")
    assert set(stored.tensors) == {f"{whose}/{n}" for whose in ("given", "made") for n in kinds}

    faces = hsem.datasets.portraits().images[:2]
    common = {"steps": given.STEPS, "progress": False}
    noise = hsem.invert(model, faces, fixed_point=1, **common).x_T
    judge = hsem.judges_of(model)[1]
    edit = hsem.add(directions["age"], given.STRENGTH)
    for whose, start in (
        ("given", {"x_T": noise}),
        ("made", {"seeds": [FIRST_SEED, FIRST_SEED + 1]}),
    ):
        for name, move in (("plain", None), ("age", edit)):
            images = hsem.sample(model, **start, eta=0.0, edit=move, record=(), **common).images
            torch.testing.assert_close(
                stored[f"{whose}/{name}"], scores_of(judge, images).float(), rtol=1e-3, atol=1e-3
            )
        assert not torch.allclose(stored[f"{whose}/plain"], stored[f"{whose}/age"])  # control
    assert not torch.allclose(stored["given/plain"], stored["made/plain"])
