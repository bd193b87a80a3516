"""Words burned into pictures, so that a picture of one model never passes for another's."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .fonts import font


def stamped(images: Tensor, text: str) -> Tensor:
    """The same pictures with a black band along the lower edge that says `text` in white.

    Parameters
    ----------
    images : (..., 3, H, W) in [-1, 1]
    text : such as "random weights"; "" returns the pictures as they are

    Returns
    -------
    A new tensor of the same shape: the words are in the pixels and survive being saved or cut out.

    Examples
    --------
    >>> bool(stamped(torch.zeros(3, 64, 64), "random weights").amax() > 0.9)
    True
    """
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must have shape (..., 3, H, W), got {tuple(images.shape)}")
    if not text:
        return images
    height, width = images.shape[-2:]
    band = _band(text, width, max(8, height // 8))
    marked = images.clone()
    rows = min(height, band.shape[0])
    marked[..., height - rows :, :] = band[:rows].to(marked)
    return marked


def _band(text: str, width: int, height: int) -> Tensor:
    """(height, width) in [-1, 1]: the largest letters that fit."""
    for size in range(height, 3, -1):
        letters = font(text, size)
        left, top, right, bottom = letters.getbbox(text)
        if right - left <= width - 2 and bottom - top <= height:
            break
    picture = Image.new("L", (width, height), 0)
    at = ((width - right - left) / 2, (height - bottom - top) / 2)
    ImageDraw.Draw(picture).text(at, text, fill=255, font=letters)
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1)
