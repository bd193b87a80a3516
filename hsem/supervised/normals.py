"""Directions as normals of linear classifiers, to compare the difference of means with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..diffusion.schedule import Schedule, checked_timesteps
from ..directions.direction import Direction


def normal_direction(
    positive: Tensor,
    negative: Tensor,
    timesteps: Sequence[int] | Schedule,
    *,
    method: Literal["logistic", "lda"] = "logistic",
    strength: float = 1.0,
    provenance: Mapping[str, Any] | None = None,
) -> Direction:
    """The normal of a linear classifier between the examples, at each step: for comparison.

    Parameters
    ----------
    positive, negative : h_seq of the examples, (n, T, C, h, w) and (m, T, C, h, w), in memory
    timesteps : of the T steps
    method : "logistic", an L2-regularised logistic regression; or "lda", a linear discriminant
        whose covariance is shrunk towards a multiple of the identity
    strength : of the regularisation, above 0. For "logistic" scikit-learn's 1 / C on features
        whose total variance is one. For "lda" the fraction of shrinkage, at most 1, where the
        answer is the difference of means.

    Returns
    -------
    On the CPU. At each step the unit normal times the distance of the two means along it: scale 1
    moves a negative example as far as a mean difference would, as seen by the classifier.

    Notes
    -----
    h has many more dimensions than there are examples. Regularised, both normals lie in the span
    of the centred examples, so they are computed there, in at most n + m - 1 dimensions.
    """
    for name, value in (("positive", positive), ("negative", negative)):
        if value.ndim != 5 or len(value) < 2 or value.shape[1:] != positive.shape[1:]:
            raise ValueError(
                f"{name} must be h_seq of at least 2 examples, (n, T, C, h, w), of the same "
                f"shape as the others, got {tuple(value.shape)}"
            )
    if method not in ("logistic", "lda"):
        raise ValueError(f"method={method!r} is unknown; choose 'logistic' or 'lda'")
    if not 0 < strength <= (1 if method == "lda" else float("inf")):
        raise ValueError(f"strength={strength} is out of range for method={method!r}")
    positive, negative = positive.detach().cpu(), negative.detach().cpu()
    labels = torch.cat([positive.new_ones(len(positive)), positive.new_zeros(len(negative))])
    rows = []
    for i in range(positive.shape[1]):
        h = torch.cat([positive[:, i], negative[:, i]]).double().flatten(1)
        u, s, vt = torch.linalg.svd(h - h.mean(dim=0), full_matrices=False)
        keep = s > 1e-10 * s[0]
        if not bool(keep.any()):
            raise ValueError(f"all examples have the same h at step {i}; nothing to separate")
        features = (u * s)[:, keep] / s.norm() * len(h) ** 0.5  # total variance one
        normal = _normal(features, labels, method, strength) @ vt[keep]
        normal = normal / normal.norm()
        gap = h[labels == 1].mean(dim=0) - h[labels == 0].mean(dim=0)
        rows.append((normal * (gap @ normal)).reshape(positive.shape[2:]))
    grid = checked_timesteps(timesteps)
    about = {**(provenance or {}), "strength": strength, "n": [len(positive), len(negative)]}
    return Direction(torch.stack(rows).to(positive.dtype), grid, f"supervised-{method}", about)


def _normal(features: Tensor, labels: Tensor, method: str, strength: float) -> Tensor:
    """Normal of a linear classifier, by scikit-learn; features (n, r), centred."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second
    from sklearn.linear_model import LogisticRegression

    if method == "logistic":
        classifier = LogisticRegression(C=1 / strength, max_iter=10_000, tol=1e-8)
    else:
        classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(strength))
    classifier.fit(features.numpy(), labels.numpy())
    return torch.from_numpy(classifier.coef_[0])
