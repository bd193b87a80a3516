"""Gluing components across timesteps: planted swaps and sign flips must come out again."""

import itertools

import pytest
import torch
from torch import Tensor

from hsem.unsupervised.alignment import align_components, score_correlations

N, K, T = 200, 6, 9


def planted(noise: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (N, K, T) of K factors that drift slowly, shuffled and flipped at every step.

    Returns the scores, and where factor j went: position (T, K) and sign (T, K).
    """
    g = torch.Generator().manual_seed(seed)
    factors = torch.randn(N, K, generator=g, dtype=torch.float64)
    scores = torch.empty(N, K, T, dtype=torch.float64)
    position, sign = torch.empty(T, K, dtype=torch.long), torch.empty(T, K, dtype=torch.float64)
    for i in range(T):
        factors = factors + noise * torch.randn(N, K, generator=g, dtype=torch.float64)
        position[i] = torch.randperm(K, generator=g)
        sign[i] = torch.randint(0, 2, (K,), generator=g).double() * 2 - 1
        scale = 10.0 * (1 + i)  # the size of h changes a lot over the steps
        scores[:, position[i], i] = factors * sign[i] * scale + 5.0
    return scores, position, sign


@pytest.mark.parametrize("seed", range(4))
def test_planted_swaps_and_flips_are_undone(seed):
    scores, position, sign = planted(0.2, seed)
    found = align_components(score_correlations(scores))
    # Track j begins at component j of step 0; which factor is that?
    factor = position[0].argsort()
    assert torch.equal(found.order, position[:, factor])
    assert torch.equal(found.sign, sign[:, factor] * sign[0, factor])
    assert bool((found.similarity > 0.8).all())


def test_without_alignment_the_jth_component_is_a_patchwork():
    """Negative control: what 'the j-th component of each step' means on the same data."""
    scores, _, _ = planted(0.2)
    correlation = score_correlations(scores)
    naive = torch.diagonal(correlation, dim1=1, dim2=2)
    glued = align_components(correlation)
    assert naive.abs().mean() < 0.5 < 0.8 < glued.similarity.mean()
    assert bool((naive < 0).any())


def test_sign_alignment_alone_would_not_do():
    """The official code flips signs but never swaps: the order is the larger problem here."""
    scores, _, _ = planted(0.05)
    correlation = score_correlations(scores)
    only_signs = torch.diagonal(correlation, dim1=1, dim2=2).abs()
    assert only_signs.mean() < 0.5 and align_components(correlation).similarity.mean() > 0.95


def test_each_component_is_used_once_and_the_match_is_the_best_there_is():
    g = torch.Generator().manual_seed(3)
    similarity = torch.rand(5, 5, 5, generator=g, dtype=torch.float64) * 2 - 1
    found = align_components(similarity)
    assert torch.equal(found.order.sort(dim=1).values, torch.arange(5).repeat(6, 1))
    for i, step in enumerate(similarity):  # against all 120 permutations
        best = max(
            sum(float(step[a, b].abs()) for a, b in enumerate(p))
            for p in itertools.permutations(range(5))
        )
        assert float(found.similarity[i].sum()) == pytest.approx(best)


def test_a_torn_track_shows_in_its_similarity():
    scores, _, _ = planted(0.1)
    g = torch.Generator().manual_seed(9)
    scores[:, :, 4:] = scores[torch.randperm(N, generator=g)][:, :, 4:]  # other samples from there
    found = align_components(score_correlations(scores))
    assert found.similarity[3].max() < 0.5 < found.similarity[[0, 1, 2, 4, 5, 6, 7]].min()


def test_scores_glue_what_cosines_cannot_because_the_basis_turned():
    """The same factors in other coordinates at each step, as h-space may well do."""
    g = torch.Generator().manual_seed(0)
    scores, position, _ = planted(0.1)
    components = torch.randn(K, T, 64, generator=g, dtype=torch.float64)
    flat = torch.nn.functional.normalize(components, dim=2)
    cosines = torch.einsum("aid,bid->iab", flat[:, :-1], flat[:, 1:])
    assert cosines.abs().max() < 0.6
    by_scores = align_components(score_correlations(scores)).order
    by_cosine = align_components(cosines).order
    factor = position[0].argsort()
    assert torch.equal(by_scores, position[:, factor])
    assert not torch.equal(by_cosine, position[:, factor])


def test_correlations_agree_with_numpy():
    scores, _, _ = planted(0.5)
    expected = torch.corrcoef(torch.cat([scores[:, :, 2], scores[:, :, 3]], dim=1).T)[:K, K:]
    torch.testing.assert_close(score_correlations(scores)[2], expected)


def test_a_component_without_variance_harms_nothing():
    scores, _, _ = planted(0.2)
    scores[:, 1, 3] = 7.0
    assert bool(torch.isfinite(align_components(score_correlations(scores)).similarity).all())


def test_one_step_needs_no_glue():
    found = align_components(score_correlations(torch.randn(10, K, 1)))
    assert found.order.tolist() == [list(range(K))] and found.similarity.shape == (0, K)


def test_errors():
    with pytest.raises(ValueError, match=r"scores must be \(n, k, T\)"):
        score_correlations(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"similarity must be \(T - 1, k, k\)"):
        align_components(torch.zeros(3, 4))
