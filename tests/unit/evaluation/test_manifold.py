"""The off-manifold score: against scikit-learn, on real portraits, and on what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

import hsem
from hsem.evaluation.manifold import off_manifold


def test_it_is_the_distance_to_the_kth_neighbour() -> None:
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 20.0, 0.1, 3.0])
    reference, points = (torch.randn(n, 4, generator=g) * scale for n in (60, 9))
    spread = reference.double().std(dim=0)
    theirs = NearestNeighbors(n_neighbors=5).fit((reference.double() / spread).numpy())
    usual = np.median(theirs.kneighbors()[0][:, -1])  # without arguments: a point is not its own
    expected = theirs.kneighbors((points.double() / spread).numpy())[0][:, -1] / usual
    np.testing.assert_allclose(off_manifold(points, reference), expected, rtol=1e-6)


def test_portraits_are_usual_and_damaged_ones_are_not() -> None:
    images = hsem.datasets.portraits().images[:160]
    judge = hsem.classifier.load()
    grain = torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    real = images[:32]
    kinds = {
        "real": real,
        "grainy": (real + 0.3 * grain).clamp(-1, 1),
        "glaring": (1.8 * real).clamp(-1, 1),
        "noise": grain.clamp(-1, 1),
    }
    reference = judge.statistics(images[32:])
    score = {
        k: float(off_manifold(judge.statistics(x), reference).median()) for k, x in kinds.items()
    }
    assert 0.8 < score["real"] < 1.25
    assert 1.3 < score["grainy"] < score["noise"] and score["glaring"] > 1.3
    plain = off_manifold(judge.features(kinds["grainy"]), judge.features(images[32:])).median()
    assert plain < score["grainy"] - 0.2  # the control: features for attributes overlook grain


def test_features_that_never_vary_do_not_count() -> None:
    reference = torch.tensor([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])
    assert off_manifold(torch.tensor([[1.5, -50.0]]), reference, k=1).tolist() == [0.5]


@pytest.mark.parametrize(
    ("features", "reference", "k", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(5, 4), 1, "from the same network"),
        (torch.zeros(2, 4), torch.zeros(5, 4), 5, r"k must be 1\.\.4"),
    ],
)
def test_errors(features, reference, k, message) -> None:
    with pytest.raises(ValueError, match=message):
        off_manifold(features, reference, k)
