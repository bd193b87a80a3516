"""scikit-learn's contract: settings, copies, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

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
    with pytest.raises(ValueError, match=r"Invalid parameter 'colour'.*n_components"):
        pca.set_params(colour=1)
    with pytest.raises(ValueError, match="n_components must be 1 or more"):
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
    for kind in (RuntimeError, AttributeError, NotFittedError):  # whichever a caller knows
        with pytest.raises(kind, match="call fit"):
            pca.transform(torch.zeros(1, 3, 4, 2, 2))
    assert DisplayFormatter().format(pca)[0] == {"text/plain": repr(pca)}  # in a notebook


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


def test_scikit_learn_knows_when_it_is_fitted(h_seqs: torch.Tensor) -> None:
    pca = HSpacePCA(3).partial_fit(h_seqs[:3])  # three samples span two components
    with pytest.raises(NotFittedError):
        check_is_fitted(pca)
    check_is_fitted(pca.partial_fit(h_seqs[3:]))


def test_settings_can_be_searched(h_seqs: torch.Tensor) -> None:
    """What was learned with other settings is forgotten: it would be read in a wrong way."""
    pca = HSpacePCA().fit(h_seqs)
    for setting in ParameterGrid({"n_components": [2, 3], "joint": [False, True]}):
        assert not hasattr(pca.set_params(**setting), "components_")
        scores = pca.fit(h_seqs).transform(h_seqs)
        assert torch.equal(scores, HSpacePCA(**setting).fit_transform(h_seqs))
        assert hasattr(pca.set_params(**setting), "components_")  # control: nothing was changed


@pytest.mark.parametrize("odd", [lambda a: a[::-1][::-1], lambda a: a.astype(">f8")])
def test_arrays_that_torch_does_not_take(h_seqs: torch.Tensor, odd: Callable[..., Any]) -> None:
    """Those that run backwards, and those with the bytes of another machine."""
    pca, backwards = HSpacePCA(2).fit(h_seqs), odd(h_seqs.numpy()[::-1].copy())[::-1]
    found = HSpacePCA(2).fit(backwards)
    assert torch.equal(found.components_, pca.components_)
    scores = pca.transform(h_seqs)
    assert torch.equal(found.transform(backwards), scores)
    again = found.inverse_transform(odd(scores.numpy())[::-1])
    assert torch.equal(again, pca.inverse_transform(scores.flip(0)))
    with pytest.raises(ValueError):  # control
        torch.from_numpy(backwards)


def test_numpy_and_a_pipeline(h_seqs: torch.Tensor) -> None:
    pca = HSpacePCA(2).fit(h_seqs.numpy())
    scores = pca.transform(h_seqs.numpy())
    assert torch.equal(scores, pca.transform(h_seqs))
    assert torch.equal(pca.inverse_transform(scores.numpy()), pca.inverse_transform(scores))
    pipeline = make_pipeline(FunctionTransformer(lambda h: 2 * h), HSpacePCA(2))
    torch.testing.assert_close(
        pipeline.fit_transform(h_seqs), HSpacePCA(2).fit_transform(2 * h_seqs)
    )
    assert "HSpacePCA" in repr(pipeline) and not hasattr(clone(pipeline)[1], "components_")
