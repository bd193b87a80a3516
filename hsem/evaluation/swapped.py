"""After a swap of h: how much of a child comes from whom."""

from __future__ import annotations

import torch
from torch import Tensor


def inherited(child: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Weights of the two parents in what their children are, by least squares.

    Parameters
    ----------
    child : (n,), an attribute of pictures drawn with the noise of one sample and the h of another
    own : (n,), the same of the samples that gave the noise
    other : (n,), of those that gave h

    Returns
    -------
    (2,), in child = a own + b other + c: a and b.

    Raises
    ------
    ValueError
        If the three are not as many numbers each, or fewer than three.

    Examples
    --------
    >>> own, other = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    >>> [round(w, 2) for w in inherited(0.25 * own + 0.75 * other + 5, own, other).tolist()]
    [0.25, 0.75]
    """
    if child.ndim != 1 or len(child) < 3 or not child.shape == own.shape == other.shape:
        raise ValueError(
            "child, own and other must hold one number for each of at least three pairs, got "
            f"shapes {[tuple(x.shape) for x in (child, own, other)]}"
        )
    design = torch.stack([own, other, torch.ones_like(own)], 1)
    return torch.linalg.lstsq(design, child[:, None]).solution[:2, 0]


def both_ways(s1: Tensor, s2: Tensor, to_2: Tensor, to_1: Tensor) -> Tensor:
    """The weights of `inherited`, of the noise and of h, mean over both ways of swapping: (2,).

    Parameters
    ----------
    s1, s2, to_2, to_1 : (n,), as for `share_of_h`
    """
    return (inherited(to_2, s1, s2) + inherited(to_1, s2, s1)) / 2


def share_of_h(s1: Tensor, s2: Tensor, to_2: Tensor, to_1: Tensor) -> Tensor:
    """The weight of the giver of h, over both ways of swapping.

    Parameters
    ----------
    s1, s2 : (n,), an attribute of the first and of the second samples of n pairs
    to_2 : (n,), of s1 drawn again with the h of s2
    to_1 : (n,), of s2 drawn again with the h of s1

    Returns
    -------
    A number: 1 if the children are like the giver of h, 0 if h carries nothing of it.

    Examples
    --------
    >>> a, b = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    >>> round(float(share_of_h(a, b, b, a)), 2), round(float(abs(share_of_h(a, b, a, b))), 2)
    (1.0, 0.0)
    """
    return both_ways(s1, s2, to_2, to_1)[1]
