"""The pictures that come with the package: rendered portraits with their true factors.

They are CC0. `portraits/DATA_CARD.md` in the repository says what the factors mean, and
`python -m portraits.dataset` draws the full data set again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .network.models import DATA
from .reading import checked, read_arrays, refusing


@dataclass(frozen=True, eq=False)
class Portraits:
    """Pictures and the factors they were rendered from.

    images : (n, 3, H, W) in [-1, 1]
    labels : (n, k), in the units of the renderer
    names : k names of the factors
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, name: str) -> Tensor:
        """One factor of every portrait, (n,)."""
        if name not in self.names:
            raise KeyError(f"no factor {name!r}; there are {', '.join(self.names)}")
        return self.labels[:, self.names.index(name)]


def portraits(path: str | Path = DATA / "portraits" / "held_out.npz") -> Portraits:
    """Held-out portraits of 64x64 pixels, rendered as the training portraits were.

    Parameters
    ----------
    path : an npz with `images` (n, H, W, 3) uint8, `labels` (n, k) and `names` (k,)

    Raises
    ------
    OSError
        If the file is missing, damaged, or holds something else.
    """
    return Portraits(*_read(path)[:3])


@dataclass(frozen=True, eq=False)
class ExpressionPortraits(Portraits):
    """Portraits of people who make faces, for `expression_pairs`: all but the expression is equal.

    subject : n numbers, one a person
    expression : n names, "neutral" or one of six
    intensity : n numbers from 0 (neutral) to 1
    """

    subject: tuple[int, ...]
    expression: tuple[str, ...]
    intensity: tuple[float, ...]


def expressions(
    path: str | Path = DATA / "portraits" / "expressions.npz", *, size: int | None = None
) -> ExpressionPortraits:
    """A hundred people, neutral and with six expressions: a stand-in for BU3DFE (SM F).

    happiness, sadness, anger, fear, disgust and surprise at full intensity, frontal, without
    glasses or hats. `python -m portraits.dataset.controlled` draws the lower intensities as well.

    Parameters
    ----------
    path : an npz with what `portraits` asks for, and `subject`, `expression` and `intensity` (n,)
    size : side length to which the pictures are scaled; None leaves them as they are

    Raises
    ------
    OSError
        If the file is missing, damaged, or holds something else.

    Examples
    --------
    >>> pictures = expressions()
    >>> len(pictures), pictures.expression[:3]
    (700, ('neutral', 'happiness', 'sadness'))
    """
    images, labels, names, (subject, expression, intensity) = _read(
        path, subject="iu", expression="U", intensity="f"
    )
    return ExpressionPortraits(
        scaled(images, size), labels, names,
        tuple(map(int, subject)), tuple(map(str, expression)), tuple(map(float, intensity)),
    )  # fmt: skip


def scaled(images: Tensor, size: int | None) -> Tensor:
    """Pictures (n, 3, H, W) at another side length, by area when smaller; None leaves them."""
    if size is None or tuple(images.shape[2:]) == (size, size):
        return images
    if size < 1:
        raise ValueError(f"size must be a side length in pixels, 1 or more; got {size}")
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(-1, 1)


# ------------------------------------------------------------------------------------- details


def _read(
    path: str | Path, **more: str
) -> tuple[Tensor, Tensor, tuple[str, ...], list[np.ndarray]]:
    """Pictures in [-1, 1], labels, names, and what else there is for each picture: {name: kind}."""
    keys = ("images", "labels", "names", *more)
    remedy = f"it must hold {', '.join(keys)}; install hsem again, or give another file"
    with refusing(path, "a file of portraits", remedy, OSError):
        images, labels, names, *rest = read_arrays(path, *keys)
        checked("images", images, None, None, None, 3, kinds="u")
        if images.dtype != np.uint8:
            raise ValueError(f"images must be uint8, got {images.dtype}; scale them to 0..255")
        n, k = len(images), len(checked("names", names, None, kinds="U"))
        checked("labels", labels, n, k, kinds="fiu")
        for (name, kinds), values in zip(more.items(), rest, strict=True):
            checked(name, values, n, kinds=kinds)
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        return pictures, torch.from_numpy(labels).float(), tuple(map(str, names)), rest
