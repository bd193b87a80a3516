"""The pictures that come with the package: rendered portraits with their true factors.

They are CC0. `portraits/DATA_CARD.md` in the repository says what the factors mean, and
`python -m portraits.dataset` draws the full data set again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .network.models import DATA


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
    images, labels, names = _read(path, ("images", "labels", "names"))
    return Portraits(_pictures(images), torch.from_numpy(labels).float(), tuple(map(str, names)))


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
    path: str | Path = DATA / "portraits" / "expressions.npz",
) -> ExpressionPortraits:
    """A hundred people, neutral and with six expressions: a stand-in for BU3DFE (SM F).

    happiness, sadness, anger, fear, disgust and surprise at full intensity, frontal, without
    glasses or hats. `python -m portraits.controlled` draws the lower intensities as well.

    Parameters
    ----------
    path : an npz with what `portraits` asks for, and `subject`, `expression` and `intensity` (n,)

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
    keys = ("images", "labels", "names", "subject", "expression", "intensity")
    images, labels, names, subject, expression, intensity = _read(path, keys)
    return ExpressionPortraits(
        _pictures(images),
        torch.from_numpy(labels).float(),
        tuple(map(str, names)),
        tuple(map(int, subject)),
        tuple(map(str, expression)),
        tuple(map(float, intensity)),
    )


# ------------------------------------------------------------------------------------- details


def _read(path: str | Path, keys: Sequence[str]) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[key] for key in keys]
    except Exception as error:
        raise OSError(
            f"cannot read portraits from {path}: expected an npz file with {', '.join(keys)} "
            f"({error})"
        ) from error


def _pictures(images: np.ndarray) -> Tensor:
    """uint8 (n, H, W, 3) as (n, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
