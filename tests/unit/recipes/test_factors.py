"""Exact components against scikit-learn, cross-validation against it too, clearing against zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error

from hsem import results
from hsem.evaluation.stability import bootstrap
from hsem.recipes import factors

SHAPE = (40, 3, 4, 5, 5)  # samples, steps, and h of each


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def h() -> torch.Tensor:
    return (1 + draw(40, 300) * torch.linspace(3, 0.1, 300)).reshape(SHAPE)


@pytest.fixture
def x(h) -> torch.Tensor:
    """The centred samples, all at once."""
    return (h.flatten(1) - h.flatten(1).mean(0)).double()


def alike(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|cosine| of rows."""
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=1).abs()


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(a.double(), b.double(), atol=atol, rtol=0)


def test_products_and_sums_are_those_of_all_steps_at_once(h, x) -> None:
    close(factors.products(h), x @ x.T, 1e-2)
    weights = draw(2, 40, seed=1)
    close(factors.combined(h, weights), weights.double() @ x)
    assert not torch.allclose(factors.products(h[:, :2]), x @ x.T, rtol=0.1)  # a step less


def test_components_are_those_of_scikit_learn(h, x) -> None:
    found = factors.components(factors.products(h), 5)
    theirs = PCA(5, svd_solver="full").fit(x.numpy())
    axes = factors.combined(h, found.weights)
    close(alike(axes, torch.from_numpy(theirs.components_)), torch.ones(5))
    close(axes.norm(dim=1), torch.ones(5))
    close(found.share, torch.from_numpy(theirs.explained_variance_ratio_))
    close(found.scores, x @ axes.double().T, 1e-3)


def test_cleared_samples_have_nothing_left_of_the_directions(h, x) -> None:
    weights, gram = draw(3, 40, seed=3).double(), factors.products(h)
    clean = factors.clearing(gram, weights)
    directions = weights @ x
    rest = x - clean.places @ clean.weights @ x
    assert float((rest @ directions.T).abs().max()) < 1e-2 < float((x @ directions.T).abs().max())
    basis = torch.linalg.qr(directions.T).Q  # the same, by hand
    close(rest, x - x @ basis @ basis.T, 1e-3)
    close(gram - clean.places @ clean.places.T, rest @ rest.T, 1e-1)


def test_keyholes_are_random_directions_of_all_steps(h, x) -> None:
    places, noise = factors.keyholes(h, 7, torch.Generator().manual_seed(2))
    assert noise.shape == (factors.PUSHED, 300)
    close(noise.norm(dim=1), torch.ones(factors.PUSHED))
    along = (x @ noise.double().T).T  # the same places, but for a scale
    close(alike(along, places[:, : factors.PUSHED].T), torch.ones(factors.PUSHED))
    assert float(alike(along, places[:, 1 : 1 + factors.PUSHED].T).max()) < 0.9


def test_what_scores_tell_is_measured_on_people_left_out() -> None:
    scores = draw(50, 4)
    wanted = torch.stack([scores[:, 0] - 2 * scores[:, 3], draw(50, seed=1)], dim=1)
    wanted[:, 0] += 0.1 * draw(50, seed=2)
    found = factors.told(scores, wanted, [4])[:, 0]
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
    close(found[0], errors)
    assert found[0, 0] > 0.95 and found[0, 1] < 0.1  # control: noise is told by nothing
    more = factors.told(scores, wanted, [1, 4])
    assert more.shape == (3, 2, 2) and more[0, 1, 0] > more[0, 0, 0] + 0.3


def test_the_interval_is_that_of_the_bootstrap_of_the_book() -> None:
    scores = draw(200, 2)
    wanted = scores @ draw(2, 1, seed=4) + draw(200, 1, seed=5)
    wrong, whole = factors.misses(scores, wanted)
    value, low, high = factors.shares(wrong, whole)[:, 0].tolist()
    book = bootstrap(lambda a, b: 1 - a.sum() / b.sum(), wrong[:, 0], whole[:, 0])
    assert value == pytest.approx(book.value)
    assert (low, high) == pytest.approx((book.low, book.high), abs=0.03)
    nothing = factors.shares(*factors.misses(scores, draw(200, 1, seed=6)))
    assert nothing[1] < 0.02 and nothing[2] < low  # control: interval about zero


def test_contrasts_separate_most_from_least(x) -> None:
    names = [*factors.CLEARED, "smile"]
    found = factors.contrasts(x[:, :5].float(), names) @ x
    assert found.shape == (4, 300)
    assert found.abs().argmax(1).tolist() == [0, 1, 2, 3]


def test_components_are_chosen_by_correlation_and_by_push() -> None:
    scores = draw(60, 4)
    attributes = torch.stack([scores[:, 2], -scores[:, 1] + 0.1 * scores[:, 0]], dim=1)
    push = torch.tensor([[0.1, 0.0], [0.2, 0.3], [-0.1, -0.9], [0.0, 0.1]])
    assert factors.chosen(scores, attributes, push, [0, 1]).tolist() == [[2, 1], [1, 2]]
    assert factors.chosen(scores, attributes, push, [1]).tolist() == [[1], [2]]


@pytest.mark.slow
def test_the_recipe_runs_and_clearing_is_measured(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    words = ["--n", "24", "--m", "2", "--k", "3", "--people", "2", "--draws", "2"]
    words += ["--output", str(tmp_path / "factors.safetensors")]
    path = factors.fill(factors.parser().parse_args(words), model)
    stored = results.load(path, model)
    a = len(stored.provenance["columns"])
    assert stored["all/scores"].shape == (24, 3)
    assert stored["all/effect"].shape == (3, 2, 2, a) == stored["cleared/effect"].shape
    assert stored["all/told"].shape == (3, 3, a)
    assert stored["all/random/told"].shape == (2, 3, a) == stored["cleared/random/told"].shape
    assert stored["all/again"].shape == (2, 4, 2, 2, a)
    best = set(stored["all/chosen"].flatten().tolist())
    smile = int(stored["cleared/chosen"][0, -1])
    assert set(stored.directions) == {f"all/{j}" for j in best} | {f"cleared/{smile}"}
    deviation = stored["all/scores"].float().std(0)
    torch.testing.assert_close(deviation, torch.ones(3), atol=1e-2, rtol=0)
    for j in best:  # one unit is one deviation of the samples, over all steps
        size = float(stored.directions[f"all/{j}"].delta_h.norm())
        others = [float(stored.directions[f"all/{i}"].delta_h.norm()) for i in best if i > j]
        assert all(size >= other for other in others)
