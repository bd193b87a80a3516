"""What an edit changed, made visible: at 64 pixels the eye needs help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .picture import Picture, tick
from .show import strip

RED, BLUE = (178, 24, 43), (33, 102, 172)  # told apart by readers who see red as green


def difference(
    before: Tensor,
    after: Tensor,
    *,
    alt: str,
    col_labels: Sequence[Any] | None = None,
    **looks: Any,
) -> Picture:
    """Three rows: pictures before an edit, after it, and a map of what became lighter or darker.

    Parameters
    ----------
    before, after : (n, 3, H, W) in [-1, 1]
    alt : what the pictures show, and where the map has colour
    col_labels, looks (scale, caption, name, crisp) : as in `strip`

    Returns
    -------
    A picture whose third row is white where nothing changed, red where it is lighter and blue
    where it is darker. The largest change (of the mean over the channels, up to 2) has full colour;
    the label of the row says which that is.
    """
    if before.shape != after.shape or before.ndim != 4:
        raise ValueError(
            "before and after must both have shape (n, 3, H, W), "
            f"got {tuple(before.shape)} and {tuple(after.shape)}"
        )
    before, after = (x.detach().float().cpu().clamp(-1, 1) for x in (before, after))
    change = (after - before).mean(dim=1)
    top = float(change.abs().max())
    rows = torch.stack([before, after, diverging(change / (top or 1.0))])
    label = f"change, full\ncolour at ±{tick(round(top, 2))}"
    return strip(rows, col_labels, ["before", "after", label], alt=alt, **looks)


def diverging(x: Tensor) -> Tensor:
    """(n, H, W) in [-1, 1] as pictures (n, 3, H, W): -1 is blue, 0 white, 1 red."""
    x = x.clamp(-1, 1)[:, None]
    red, blue = (x.new_tensor(c).view(1, 3, 1, 1) / 127.5 - 1 for c in (RED, BLUE))
    colour = torch.where(x > 0, red, blue)
    return 1 + (colour - 1) * x.abs()
