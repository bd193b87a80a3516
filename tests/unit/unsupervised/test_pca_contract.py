"""scikit-learn's contract: settings, copies, and the way there and back."""

from __future__ import annotations

import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA

from hsem import HSpacePCA


@pytest.fixture(scope="module")
def h_seqs() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(40, 3, 4, 2, 2, generator=draw, dtype=torch.float64)


def test_settings_are_read_and_changed() -> None:
    pca = HSpacePCA(4, joint=True)
    assert pca.get_params() == {
        "n_components": 4,
        "joint": True,
        "extra": None,
        "keep_scores": 5000,
    }
    assert pca.set_params(n_components=2) is pca and pca.n_components == 2
    with pytest.raises(ValueError, match="no setting \\['colour'\\]; it has n_components"):
        pca.set_params(colour=1)
    with pytest.raises(ValueError, match="n_components >= 1"):
        pca.set_params(n_components=0)
    assert pca.n_components == 2  # a refused change changes nothing


def test_a_clone_has_the_settings_and_no_memory(h_seqs: torch.Tensor) -> None:
    pca = HSpacePCA(3, extra=0).fit(h_seqs)
    copy = clone(pca)
    assert copy.get_params() == pca.get_params()
    assert hasattr(pca, "components_") and not hasattr(copy, "components_")


def test_what_was_not_learned_is_not_there() -> None:
    pca = HSpacePCA(3)
    for name in ("components_", "mean_", "explained_variance_", "scores_"):
        assert not hasattr(pca, name)
    with pytest.raises(RuntimeError, match="call fit"):
        _ = pca.components_


@pytest.mark.parametrize("joint", [False, True])
def test_there_and_back_as_scikit_learn(h_seqs: torch.Tensor, joint: bool) -> None:
    pca = HSpacePCA(5, joint=joint, extra=35)
    scores = pca.fit_transform(h_seqs)
    assert scores.shape == (40, 5, 1 if joint else 3)
    back = pca.inverse_transform(scores)
    assert back.shape == h_seqs.shape
    if joint:
        flat = h_seqs.flatten(1).numpy()
        theirs = PCA(5).fit(flat)
        expected = theirs.inverse_transform(theirs.transform(flat))
        torch.testing.assert_close(back.flatten(1), torch.from_numpy(expected))
    else:
        for t in range(3):
            flat = h_seqs[:, t].flatten(1).numpy()
            theirs = PCA(5).fit(flat)
            expected = theirs.inverse_transform(theirs.transform(flat))
            torch.testing.assert_close(back[:, t].flatten(1), torch.from_numpy(expected))
    assert not torch.allclose(back, h_seqs)  # control: five components are not all
    with pytest.raises(ValueError, match="as `transform` gives them"):
        pca.inverse_transform(scores[:, :2])
