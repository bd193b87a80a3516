"""The detector: sees grain, sees nothing where there is nothing, and never judges whom it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

import hsem
from hsem.evaluation.detector import area, area_interval, detector

FEW = {"epochs": 20}


@pytest.fixture(scope="module")
def portraits() -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(hsem.datasets.portraits().images[:192], 4)


def grain(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_it_tells_grain_from_none_and_people_from_people_not_at_all(portraits) -> None:
    some, new = portraits[:128], portraits[128:]
    found = detector(some, some + 0.4 * grain(128), **FEW)
    assert area_interval(found.a, found.b, repeats=100).low > 0.9 and found.accuracy > 0.8
    assert area(found(new), found(new + 0.4 * grain(64, 1))) > 0.9
    nothing = detector(some[:64], some[64:], paired=False, **FEW)
    assert 0.3 < area(nothing.a, nothing.b) < 0.7  # the control: two halves of one crowd


def test_no_network_judges_a_person_it_has_seen() -> None:
    """Noise can be told apart by heart only, so whoever was not seen gets a coin's answer."""
    found = detector(grain(64), grain(64, 1), epochs=40)
    assert 0.3 < area(found.a, found.b) < 0.7
    known = area(found(grain(64)), found(grain(64, 1)))
    assert known > 0.95  # the control: by heart it knows them, half of the networks each


def test_pairs_stay_together() -> None:
    """A picture and its copy: a network that saw one of them would know the other's kind."""
    found = detector(grain(32), grain(32), epochs=10)
    assert torch.equal(found.a, found.b) and area(found.a, found.b) == 0.5


def test_area_is_the_share_of_pairs_in_order() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=30), draw.normal(0.5, size=40)
    theirs = mannwhitneyu(b, a).statistic / (30 * 40)
    assert area(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(theirs)


def test_the_same_seed_gives_the_same_answers_whatever_the_defaults(portraits) -> None:
    dim, grainy = 0.9 * portraits[:16], portraits[:16]
    before = torch.get_rng_state()
    first = detector(dim, grainy, **FEW)
    torch.set_default_dtype(torch.float64)
    try:
        second = detector(dim, grainy, **FEW)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(first.a, second.a) and torch.equal(before, torch.get_rng_state())
    other = detector(dim, grainy, seed=1, **FEW)
    assert not torch.equal(first.a, other.a)  # the control


@pytest.mark.parametrize(
    ("a", "b", "more", "match"),
    [
        (grain(8), grain(8)[:, :, :8], {}, "of one size"),
        (grain(8), grain(9), {}, "as many of each"),
        (grain(8), grain(8), {"folds": 1}, "folds must be at least 2"),
        (grain(3), grain(3), {}, "got folds=2 for 3 and 3 pictures"),
    ],
)
def test_errors(a, b, more, match) -> None:
    with pytest.raises(ValueError, match=match):
        detector(a, b, **more)
