"""How far a subspace of principal components can be trusted, given the number of samples."""

from __future__ import annotations

import torch
from torch import Tensor


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
