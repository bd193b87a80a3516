"""Parts of a killed recipe are taken up again only if nothing they depend on has changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import hsem
from hsem import results
from hsem.recipes import command, parts, table_one
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


def test_a_crowd_is_sampled_once_for_all_who_begin_with_it(model, cache, monkeypatch) -> None:
    drawn: list[int] = []

    def counted(*args, **kwargs):
        drawn.extend(args[1])
        return hsem.sample(*args, **kwargs)

    monkeypatch.setattr(parts, "sample", counted)

    def crowd(one: Parts, n: int) -> hsem.Samples:
        drawn.clear()
        return parts.crowd(one, n, steps=3, eta=1.0)

    first, second, third = (
        Parts(name, model, n=1, keep_crowd=keep)
        for name, keep in (("a", True), ("b", True), ("c", False))
    )
    found = crowd(first, 130)
    assert drawn == list(range(130)) and found.seeds == tuple(range(130))
    again = hsem.sample(model, range(130), steps=3, eta=1.0, progress=False)
    torch.testing.assert_close(found.h_seq, again.h_seq)
    torch.testing.assert_close(found.images, again.images)
    first.clear()
    more = crowd(second, 150)  # the first hundred are there
    assert drawn == list(range(100, 150))
    assert torch.equal(more.h_seq[:100], found.h_seq[:100])
    second.clear()
    crowd(third, 150)
    assert not drawn
    third.clear()  # who was not told to keep it takes it along
    assert not list((cache / "parts").iterdir())
    crowd(third, 20)
    assert drawn == list(range(20))


def test_a_crowd_in_half_precision_is_kept_without_loss(model, cache) -> None:
    with results.in_dtype(model, torch.bfloat16):
        one = Parts("a", model)
        fresh, read = (parts.crowd(one, 7, steps=2, eta=1.0) for _ in range(2))
        plain = hsem.sample(model, range(7), steps=2, eta=1.0, progress=False)
    assert read.h_seq.dtype == plain.h_seq.dtype == torch.float32
    assert torch.equal(read.h_seq, plain.h_seq) and torch.equal(fresh.h_seq, read.h_seq)


def test_the_name_of_a_variant_has_its_options(model, cache, monkeypatch, capsys) -> None:
    seen: list[tuple[str, float, int]] = []

    def fill(args, _):
        seen.append((args.output, args.scale, args.n))
        return Path(__file__)

    monkeypatch.setattr(table_one, "fill", fill)
    monkeypatch.setattr(command, "load", lambda *_, **__: model)

    def made(*words: str) -> list[tuple[str, float, int]]:
        seen.clear()
        monkeypatch.setattr(sys, "argv", ["table_one", *words])
        command.run(table_one.__name__)
        return list(seen)

    every = {name: (name, flags.get("scale", 1.0), flags.get("n", 100))
             for name, flags in table_one.VARIANTS.items()}  # fmt: skip
    assert made() == list(every.values()) and len(every) == 4
    assert made("--output", "table_one-half") == [every["table_one-half"]] != [every["table_one"]]
    assert made("--output", "table_one-half", "--n", "7") == [("table_one-half", 0.5, 7)]
    mine = str(cache / "mine.safetensors")
    assert made("--output", mine) == [(mine, 1.0, 100)]
