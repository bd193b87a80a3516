"""Choosing positive and negative examples: extremes, balance, and what cannot be chosen."""

import pytest
import torch

from hsem.supervised.annotation import Annotation
from hsem.supervised.examples import Examples, extremes

TIMESTEPS, ETA = (900, 500, 100), (1.0, 1.0, 1.0)


def table(**columns: torch.Tensor) -> Annotation:
    """A table with given columns; seed = 1000 + row, so that seeds and rows cannot be confused."""
    scores = torch.stack([torch.as_tensor(c, dtype=torch.float64) for c in columns.values()], dim=1)
    seeds = tuple(range(1000, 1000 + len(scores)))
    return Annotation(seeds, scores, tuple(columns), TIMESTEPS, ETA, {"model": "m"})


@pytest.fixture(scope="module")
def entangled():
    """400 samples whose glasses and age go together (r = 0.7), and a hat that is 0 or 1."""
    g = torch.Generator().manual_seed(0)
    age = torch.randn(400, generator=g)
    glasses = 0.7 * age + 0.51**0.5 * torch.randn(400, generator=g)
    return table(glasses=glasses, age=age, hat=(torch.rand(400, generator=g) < 0.3).double())


def mean_gap(annotation: Annotation, examples: Examples, name: str) -> float:
    """How much the examples differ in an attribute, in standard deviations."""
    scores = annotation.column(name)
    sides = [scores[torch.tensor(side) - 1000] for side in (examples.positive, examples.negative)]
    return float((sides[0].mean() - sides[1].mean()) / scores.std())


def test_extremes_are_the_highest_and_lowest_strongest_first():
    chosen = extremes(table(smile=[3.0, 9, 1, 7, 5, 0]), "smile", count=2)
    assert chosen.positive == (1001, 1003) and chosen.negative == (1005, 1002)
    assert chosen.timesteps == TIMESTEPS and chosen.eta == ETA
    assert chosen.provenance["model"] == "m"


@pytest.mark.parametrize(("quantile", "n"), [(0.1, 40), (0.5, 200), (0.001, 1)])
def test_quantiles(entangled, quantile, n):
    chosen = extremes(entangled, "age", quantile=quantile)
    assert len(chosen) == n
    scores = entangled.column("age")
    below = scores[torch.tensor(chosen.negative) - 1000].max()
    assert int((scores <= below).sum()) == n


def test_a_hundred_by_default(entangled):
    assert len(extremes(entangled, "age")) == 100


