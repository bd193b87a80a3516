"""The bootstrap against a PCA of the drawn samples themselves, and its fall with n."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from hsem.evaluation.stability import Estimate, bootstrap, bootstrap_angles, ratio_interval
from hsem.unsupervised.jacobian import largest_principal_angle
from hsem.unsupervised.pca import HSpacePCA


def data(n: int, gap: float) -> Tensor:
    """12 factors; the first two stand out by the factor `gap`."""
    g = torch.Generator().manual_seed(0)
    strength = torch.ones(12, dtype=torch.float64)
    strength[:2] = gap
    factors = torch.randn(n, 12, generator=g, dtype=torch.float64) * strength
    basis = torch.linalg.qr(torch.randn(2, 12, 12, generator=g, dtype=torch.float64))[0]
    return torch.einsum("nf,tfd->ntd", factors, basis).reshape(n, 2, 3, 2, 2)


def test_it_is_the_pca_of_the_drawn_samples():
    h = data(80, 2.0)
    pca = HSpacePCA(2, extra=10).fit(h, batch_size=80)  # keeps all 12 dimensions
    angles = bootstrap_angles(pca.scores_, 2, repeats=3, n=40)
    g = torch.Generator().manual_seed(0)
    for r in range(3):
        drawn = h[torch.randint(80, (40,), generator=g)]
        again = HSpacePCA(2).fit(drawn, batch_size=40)
        for t in range(2):
            expected = largest_principal_angle(pca.components_[:, t], again.components_[:, t])
            assert float(angles[r, t]) == pytest.approx(expected, abs=1e-6)


def test_more_samples_and_a_larger_gap_are_more_stable():
    def typical(n: int, gap: float) -> float:
        scores = HSpacePCA(2, extra=10).fit(data(1600, gap), batch_size=400).scores_
        return float(bootstrap_angles(scores, 2, n=n, repeats=40).median())

    few, many = typical(100, 2.0), typical(1600, 2.0)
    assert few / many == pytest.approx(4, rel=0.35)  # 1 / sqrt(n)
    assert typical(1600, 1.0) > 0.5 > 5 * many  # no gap, no subspace: the control


def test_errors():
    scores = torch.randn(30, 4, 2)
    with pytest.raises(ValueError, match=r"k' > k"):
        bootstrap_angles(scores, 4)
    with pytest.raises(ValueError, match="more than k=2 samples"):
        bootstrap_angles(scores, 2, n=2)


def test_a_ratio_of_means_and_its_interval_agree_with_scipy():
    g = torch.Generator().manual_seed(0)
    a, b = 3 + torch.rand(40, 2, generator=g), 1 + torch.rand(40, 2, generator=g)
    ours = ratio_interval(a, b, repeats=9000)
    theirs = scipy.stats.bootstrap(
        (a.mean(1).numpy(), b.mean(1).numpy()),
        lambda x, y, axis: x.mean(axis) / y.mean(axis),
        paired=True,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert ours.value == pytest.approx(float(a.mean() / b.mean()), rel=1e-6)
    assert ours[1:3] == pytest.approx((theirs.low, theirs.high), abs=0.015)
    assert ours.n == 40
    assert ours.low < ours.value < ours.high
    same = ratio_interval(a, a.roll(1, 0))  # the control: no difference
    assert same.low < 1 < same.high


def test_errors_of_ratios():
    with pytest.raises(ValueError, match="the same in each"):
        ratio_interval(torch.ones(3), torch.ones(4))
    with pytest.raises(ValueError, match="positive in every draw"):
        ratio_interval(torch.ones(3), torch.zeros(3))


def test_people_are_drawn_again_with_all_that_is_theirs():
    g = torch.Generator().manual_seed(0)
    before = 3 * torch.randn(60, 4, generator=g)  # people differ much
    after = before + 1 + 0.1 * torch.randn(60, 4, generator=g)  # and all change alike

    def change(a: Tensor, b: Tensor) -> Tensor:
        assert a.shape == b.shape == (60, 4)
        return (b - a).mean()

    paired = bootstrap(change, before, after)
    assert paired.value == pytest.approx(float((after - before).mean()), abs=1e-6)
    assert paired.low > 0.9 and paired.high < 1.1
    assert paired == bootstrap(change, before, after)  # the seed is an argument
    assert paired != bootstrap(change, before, after, seed=1)
    torn = bootstrap(change, before, after[torch.randperm(60, generator=g)])
    assert torn.high - torn.low > 5 * (paired.high - paired.low)  # the control: pairs broken


def test_the_interval_holds_the_truth_as_often_as_it_says():
    g = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(100):
        x = torch.randn(50, generator=g)
        found = bootstrap(torch.mean, x, repeats=300)
        hits += found.low <= 0 <= found.high
    assert 88 <= hits <= 99


def test_an_estimate_as_text():
    made = Estimate(-0.294, -0.301, 0.0004, 20)
    assert str(made) == "\N{MINUS SIGN}0.29 (\N{MINUS SIGN}0.30 to 0.00)"
    assert f"{Estimate(0.294, 0.25, 0.316, 20):.0%}" == "29% (25% to 32%)"


def test_errors_of_the_bootstrap():
    for samples in ((), (torch.ones(1),), (torch.ones(3), torch.ones(4))):
        with pytest.raises(ValueError, match="at least two people"):
            bootstrap(torch.mean, *samples)
    with pytest.raises(ValueError, match="level=1"):
        bootstrap(torch.mean, torch.ones(3), level=1)
