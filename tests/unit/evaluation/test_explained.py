"""How much known factors explain: known answers, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsem.evaluation.explained import correlation, explained_share, predicted, shuffled

N = 400


def draws(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_share_is_the_one_that_was_put_in() -> None:
    factors = draws(N, 3, seed=0)
    noise = draws(N, 2, seed=1)
    # 80 % of the first component's variance and none of the second's
    scores = torch.stack([2 * factors[:, 0] + noise[:, 0], noise[:, 1]], 1)
    first = explained_share(scores[:, :1], factors)
    assert first.low < 0.8 < first.high and first.n == N
    both = explained_share(scores, factors)  # variances 5 and 1
    assert both.value == pytest.approx(0.8 * 5 / 6, abs=0.05)


def test_shuffled_factors_explain_nothing_however_many_there_are() -> None:
    factors = draws(N, 60, seed=2)
    scores = factors[:, :1] + 0.1 * draws(N, 1, seed=3)
    assert explained_share(scores, factors).low > 0.95
    control = explained_share(scores, shuffled(factors, torch.Generator().manual_seed(0)))
    assert -0.1 < control.value < 0.05 and control.low < 0.02


def test_no_sample_helps_to_predict_itself() -> None:
    factors, scores = draws(N, 3, seed=4), draws(N, 1, seed=5)
    changed = scores.clone()
    changed[7] += 1000.0
    before, after = predicted(scores, factors), predicted(changed, factors)
    torch.testing.assert_close(before[7], after[7])
    assert not torch.allclose(before, after)


def test_a_factor_that_only_one_sample_has_does_no_harm() -> None:
    factors, noise = draws(N, 2, seed=8), draws(N, 1, seed=9)
    scores = factors[:, :1] + 0.5 * noise
    rare = 1e-9 * factors[:, 1:].abs()  # a probability, of sunglasses perhaps
    rare[3] = 1.0
    found = explained_share(scores, torch.cat([factors, rare], 1))
    assert 0.7 < found.low < found.high < 0.9


def test_units_do_not_matter() -> None:
    factors, noise = draws(N, 2, seed=6), draws(N, 1, seed=7)
    scores = factors.sum(1, keepdim=True) + noise
    moved = factors * torch.tensor([1000.0, 1e-3]) + 5
    torch.testing.assert_close(predicted(scores, factors), predicted(scores, moved))


@pytest.mark.parametrize("n_scores, n_factors", [(30, 29), (8, 8)])
def test_other_or_too_few_samples_are_refused(n_scores: int, n_factors: int) -> None:
    with pytest.raises(ValueError, match="the same n >= 20 samples"):
        explained_share(torch.zeros(n_scores, 1), torch.zeros(n_factors, 2))


def test_correlations_are_those_of_numpy_and_constants_have_none() -> None:
    draw = torch.Generator().manual_seed(4)
    a = torch.randn(40, 3, generator=draw)
    b = torch.cat([a[:, :1] + torch.randn(40, 1, generator=draw), torch.ones(40, 1)], 1)
    expected = np.corrcoef(a.T.numpy(), b[:, :1].T.numpy())[:3, 3:]
    np.testing.assert_allclose(correlation(a, b)[:, :1].numpy(), expected, atol=1e-6)
    assert torch.equal(correlation(a, b)[:, 1], torch.zeros(3, dtype=torch.float64))
