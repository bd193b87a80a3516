"""HSpacePCA against scikit-learn's PCA and IncrementalPCA on the same samples and batches."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA, IncrementalPCA
from torch import Tensor

from hsem.unsupervised.pca import HSpacePCA

N, T, K = 90, 3, 4


@pytest.fixture(scope="module")
def h() -> Tensor:
    g = torch.Generator().manual_seed(0)
    mixing = torch.randn(T, 30, 16, generator=g, dtype=torch.float64)
    x = torch.einsum("nf,tfd->ntd", torch.randn(N, 30, generator=g, dtype=torch.float64), mixing)
    return (x + 2.0).reshape(N, T, 4, 2, 2)


def flat(h: Tensor, step: int | None) -> np.ndarray:
    return (h.flatten(1) if step is None else h[:, step].flatten(1)).numpy()


def same(ours: Tensor, theirs: np.ndarray, tolerance: float) -> None:
    cosines = np.abs((ours.flatten(1).numpy() * theirs).sum(1))
    np.testing.assert_allclose(cosines, 1.0, atol=tolerance)


@pytest.mark.parametrize("batch", [10, 33, 90])
def test_incremental_pca_per_step(h, batch):
    ours = HSpacePCA(K, extra=0).fit(h, batch_size=batch)
    for i in range(T):
        theirs = IncrementalPCA(K, batch_size=batch)
        for start in range(0, N, batch):
            theirs.partial_fit(flat(h, i)[start : start + batch])
        same(ours.components_[:, i], theirs.components_, 1e-9)
        for name in ("explained_variance_", "explained_variance_ratio_"):
            np.testing.assert_allclose(getattr(ours, name)[:, i], getattr(theirs, name), rtol=1e-9)
        np.testing.assert_allclose(ours.mean_[i].flatten(), theirs.mean_, rtol=1e-12)
        scores = theirs.transform(flat(h, i))
        mine = ours.transform(h)[:, :, i].abs().numpy()
        np.testing.assert_allclose(mine, np.abs(scores), atol=1e-7)


def test_incremental_pca_joint(h):
    ours = HSpacePCA(K, extra=0, joint=True).fit(h, batch_size=30)
    theirs = IncrementalPCA(K, batch_size=30).fit(flat(h, None))
    same(ours.components_, theirs.components_, 1e-9)
    np.testing.assert_allclose(
        ours.explained_variance_[:, 0], theirs.explained_variance_, rtol=1e-9
    )


def test_batch_pca(h):
    ours = HSpacePCA(K).fit(h, batch_size=N)
    for i in range(T):
        theirs = PCA(K, svd_solver="full").fit(flat(h, i))
        same(ours.components_[:, i], theirs.components_, 1e-9)
        np.testing.assert_allclose(
            ours.explained_variance_[:, i], theirs.explained_variance_, rtol=1e-9
        )


def test_we_explain_no_less_than_incremental_pca_with_the_same_batches(h):
    ours = HSpacePCA(K).fit(h, batch_size=10)
    for i in range(T):
        theirs = IncrementalPCA(K, batch_size=10).fit(flat(h, i))
        best = PCA(K, svd_solver="full").fit(flat(h, i)).explained_variance_.sum()
        mine = float(ours.explained_variance_[:, i].sum())
        assert theirs.explained_variance_.sum() < mine <= best * (1 + 1e-12)


def test_other_samples_have_other_components(h):
    """Negative control for `same`."""
    ours = HSpacePCA(K).fit(h, batch_size=N)
    theirs = PCA(K, svd_solver="full").fit(flat(h, 0)[::2])
    with pytest.raises(AssertionError):
        same(ours.components_[:, 1], theirs.components_, 1e-9)
