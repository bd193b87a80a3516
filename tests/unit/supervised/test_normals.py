"""Normals of linear classifiers: where they know more than a difference of means, and where not."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hsem.supervised.means import mean_difference
from hsem.supervised.normals import normal_direction


def cloud(shift: torch.Tensor, noise: torch.Tensor, n: int, seed: int = 0):
    """n positive and n negative h_seq of one step, their means `shift` apart."""
    g = torch.Generator().manual_seed(seed)
    both = torch.randn(2, n, len(shift), generator=g, dtype=torch.float64) * noise
    both[0] += shift
    return both.reshape(2, n, 1, len(shift), 1, 1)


def unit(v: torch.Tensor) -> torch.Tensor:
    return v.flatten().double() / v.double().norm()


def test_a_linear_discriminant_knows_about_noise_where_the_mean_does_not():
    """Means differ along x and along y, and y is noisy: the best normal is Sigma^-1 times that."""
    shift, noise = torch.tensor([1.0, 1.0, 0.0]).double(), torch.tensor([0.5, 3.0, 1.0]).double()
    positive, negative = cloud(shift, noise, 4000)
    best = unit(shift / noise**2)
    lda = normal_direction(positive, negative, [10], method="lda", strength=1e-6)
    assert float(unit(lda.delta_h) @ best) > 0.99
    mean = unit(mean_difference(positive, negative))
    assert float(mean @ best) < 0.8  # control
    shrunk = normal_direction(positive, negative, [10], method="lda", strength=1.0)
    assert float(unit(shrunk.delta_h) @ mean) > 1 - 1e-9


def test_logistic_regression_in_the_span_equals_the_one_in_all_dimensions():
    positive, negative = cloud(torch.ones(30).double(), torch.ones(30).double(), 8)
    ours = normal_direction(positive, negative, [10], method="logistic", strength=0.5)
    x = torch.cat([positive, negative]).flatten(1)
    x = x - x.mean(dim=0)
    scale = float((x.square().sum() / len(x)).sqrt())
    labels = np.repeat([1, 0], 8)
    full = LogisticRegression(C=2.0, max_iter=10_000, tol=1e-10).fit((x / scale).numpy(), labels)
    assert float(unit(ours.delta_h) @ unit(torch.from_numpy(full.coef_))) > 1 - 1e-6


@pytest.mark.parametrize("method", ["logistic", "lda"])
def test_scale_one_moves_as_far_as_the_mean_difference_seen_along_the_normal(method):
    positive, negative = cloud(torch.ones(5).double(), torch.ones(5).double(), 20)
    normal = normal_direction(positive, negative, [10], method=method, strength=0.3)
    gap = mean_difference(positive, negative)
    along = float(gap.flatten() @ unit(normal.delta_h))
    assert abs(along - normal.norm()) < 1e-9 and along > 0
    assert normal.method == f"supervised-{method}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "svm"}, "'logistic' or 'lda'"),
        ({"strength": 0.0}, "out of range"),
        ({"method": "lda", "strength": 2.0}, "out of range"),
        ({"positive": torch.zeros(1, 1, 3, 1, 1)}, "positive must be h_seq of at least 2"),
        ({"negative": torch.zeros(4, 1, 2, 1, 1)}, "negative must be h_seq"),
        ({"positive": torch.zeros(4, 1, 3, 1, 1)}, "same h at step 0"),
    ],
)
def test_bad_normals(change, words):
    good = {"positive": torch.ones(4, 1, 3, 1, 1), "negative": torch.zeros(4, 1, 3, 1, 1)}
    with pytest.raises(ValueError, match=words):
        normal_direction(timesteps=[10], **{**good, **change})
