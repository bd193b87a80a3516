"""How far a result can be trusted, given the number of samples: bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from ..numerals import numeral

LEVEL = 0.95  # of every interval in the book


class Estimate(NamedTuple):
    """A number, the interval that holds the truth with the stated level, and how many people.

    As text it is "2.94 (2.71 to 3.20)"; a format is applied to all three: f"{e:.0%}" gives
    "29% (25% to 32%)". Minus signs are minus signs, and what rounds to zero has none.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        value, low, high = (numeral(x, spec) for x in self[:3])
        return f"{value} ({low} to {high})"


def bootstrap(
    statistic: Callable[..., Tensor | float],
    *samples: Tensor,
    level: float = LEVEL,
    repeats: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A statistic of some people, with a bootstrap interval over people (percentiles).

    Parameters
    ----------
    statistic : function of as many tensors as there are samples, giving one number
    samples : (n, ...) each, measurements of the same n people. People are drawn again, the same
        in all samples (paired); what stands in further axes stays with them.
    level : of the interval, 0 to 1
    repeats : number of draws
    seed : of the draws

    Raises
    ------
    ValueError
        If the samples do not hold the same people, or fewer than two.

    Examples
    --------
    >>> before, after = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])
    >>> print(bootstrap(lambda a, b: (b - a).mean(), before, after))
    1.00 (1.00 to 1.00)
    """
    n = len(samples[0]) if samples else 0
    if n < 2 or any(len(x) != n for x in samples) or not 0 < level < 1:
        raise ValueError(
            "samples must hold at least two people, the same in each, and level lie between 0 "
            f"and 1; got {[len(x) for x in samples]} people and level={level}"
        )
    kept = [x.detach().cpu().double() for x in samples]

    def of(people: np.ndarray) -> float:
        index = torch.from_numpy(np.asarray(people, dtype=np.int64))
        return float(statistic(*(x[index] for x in kept)))

    everyone = np.arange(n)
    found = scipy.stats.bootstrap(
        (everyone,),
        of,
        n_resamples=repeats,
        vectorized=False,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(of(everyone), float(found.low), float(found.high), n)


def ratio_interval(a: Tensor, b: Tensor, *, level: float = LEVEL, repeats: int = 2000) -> Estimate:
    """How many times larger the mean of `a` is than that of `b`, with its interval.

    Parameters
    ----------
    a, b : (n, ...), measurements on the same n people, such as the change made by a direction and
        by its control
    level, repeats : as in `bootstrap`

    Raises
    ------
    ValueError
        If a and b do not hold the same people, or a mean of b is not positive.

    Examples
    --------
    >>> ratio_interval(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]))
    Estimate(value=2.0, low=2.0, high=2.0, n=2)
    """

    def ratio(x: Tensor, y: Tensor) -> Tensor:
        if not y.mean() > 0:
            raise ValueError("the mean of b must be positive in every draw, as it divides")
        return x.mean() / y.mean()

    a, b = (x.double().reshape(len(x), -1).mean(dim=1) for x in (a, b))
    return bootstrap(ratio, a, b, level=level, repeats=repeats)


def bootstrap_angles(scores: Tensor, k: int, *, n: int | None = None, repeats: int = 100) -> Tensor:
    """How much the leading k components turn when the samples are drawn again (bootstrap).

    Parameters
    ----------
    scores : (N, k', T), coordinates of the samples along k' > k components, for example
        `pca.scores_`; the first k are the subspace in question
    k : its dimension
    n : samples in each draw, with replacement; None takes N. Smaller numbers tell how stable a PCA
        of fewer samples would be.
    repeats : number of draws

    Returns
    -------
    (repeats, T) float64, largest principal angle in radians between the leading subspace of the
    draw and that of all samples.

    Notes
    -----
    Works within the span of the k' components that are known, so that it needs no h. What turns out
    of that span is not seen: a PCA that keeps more (`extra`) gives a better answer.
    """
    if scores.ndim != 3 or not 0 < k < scores.shape[1]:
        raise ValueError(
            "scores must be (N, k', T) with k' > k, to see what could take the place of the k "
            f"components; got {tuple(scores.shape)} and k={k}"
        )
    total = len(scores)
    n = total if n is None else n
    if n <= k:
        raise ValueError(f"n must be more than k={k} samples, got {n}")
    generator = torch.Generator().manual_seed(0)
    by_step = scores.detach().double().permute(2, 0, 1)  # (T, N, k')
    angles = torch.empty(repeats, len(by_step), dtype=torch.float64, device="cpu")
    for r in range(repeats):
        draw = torch.randint(total, (n,), generator=generator, device="cpu", dtype=torch.long)
        draw = draw.to(by_step.device)
        x = by_step[:, draw] - by_step[:, draw].mean(dim=1, keepdim=True)
        vectors = torch.linalg.eigh(x.mT @ x)[1][:, :, -k:]
        # The subspace of all samples is spanned by the first k axes: what sticks out is the sine.
        sines = torch.linalg.matrix_norm(vectors[:, k:], 2)
        angles[r] = sines.clamp(max=1).arcsin().cpu()
    return angles
