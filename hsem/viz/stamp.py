"""Pictures of networks that mean nothing carry the words with them, wherever they are copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..network.unet import HSpaceUNet
from .fonts import warn_of_missing, width_of, write

MEANINGLESS = ("random", "tiny")  # how the names of such models begin
PICTURES = {  # how many of the first arguments of our functions are pictures
    "grid": 1, "strip": 1, "slider": 1, "board": 1, "difference": 2, "blind_test": 1,
}  # fmt: skip


def stamp(images: Tensor, text: str = "random weights") -> Tensor:
    """Burn a text into the lower edge of pictures.

    Parameters
    ----------
    images : (..., 3, H, W) in [-1, 1]; left as they are
    text : one line, which is made as large as fits; "" leaves the pictures as they are

    Returns
    -------
    The same shape, dtype and device, with white letters on a dark band.
    """
    if not text:
        return images
    if not text.strip() or "\n" in text:
        raise ValueError(f"text must be one line that says something, got {text!r}")
    *_, channels, height, width = images.shape
    if channels != 3:
        raise ValueError(f"images must be (..., 3, H, W), got {tuple(images.shape)}")
    warn_of_missing([text])
    band = torch.from_numpy(_band(text, width, height)).to(images)
    out = images.clone()
    out[..., -band.shape[0] :, :] = band
    return out


def of(model: HSpaceUNet) -> Any:
    """The functions of `hsem.viz` for pictures of a model: stamped if it has random weights.

    A model is taken for random if its name, or that of its folder, begins with "random" or "tiny".

    Examples
    --------
    >>> from hsem import viz
    >>> viz = viz.of(hsem.load(MODEL))                                  # doctest: +SKIP
    """
    from hsem import viz

    name = Path(model.name).name.lower()
    return Stamped(viz, "random weights") if name.startswith(MEANINGLESS) else viz


class Stamped:
    """What a module draws, with a text burned into each picture."""

    def __init__(self, drawing: Any, text: str) -> None:
        self._drawing, self._text = drawing, text

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._drawing, name)
        if name == "figure":
            return self._figure(found)
        return self._pictures(found, PICTURES[name]) if name in PICTURES else found

    def _pictures(self, draw: Callable[..., Any], first: int) -> Callable[..., Any]:
        @wraps(draw)
        def stamped(*args: Any, **kwargs: Any) -> Any:
            live = kwargs.get("live")
            if live is not None:
                kwargs["live"] = lambda *at: stamp(live(*at), self._text)
            given = (x if isinstance(x, Tensor) else torch.from_numpy(x) for x in args[:first])
            pictures = [stamp(x, self._text) for x in given]
            return draw(*pictures, *args[first:], **kwargs)

        return stamped

    def _figure(self, draw: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(draw)
        def stamped(drawing: Any, **kwargs: Any) -> Any:
            drawing.text(0.5, 0.5, self._text, alpha=0.4, ha="center", va="center", size=20)
            return draw(drawing, **kwargs)

        return stamped


@lru_cache
def _band(text: str, width: int, height: int) -> np.ndarray:
    """(rows, width) in [-1, 1]: the text in white on black, as large as the width allows."""
    largest = max(6, height // 6)
    size = next((s for s in range(largest, 4, -1) if width_of(text, s) <= width - 2), 5)
    image = Image.new("L", (width, 4 * size), 0)
    write(ImageDraw.Draw(image), (width / 2, size), text, size, (255,), "ma")
    _, top, _, bottom = image.getbbox() or (0, size, width, size)  # of what is drawn
    image = image.crop((0, top - 2, width, min(bottom + 2, top - 2 + height)))
    return np.asarray(image, dtype=np.float32) / 127.5 - 1
