"""Does an edited picture still look like those it should look like? A distance in feature space."""

from __future__ import annotations

import torch
from torch import Tensor


def off_manifold(features: Tensor, reference: Tensor, k: int = 5) -> Tensor:
    """Distance to the k-th nearest real picture, where 1 is usual among real pictures.

    Parameters
    ----------
    features : (n, d), of the pictures in question, such as `PortraitClassifier.statistics` gives
    reference : (m, d), of real ones; m above k
    k : which neighbour; a larger one is steadier against an odd picture in the reference

    Returns
    -------
    (n,) float64: the distance to the k-th nearest of `reference`, divided by the median distance
    of the reference pictures to the k-th nearest other. Each feature is first divided by its
    standard deviation in the reference.

    Notes
    -----
    It sees what the features see. With the channel statistics of the classifier, noise, grain and
    exaggerated contrast stand out, a slight blur hardly, and a face put together of two not at
    all. Give it pictures clipped to [-1, 1], as a viewer sees them.

    Examples
    --------
    >>> line = torch.arange(10.0)[:, None]
    >>> off_manifold(torch.tensor([[4.5], [29.0]]), line, k=1).round(decimals=3)
    tensor([ 0.5000, 20.0000], dtype=torch.float64)
    """
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        raise ValueError(
            "features and reference must be (n, d) and (m, d) from the same network, got "
            f"{tuple(features.shape)} and {tuple(reference.shape)}"
        )
    if not 0 < k < len(reference):
        raise ValueError(f"k must be 1..{len(reference) - 1} for that reference, got {k}")
    reference = reference.detach().cpu().double()
    spread = reference.std(dim=0)
    varies = spread > 0
    reference = reference[:, varies] / spread[varies]
    points = features.detach().cpu().double()[:, varies] / spread[varies]
    among = torch.cdist(reference, reference).fill_diagonal_(float("inf"))
    usual = among.kthvalue(k, dim=1).values.quantile(0.5)
    return torch.cdist(points, reference).kthvalue(k, dim=1).values / usual
