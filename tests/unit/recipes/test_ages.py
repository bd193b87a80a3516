"""Handles of several networks: each of its own samples, in one way; kept when weights are gone."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem import results
from hsem.evaluation import targets
from hsem.evaluation.effects import FIRST_SEED, edited_scores
from hsem.judges.scorers import from_function
from hsem.recipes import ages
from tests.tooling.conftest import small

pytestmark = pytest.mark.slow
SIZES = ["--n", "16", "--count", "3", "--people", "2"]


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ages")
    other = small(seed=9)

    def fill(*words: str, of: hsem.HSpaceUNet = model) -> results.Results:
        args = ages.parser().parse_args([*SIZES, "--output", str(folder / "a.safetensors"), *words])
        return results.load(ages.fill(args, of), check=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSEM_CACHE", str(folder / "cache"))
        patch.setattr(ages, "STEPS", 4)
        patch.setattr(hsem, "load", lambda *args, **kwargs: other)
        yield fill("--also", "early=runs/early"), fill()


def test_each_handle_is_that_of_equation_11(model, stored) -> None:
    first, second = hsem.judges_of(model)
    table = hsem.annotate(
        model, from_function(first.raw, first.names), range(16), steps=4, progress=False
    )
    v = hsem.supervised_direction(model, hsem.extremes(table, "yaw", count=3), progress=False)
    people = range(FIRST_SEED, FIRST_SEED + 2)
    down, plain, up = stored[0]["ordinary/yaw"] * second.spread
    for found, scale in ((down, -2.0), (plain, 0.0), (up, 2.0)):
        edit = hsem.add(v, scale) if scale else None
        again = edited_scores(model, second, people, v.timesteps, edit, eta=1.0)
        torch.testing.assert_close(found, again.float(), atol=2e-2, rtol=2e-2)
    assert not torch.allclose(down, up, atol=1e-3)  # control
    assert not torch.equal(stored[0]["ordinary/yaw"], stored[0]["ordinary/random"])


def test_each_network_is_measured_by_itself_and_kept(model, stored) -> None:
    whole, again = stored
    keys = {*whole.provenance["handles"], "random"}
    assert set(whole.tensors) == {f"{x}/{k}" for x in ("ordinary", "early") for k in keys}
    assert not torch.allclose(whole["ordinary/yaw"][1], whole["early/yaw"][1])
    assert again.tensors.keys() == whole.tensors.keys()  # though its weights were not named
    for key, value in whole.tensors.items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)
    assert again.provenance["fingerprints"] == whole.provenance["fingerprints"]


def test_targets_read_handles_of_networks_that_are_gone(stored, monkeypatch) -> None:
    whole = stored[0]
    monkeypatch.setattr(targets.results, "load", lambda *args, **kwargs: whole)
    marks = whole.provenance["fingerprints"]
    for label, mark in marks.items():
        columns = whole.provenance["columns"]
        curves = [whole[f"{label}/{n}"][..., columns.index(n)] for n in targets.HANDLES]
        expected = sum(
            bool((c.mean(1).diff() > -0.01).all()) and float((c[2] - c[0]).min()) > 1.5
            for c in curves
        )
        assert targets.passing_as_one_of("ages", mark) == pytest.approx(expected, abs=1)
    assert targets.passing_as_one_of("ages", "of no network") is None  # control
