"""Pairs that differ in one attribute, found again by hand; and the recipe runs."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from hsem import results
from hsem.recipes import arithmetic

UNIT = torch.tensor([1.0, 2.0, 0.5, 1.0])


@pytest.fixture
def attributes() -> torch.Tensor:
    return torch.randn(40, 4, generator=torch.Generator().manual_seed(0)) * UNIT


def by_hand(attributes: torch.Tensor, pair: list[int], column: int) -> tuple[float, float]:
    """RMS difference of the rest, and difference of the attribute, in units."""
    one, two = (attributes[k] / UNIT for k in pair)
    rest = [float(one[a] - two[a]) ** 2 for a in range(4) if a != column]
    return (sum(rest) / 3) ** 0.5, float(one[column] - two[column])


def test_pairs_differ_in_the_attribute_and_strangers_do_not(attributes) -> None:
    pairs, rest, gap = arithmetic.alike(attributes, UNIT, 1, 4)
    assert pairs.shape == (2, 4, 2) and rest.shape == gap.shape == (2, 4)
    for kind in (0, 1):
        assert len(set(pairs[kind].flatten().tolist())) == 8  # nobody twice
        for k, pair in enumerate(pairs[kind].tolist()):
            found = by_hand(attributes, pair, 1)
            assert found == pytest.approx((float(rest[kind, k]), float(gap[kind, k])), abs=1e-5)
    every = [by_hand(attributes, list(p), 1) for p in combinations(range(40), 2)]
    gaps = sorted(abs(g) for _, g in every)
    assert float(gap[0].min()) >= gaps[-len(gaps) // 10] - 1e-6
    assert 0 <= float(gap[1].min()) <= float(gap[1].max()) <= gaps[len(gaps) // 10] + 1e-6
    large = [r for r, g in every if abs(g) >= float(gap[0].min()) - 1e-6]
    assert float(rest[0, 0]) == pytest.approx(min(large), abs=1e-5)  # the most alike of all
    assert float((rest[0] - rest[1]).abs().max()) < 0.3  # strangers differ as much otherwise
    usual = sum(r for r, _ in every) / len(every)
    assert float(rest.max()) < usual  # the control: two people drawn blindly


def test_too_few_people_are_refused(attributes) -> None:
    with pytest.raises(ValueError, match="--among"):
        arithmetic.alike(attributes[:6], UNIT, 1, 4)


@pytest.mark.slow
def test_the_recipe_runs_and_is_reproducible(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    results.load_or_make("named", model, n=24, count=4, people=2)
    results.load_or_make("factors", model, n=40, m=2, k=2, people=2, draws=2)
    found = results.load_or_make("arithmetic", model, pairs=2, people=2)
    a = len(found.provenance["columns"])
    assert found["scores"].shape == (2, 2, 2, 2, a)
    assert found["plain"].shape == found["sum/both"].shape == found["sum/yaw"].shape == (2, a)
    moved = (found["scores"] - found["plain"]).abs().mean((0, 1, 3, 4))
    assert float(moved[1]) > float(moved[0]) > 0  # five times the strength does more
