"""Parts of a killed recipe are taken up again only if nothing they depend on has changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import hsem
from hsem import results
from hsem.recipes import command, parts
from hsem.recipes.parts import Parts


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file" / "deeper"


def test_parts_of_other_directions_are_not_found(model, cache, tmp_path: Path) -> None:
    """The options name stored results; they are made again at the same place, under one name."""
    named, output = tmp_path / "named.safetensors", str(tmp_path / "sequence.safetensors")

    def make(value: float, path: Path = named) -> None:
        results.save(path, model, {"x": torch.full((2,), value)})

    def folder(**more: object) -> Path:
        return Parts(output, model, people=2, directions=str(named), output=output, **more).folder

    make(1.0)
    before = folder()
    assert folder() == before  # control: the same again
    make(2.0)
    assert folder() != before
    by_name = Parts(output, model, directions="named").folder
    make(3.0, results.places("named", model)[1])  # where `load_or_make` keeps it
    assert Parts(output, model, directions="named").folder != by_name
    now = folder()
    make(3.0, Path(output))  # control: what a recipe writes is not what it takes
    assert folder() == now and folder(device="", title="/") != now


@pytest.mark.parametrize("what", ["__version__", "RECIPES"])
def test_parts_of_other_code_are_not_found(model, cache, what: str, monkeypatch) -> None:
    before = Parts("named", model, n=1).folder
    assert Parts("named", model, n=1).folder == before
    monkeypatch.setattr(parts, what, "other")
    assert Parts("named", model, n=1).folder != before


def test_the_mark_of_the_recipes_is_of_their_text() -> None:
    paths = sorted(Path(parts.__file__).parent.glob("*.py"))
    assert parts._mark(*(p.read_bytes() for p in paths)) == parts.RECIPES
    edited = [p.read_bytes().replace(b"FIRST_SEED + 20_000", b"FIRST_SEED + 20_001") for p in paths]
    assert parts._mark(*edited) != parts.RECIPES


def test_a_cache_that_cannot_be_made_is_noticed_at_once(model, below_a_file, monkeypatch) -> None:
    recipe, _ = command.find("sequence")
    made: list[int] = []
    monkeypatch.setattr(recipe, "fill", lambda *_: made.append(1))
    monkeypatch.setattr(recipe, "runs", lambda _: 1)
    monkeypatch.setenv("HSEM_CACHE", str(below_a_file))
    with pytest.raises(OSError, match=r"HSEM_CACHE=.*cannot be written"):
        Parts("named", model)
    with pytest.raises(OSError, match=r"HSEM_CACHE=.*cannot be written"):
        results.load_or_make("sequence", model)
    assert not made
    monkeypatch.setenv("HSEM_CACHE", str(below_a_file.parent.parent / "cache"))
    with pytest.raises(FileNotFoundError):  # control: computed, by a recipe that writes nothing
        results.load_or_make("sequence", model)
    assert made


def test_an_output_that_cannot_be_written_is_noticed_at_once(below_a_file, monkeypatch) -> None:
    recipe, _ = command.find("sequence")
    loaded: list[int] = []

    def load(*_: object, **__: object) -> hsem.HSpaceUNet:
        loaded.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "load", load)
    for output in (below_a_file / "x.safetensors", below_a_file.parent.parent / "new" / "x"):
        monkeypatch.setattr(sys, "argv", ["sequence", "--output", str(output)])
        with pytest.raises((OSError, KeyboardInterrupt)) as caught:
            command.run(recipe.__name__)
        noticed = isinstance(caught.value, OSError) and "output=" in str(caught.value)
        assert noticed == (not loaded) == ("file" in output.parts)  # the second is the control


def test_a_cache_of_somebody_without_a_home(monkeypatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    assert results.cache() == tmp_path
    monkeypatch.delenv("HSEM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(OSError, match="HSEM_CACHE"):  # control
        results.cache()


def test_a_damaged_result_in_the_cache_says_what_to_delete(model, cache, monkeypatch) -> None:
    recipe, _ = command.find("sequence")
    path = results.places("sequence", model)[1]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(OSError, match=f"{path.name}.*delete it.*--output {path}"):
        results.load_or_make("sequence", model)
    path.unlink()
    monkeypatch.setattr(recipe, "runs", lambda _: 1)
    monkeypatch.setattr(
        recipe, "fill", lambda args, m: results.save(args.output, m, {"x": torch.ones(1)})
    )
    assert results.load_or_make("sequence", model)["x"] == 1  # control: the advice helps
