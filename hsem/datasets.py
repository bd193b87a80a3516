"""The pictures that come with the package: held-out rendered portraits with their true factors.

They are CC0. The full data set is rendered again by the scripts in `portraits/_prototype` of the
repository, which also define what the factors mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .models import DATA


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
    try:
        with np.load(path, allow_pickle=False) as file:
            pictures, labels, names = file["images"], file["labels"], file["names"]
    except Exception as error:
        raise OSError(
            f"cannot read portraits from {path}: expected an npz file with images, labels and "
            f"names ({error})"
        ) from error
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return Portraits(images, torch.from_numpy(labels).float(), tuple(str(n) for n in names))
