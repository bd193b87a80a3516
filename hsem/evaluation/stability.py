"""How far a result can be trusted, given the number of samples: bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """An estimate, and the interval that holds the truth with the stated level."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio_interval(
    a: Tensor,
    b: Tensor,
    *,
    level: float = 0.9,
    repeats: int = 2000,
    generator: torch.Generator | None = None,
) -> Interval:
    """How many times larger the mean of `a` is than that of `b`, with a bootstrap interval.

    Parameters
    ----------
    a, b : (n, ...), measurements on the same n samples, such as the change made by a direction and
        by its control. Samples are drawn again; what stands in further axes stays with them.
    level : of the interval, 0 to 1
    repeats : number of draws
    generator : None takes a fresh one with seed 0

    Raises
    ------
    ValueError
        If a and b have no sample in common, or a mean of b is not positive.

    Examples
    --------
    >>> ratio_interval(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]))
    Interval(value=2.0, low=2.0, high=2.0)
    """
    if len(a) != len(b) or len(a) < 2 or not 0 < level < 1:
        raise ValueError(
            "a and b must hold at least two samples, the same in both, and level lie between 0 "
            f"and 1; got {len(a)} and {len(b)} samples and level={level}"
        )
    a, b = (x.detach().cpu().double().reshape(len(x), -1).mean(dim=1) for x in (a, b))
    generator = generator or torch.Generator().manual_seed(0)
    draws = torch.randint(len(a), (repeats, len(a)), generator=generator)
    below = b[draws].mean(dim=1)
    if not bool((below > 0).all()):
        raise ValueError("the mean of b must be positive in every draw, as it divides")
    ratios = a[draws].mean(dim=1) / below
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = ratios.quantile(tails).tolist()
    return Interval(float(a.mean() / b.mean()), low, high)


def bootstrap_angles(
    scores: Tensor,
    k: int,
    *,
    n: int | None = None,
    repeats: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How much the leading k components turn when the samples are drawn again (bootstrap).

    Parameters
    ----------
    scores : (N, k', T), coordinates of the samples along k' > k components, for example
        `pca.scores_`; the first k are the subspace in question
    k : its dimension
    n : samples in each draw, with replacement; None takes N. Smaller numbers tell how stable a PCA
        of fewer samples would be.
    repeats : number of draws
    generator : None takes a fresh one with seed 0

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
    generator = generator or torch.Generator().manual_seed(0)
    by_step = scores.detach().double().permute(2, 0, 1)  # (T, N, k')
    angles = torch.empty(repeats, len(by_step), dtype=torch.float64)
    for r in range(repeats):
        draw = torch.randint(total, (n,), generator=generator).to(by_step.device)
        x = by_step[:, draw] - by_step[:, draw].mean(dim=1, keepdim=True)
        vectors = torch.linalg.eigh(x.mT @ x)[1][:, :, -k:]
        # The subspace of all samples is spanned by the first k axes: what sticks out is the sine.
        sines = torch.linalg.matrix_norm(vectors[:, k:], 2)
        angles[r] = sines.clamp(max=1).arcsin().cpu()
    return angles
