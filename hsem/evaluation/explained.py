"""How much of what varies in h do known factors explain?

A principal component is interpretable, in the narrow sense that can be measured, if one can say
what a sample scores on it by knowing what is in the picture.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .stability import Estimate, bootstrap

FOLDS = 10
PENALTIES = tuple(float(10.0**p) for p in range(-1, 5))


def predicted(scores: Tensor, factors: Tensor, *, seed: int = 0) -> Tensor:
    """Scores (n, k) as a ridge regression on the factors predicts them, of samples it has not seen.

    Parameters
    ----------
    scores : (n, k), coordinates along components
    factors : (n, f), what is known of the same samples, in any units
    seed : of the split into ten folds; the penalty is chosen within the other nine

    Raises
    ------
    ValueError
        If they do not describe the same samples, at least two for each fold.
    """
    n = len(scores)
    if scores.ndim != 2 or factors.ndim != 2 or len(factors) != n or n < 2 * FOLDS:
        raise ValueError(
            f"scores (n, k) and factors (n, f) must describe the same n >= {2 * FOLDS} samples, "
            f"got {tuple(scores.shape)} and {tuple(factors.shape)}"
        )
    x, y = factors.double().cpu().numpy(), scores.double().cpu().numpy()
    found = np.empty_like(y)
    for rest, fold in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
        ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES, alpha_per_target=True))
        ridge.fit(x[rest], y[rest])
        # a rare factor may not vary among the others at all: no line is drawn out to where it does
        known = x[fold].clip(x[rest].min(0), x[rest].max(0))
        found[fold] = ridge.predict(known).reshape(len(fold), -1)
    return torch.from_numpy(found)


def explained_share(scores: Tensor, factors: Tensor) -> Estimate:
    """Share of the variance of scores that factors explain in samples not seen, with its interval.

    Parameters
    ----------
    scores : (n, k)
    factors : (n, f)

    Returns
    -------
    1 - residual / variance of each component, averaged over the components by their variance: a
    share of the variance that all k hold together. Near zero, and by chance below it, where the
    factors say nothing; shuffled factors are the control.
    """
    guess = predicted(scores, factors)
    spread = scores.double().cpu().var(dim=0)
    w = spread / spread.sum()

    def share(truth: Tensor, guess: Tensor) -> Tensor:
        left = (truth - guess).square().mean(0) / truth.var(0, correction=0)
        return ((1 - left) * w).sum()

    return bootstrap(share, scores, guess, repeats=1000)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Columns of a (n, p) with columns of b (n, q): (p, q), in double precision.

    A column that does not vary correlates with nothing.
    """
    a, b = ((x - x.mean(0)) / x.std(0).clamp(min=1e-9) for x in (a.double(), b.double()))
    return a.T @ b / (len(a) - 1)


def shuffled(factors: Tensor, generator: torch.Generator) -> Tensor:
    """The same factors, handed to other samples: the control."""
    order = torch.randperm(len(factors), generator=generator, dtype=torch.int64, device="cpu")
    return factors[order.to(factors.device)]
