"""Stored results come back as they were, know their model, and refuse another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import hsem
from hsem import files, results
from hsem.directions.direction import Direction, provenance_of, random_like


@pytest.fixture(scope="module")
def model() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(seed=0)


@pytest.fixture()
def direction(model: hsem.HSpaceUNet) -> Direction:
    noise = torch.randn(6, *model.h_shape, generator=torch.Generator().manual_seed(0))
    noise *= torch.logspace(-4, 1, 6).view(-1, 1, 1, 1)  # steps of very different length
    timesteps = model.schedule(6).timesteps
    return Direction(noise, timesteps, "supervised", provenance_of(model, attribute="smile"))


def test_everything_survives_the_file(model, direction, tmp_path: Path) -> None:
    curve, counts = torch.linspace(-3, 3, 7), torch.tensor([1, 70_000])
    path = results.save(
        tmp_path / "chapter", model, {"curve": curve, "counts": counts},
        directions={"smile": direction}, command="python there.py", seeds=[0, 100],
    )  # fmt: skip
    assert path == tmp_path / "chapter.safetensors"
    assert path.stat().st_mode & 0o444 == 0o444  # for whoever installs the package
    stored = results.load(path, model)
    torch.testing.assert_close(stored["curve"], curve, atol=2e-3, rtol=1e-3)
    assert stored["curve"].dtype == torch.float32
    assert stored["counts"].tolist() == [1, 70_000]
    assert stored.provenance["seeds"] == [0, 100]
    assert stored.provenance["fingerprint"] == model.fingerprint
    assert stored.provenance["command"] == "python there.py"
    again = stored.directions["smile"]
    assert (again.timesteps, again.method) == (direction.timesteps, "supervised")
    assert again.provenance["attribute"] == "smile"
    again.check_model(model)
    with pytest.raises(KeyError, match="curve"):
        stored["nothing"]


def test_eight_bits_are_enough_at_every_step(model, direction, tmp_path: Path) -> None:
    path = results.save(tmp_path / "d.safetensors", model, directions={"smile": direction})
    again = results.load(path, model).directions["smile"]
    flat, stored = direction.delta_h.flatten(1), again.delta_h.flatten(1)
    assert float(torch.cosine_similarity(flat, stored).min()) > 0.9999
    torch.testing.assert_close(again.step_norms(), direction.step_norms(), rtol=1e-2, atol=0)
    other = random_like(direction, torch.Generator().manual_seed(1))  # control
    assert float(torch.cosine_similarity(flat, other.delta_h.flatten(1)).max()) < 0.9


def test_a_direction_of_zeros_and_one_without_provenance(model, tmp_path: Path) -> None:
    zero = Direction(torch.zeros(3, *model.h_shape), model.schedule(3).timesteps)
    path = results.save(tmp_path / "zero", model, directions={"none": zero})
    again = results.load(path, model).directions["none"]
    assert again.norm() == 0 and again.provenance["fingerprint"] == model.fingerprint


def test_results_of_other_weights_are_refused(model, direction, tmp_path: Path) -> None:
    path = results.save(tmp_path / "named", model, {"n": torch.ones(1)})
    other = hsem.tiny_unet(seed=1)
    with pytest.raises(ValueError, match=r"python -m hsem\.recipes\.named"):
        results.load(path, other)
    assert results.load(path, other, check=False)["n"] == 1
    assert results.load(path).provenance["model"] == model.name
    with pytest.raises(ValueError, match="weights"):
        results.save(tmp_path / "wrong", other, directions={"smile": direction})


def test_missing_damaged_and_foreign_files(model, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"recipes.nowhere"):
        results.load("nowhere", model)
    with pytest.raises(FileNotFoundError, match=r"recipes.nowhere"):  # made by the same script
        results.load("nowhere-variant", model)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors here")
    with pytest.raises(OSError, match="damaged"):
        results.load(broken, model)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    with pytest.raises(ValueError, match="hsem-results"):
        results.load(foreign, model)


def test_a_user_without_a_home_is_told_what_helps(monkeypatch) -> None:
    for name in ("HOME", "HSEM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)  # as in many containers
    with pytest.raises(OSError, match=r"no home folder.*HSEM_CACHE"):
        results.cache()
    monkeypatch.setenv("HSEM_CACHE", "there")
    assert results.cache() == Path("there")  # control


def test_numbers_too_large_for_half_precision_are_refused(model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65504"):
        results.save(tmp_path / "big", model, {"big": torch.tensor([1e5])})
    results.save(tmp_path / "big", model, {"big": torch.tensor([float("nan"), 6e4])})


def test_a_killed_run_leaves_the_old_file(model, tmp_path: Path, monkeypatch) -> None:
    path = results.save(tmp_path / "old", model, {"n": torch.ones(1)})

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        results.save(path, model, {"n": torch.zeros(1)})
    assert results.load(path, model)["n"] == 1
