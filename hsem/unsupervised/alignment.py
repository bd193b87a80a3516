"""Which component at one timestep continues which component at the next?

A PCA of its own at each timestep leaves signs open, and where two variances cross, the order swaps.
"The j-th component from all timesteps" (section IV-A) is then a patchwork: a smile at one step, the
opposite of a smile or a hat at the next. Here components are matched instead.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Alignment(NamedTuple):
    """Tracks: sequences of components, one from each timestep, that belong together.

    order : (T, k) integers; component order[i, j] of step i belongs to track j
    sign : (T, k), +1 or -1, to multiply that component with
    similarity : (T - 1, k), between step i and i + 1 along track j, 0 to 1; a low value says that
        the track was torn there, as its component has no continuation
    """

    order: Tensor
    sign: Tensor
    similarity: Tensor


def score_correlations(scores: Tensor) -> Tensor:
    """Correlation of the scores of components at neighbouring steps, over samples.

    Parameters
    ----------
    scores : (n, k, T), coordinate of each sample along each component at each step

    Returns
    -------
    (T - 1, k, k) : [i, a, b] for component a of step i and component b of step i + 1

    Notes
    -----
    The components themselves could be compared instead, by their cosines. But h at two timesteps
    need not use the same coordinates for the same thing, and over a few steps it does not; what is
    the same is the sample. Two components belong together if they sort the samples alike.
    """
    if scores.ndim != 3 or len(scores) < 3:
        raise ValueError(
            f"scores must be (n, k, T) with n of at least 3, got {tuple(scores.shape)}"
        )
    centred = scores.double() - scores.double().mean(dim=0)
    norms = centred.norm(dim=0)
    unit = torch.where(norms > 0, centred / torch.where(norms > 0, norms, 1.0), 0.0)
    return torch.einsum("nai,nbi->iab", unit[:, :, :-1], unit[:, :, 1:])


def align_components(similarity: Tensor) -> Alignment:
    """Glue components across timesteps, in sign and in order.

    Parameters
    ----------
    similarity : (T - 1, k, k), signed, of each component of step i with each of step i + 1, from
        `score_correlations`

    Returns
    -------
    `Alignment`; track j starts at component j of step 0, with sign +1.

    Notes
    -----
    From step to step, the one-to-one matching with the largest sum of absolute similarities (the
    Hungarian method), with the sign of each match. Only neighbours are compared, because over
    many steps components do change.

    Examples
    --------
    Two components that swap, one of which changes its sign:

    >>> align_components(torch.tensor([[[0.1, -0.9], [0.8, 0.0]]])).order.tolist()
    [[0, 1], [1, 0]]
    >>> align_components(torch.tensor([[[0.1, -0.9], [0.8, 0.0]]])).sign.tolist()
    [[1.0, 1.0], [-1.0, 1.0]]
    """
    if similarity.ndim != 3 or similarity.shape[1] != similarity.shape[2]:
        raise ValueError(f"similarity must be (T - 1, k, k), got {tuple(similarity.shape)}")
    similarity = similarity.detach().to("cpu", torch.float64)
    k = similarity.shape[1]
    first = torch.arange(k, dtype=torch.long, device="cpu")
    order, sign, strength = [first], [similarity.new_ones(k)], []
    for step in similarity:
        rows = step[order[-1]]  # in the order of the tracks
        match = torch.from_numpy(linear_sum_assignment(-rows.abs().numpy())[1])
        found = rows[first, match]
        order.append(match)
        sign.append(sign[-1] * torch.where(found < 0, -1.0, 1.0))
        strength.append(found.abs())
    empty = similarity.new_empty(0, k)
    return Alignment(
        torch.stack(order), torch.stack(sign), torch.stack(strength) if strength else empty
    )
