"""The recipe for SM G: it runs, nobody is judged by who knows them, and damage is damage."""

from __future__ import annotations

import pytest
import torch

from hsem import datasets, results
from hsem.recipes import detector


def test_damage_is_seen_and_changes_the_picture() -> None:
    images = datasets.portraits().images[:4]
    found = detector.damaged(images)
    assert set(found) == {"grain", "blur", "contrast", "two halves"}
    for name, wrong in found.items():
        assert wrong.shape == images.shape and float(wrong.abs().max()) <= 1, name
        assert float((wrong - images).square().mean().sqrt()) > 0.03, name
    half = images.shape[-1] // 2
    assert torch.equal(found["two halves"][1, ..., :half], images[1, ..., :half])
    assert torch.equal(found["two halves"][1, ..., half:], images[0, ..., half:])


@pytest.mark.slow
def test_the_recipe_runs(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    monkeypatch.setattr(detector, "SCALES", (2.0,))
    monkeypatch.setattr(detector, "KINDS", ("yaw",))
    output = str(tmp_path / "detector.safetensors")
    path = detector.fill(detector.parser().parse_args(["--n", "8", "--output", output]), model)
    stored = results.load(path, model)
    assert stored["edited/yaw"].shape == stored["edited/random"].shape == (1, 2, 8)
    assert stored["odds/yaw"].shape == (1, 4) and len(stored["damaged/blur"]) == 192
    assert not list((tmp_path / "parts").iterdir())