def test_balanced_selection_is_balanced(entangled):
    plain = extremes(entangled, "glasses", count=40)
    gap = mean_gap(entangled, plain, "age")
    assert gap > 1.5  # control: unbalanced, age comes with glasses
    for groups, left in ((2, 0.5), (10, 0.2)):
        even = extremes(entangled, "glasses", count=40, balance="age", groups=groups)
        assert len(even) == 40
        age = entangled.column("age")
        cuts = torch.quantile(age, torch.linspace(0, 1, groups + 1).double())[1:-1]
        for side in (even.positive, even.negative):
            group = torch.bucketize(age[torch.tensor(side) - 1000], cuts)
            assert torch.bincount(group).tolist() == [40 // groups] * groups
        assert abs(mean_gap(entangled, even, "age")) < left * gap
        assert mean_gap(entangled, even, "glasses") > 1.0  # and the attribute itself still differs


def test_a_label_of_zeros_and_ones_makes_two_groups(entangled):
    even = extremes(entangled, "glasses", count=30, balance="hat")
    for side in (even.positive, even.negative):
        assert entangled.column("hat")[torch.tensor(side) - 1000].sum() == 15


def test_several_attributes_are_balanced_together(entangled):
    even = extremes(entangled, "glasses", count=24, balance=["age", "hat"])
    hat, age = entangled.column("hat"), entangled.column("age")
    for side in (even.positive, even.negative):
        rows = torch.tensor(side) - 1000
        cell = 2 * (age[rows] >= age.quantile(0.5)) + hat[rows]
        assert torch.bincount(cell.long()).tolist() == [6, 6, 6, 6]


def test_pairs_belong_to_one_group_and_the_first_are_balanced_too(entangled):
    even = extremes(entangled, "glasses", count=40, balance="hat")
    hat = {seed: float(h) for seed, h in zip(entangled.seeds, entangled.column("hat"), strict=True)}
    pairs = list(zip(even.positive, even.negative, strict=True))
    assert all(hat[p] == hat[n] for p, n in pairs)
    assert sum(hat[p] for p in even.first(10).positive) == 5


def test_counts_are_rounded_down_to_what_the_groups_can_share(entangled):
    assert len(extremes(entangled, "glasses", count=31, balance="age", groups=3)) == 30


def test_drawing_keeps_pairs_together_and_depends_on_the_generator_alone(entangled):
    chosen = extremes(entangled, "age", count=50)
    pairs = set(zip(chosen.positive, chosen.negative, strict=True))
    a, b = (chosen.draw(20, torch.Generator().manual_seed(s)) for s in (0, 0))
    assert a.positive == b.positive and len(set(a.positive)) == 20
    assert set(zip(a.positive, a.negative, strict=True)) <= pairs
    assert chosen.draw(20, torch.Generator().manual_seed(1)).positive != a.positive
    for n in (0, 51):
        with pytest.raises(ValueError, match=r"outside 1\.\.50"):
            chosen.draw(n, torch.Generator())


def test_shuffled_labels_know_nothing_of_the_attribute(entangled):
    chosen = extremes(entangled, "age", count=50)
    mixed = chosen.shuffled(torch.Generator().manual_seed(0))
    assert {*mixed.positive, *mixed.negative} == {*chosen.positive, *chosen.negative}
    assert len(mixed) == 50 and mixed.provenance["labels"] == "shuffled"
    kept = len({*mixed.positive} & {*chosen.positive})
    assert 15 <= kept <= 35  # of 50, by lot; all of them without shuffling
    again = chosen.shuffled(torch.Generator().manual_seed(0))
    assert again.positive == mixed.positive
    assert chosen.shuffled(torch.Generator().manual_seed(1)).positive != mixed.positive


# --------------------------------------------------------------------------- what cannot be chosen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 4}, "need 8 samples, but there are 6"),
        ({"count": 0}, "count must be 1 or more"),
        ({"quantile": 0.6}, "at most 0.5"),
        ({"quantile": 0.0}, "above 0"),
        ({"count": 1, "quantile": 0.1}, "not both"),
        ({"count": 2, "balance": "smile"}, "comes twice"),
        ({"count": 2, "balance": "flat"}, "too much alike"),
        ({"count": 2, "balance": "age", "groups": 1}, "groups must be 2 or more"),
        ({"count": 2, "balance": "age", "groups": 3}, "cannot be shared among 3 groups"),
        ({"count": 2, "balance": "nose"}, "no attribute 'nose'; there are smile, age, flat"),
        ({"count": 6, "balance": "age"}, "there are 3 in one of the 2 groups"),
    ],
)
def test_bad_selections(options, words):
    six = table(smile=[3.0, 9, 1, 7, 5, 0], age=[1.0, 2, 3, 4, 5, 6], flat=[1.0] * 6)
    with pytest.raises(ValueError, match=words):
        extremes(six, "smile", **options)


def test_an_attribute_that_does_not_exist():
    with pytest.raises(ValueError, match="no attribute 'smil'; there are smile"):
        extremes(table(smile=[0.0, 1.0]), "smil", count=1)


def test_constant_scores():
    with pytest.raises(ValueError, match="all samples have the same score for 'smile'"):
        extremes(table(smile=[0.5] * 10), "smile", count=2)


def test_labels_of_which_too_few_are_positive():
    hat = [1.0, 1.0] + [0.0] * 8
    assert extremes(table(hat=hat), "hat", count=2).positive == (1001, 1000)
    with pytest.raises(ValueError, match="3 highest and 3 lowest scores overlap"):
        extremes(table(hat=hat), "hat", count=3)


def test_missing_scores_are_refused_or_left_out():
    nan = float("nan")
    holes = table(yaw=[nan, 1.0, 2.0, 3.0, 4.0, nan])
    with pytest.raises(ValueError, match=r"\{'yaw': 2\} of 6 samples.*drop_missing=True"):
        extremes(holes, "yaw", count=1)
    chosen = extremes(holes, "yaw", count=2, drop_missing=True)
    assert chosen.positive == (1004, 1003) and chosen.negative == (1001, 1002)
    with pytest.raises(ValueError, match="need 6 samples, but there are 4"):
        extremes(holes, "yaw", count=3, drop_missing=True)
    with pytest.raises(ValueError, match="only NaN"):
        extremes(table(yaw=[nan] * 4), "yaw", count=1, drop_missing=True)


@pytest.mark.parametrize(
    ("positive", "negative", "eta", "words"),
    [
        ((1, 2), (3,), ETA, "as many positive as negative"),
        ((1, 2), (2, 3), ETA, r"seeds \[2\] are both"),
        ((1,), (2,), (1.0,), r"one number per step \(3\)"),
        ((), (), ETA, "at least one"),
    ],
)
def test_bad_examples(positive, negative, eta, words):
    with pytest.raises(ValueError, match=words):
        Examples("smile", positive, negative, TIMESTEPS, eta)
