"""Exact components against scikit-learn, cross-validation against it too, clearing against zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error

from hsem import results
from hsem.recipes import factors


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def x() -> torch.Tensor:
    x = draw(40, 300) * torch.linspace(3, 0.1, 300)
    return x - x.mean(0)


def test_components_are_those_of_scikit_learn(x) -> None:
    found, theirs = factors.components(x, 5), PCA(5, svd_solver="full").fit(x.double().numpy())
    cosines = (found.vectors.double() * torch.from_numpy(theirs.components_)).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(5, dtype=torch.float64), atol=1e-5, rtol=0)
    share = torch.from_numpy(theirs.explained_variance_ratio_)
    torch.testing.assert_close(found.share, share, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.scores, x @ found.vectors.T)


def test_what_scores_tell_is_measured_on_people_left_out() -> None:
    scores = draw(50, 4)
    wanted = torch.stack([scores[:, 0] - 2 * scores[:, 3], draw(50, seed=1)], dim=1)
    wanted[:, 0] += 0.1 * draw(50, seed=2)
    found = factors.explained(scores, wanted)
    errors = torch.zeros(2, dtype=torch.float64)
    for a in range(2):
        wrong = whole = 0.0
        fold = torch.arange(50) % 5
        for f in range(5):
            fit = LinearRegression().fit(scores[fold != f].numpy(), wanted[fold != f, a].numpy())
            truth, mean = wanted[fold == f, a].numpy(), float(wanted[fold != f, a].mean())
            said = fit.predict(scores[fold == f].numpy())
            wrong += len(truth) * mean_squared_error(truth, said)
            whole += len(truth) * mean_squared_error(truth, np.full(len(truth), mean))
        errors[a] = 1 - wrong / whole
    torch.testing.assert_close(found.double(), errors, atol=1e-4, rtol=0)
    assert found[0] > 0.95 and found[1] < 0.1  # control: noise is told by nothing
    more = factors.told(scores, wanted, [1, 4])
    assert more.shape == (2, 2) and more[1, 0] > more[0, 0] + 0.3


def test_cleared_samples_have_nothing_left_of_the_directions(x) -> None:
    directions = draw(3, 300, seed=3)
    rest = factors.without(x, directions)
    assert float((rest @ directions.T).abs().max()) < 1e-3 < float((x @ directions.T).abs().max())
    torch.testing.assert_close(factors.without(rest, directions), rest, atol=1e-4, rtol=0)


def test_unwanted_directions_separate_most_from_least(x) -> None:
    names = [*factors.CLEARED, "smile"]
    attributes = x[:, :5].clone()
    found = factors.unwanted(attributes, names, x)
    assert found.shape == (4, 300)
    assert found.abs().argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.slow
def test_the_recipe_runs_and_clearing_is_measured(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    words = ["--n", "24", "--m", "2", "--k", "3", "--output", str(tmp_path / "factors.safetensors")]
    path = factors.fill(factors.parser().parse_args(words), model)
    stored = results.load(path, model)
    a = len(stored.provenance["columns"])
    assert stored["all/scores"].shape == (24, 3)
    assert stored["all/effect"].shape == (3, 2, 2, a) == stored["cleared/effect"].shape
    assert stored["random/told"].shape == stored["all/told"].shape == (3, a)
    assert set(stored.directions) == {f"{w}/{j}" for w in ("all", "cleared") for j in range(3)}
    deviation = stored["all/scores"].float().std(0)
    torch.testing.assert_close(deviation, torch.ones(3), atol=1e-2, rtol=0)
    assert abs(stored.directions["all/0"].cosine(stored.directions["cleared/0"])) < 0.9999
