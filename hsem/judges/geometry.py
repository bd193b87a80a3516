"""The geometric judge: it finds the parts of a face, and measures them in pixels.

The classifiers learned what "smile" means from labels. This judge has never heard of a smile: a
small network says which part of a face each pixel of a 64x64 portrait shows, and plane geometry
does the rest. If a direction lifts the corners of the mouth, it sees that; if it only pleases a
classifier, it sees nothing. It is a scorer like the others:

    judge = geometry.load()
    judge(images)                     # (n, 6) pixels, columns judge.names
    judge.parts(images)               # (n, 13, 64, 64), the share of each part in each pixel

The network was trained by `portraits.train.geometry` on people that are in no other data set here;
what it reads right of held-out portraits stands in `metrics`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..network.models import DATA
from . import stored
from .stored import SIDE as SIDE

FOLDER, CARD = DATA / "portrait-geometry", "geometry.json"

PARTS = (
    "background", "skin", "upper_lip", "lower_lip", "mouth", "eyes", "lids", "brows", "nose",
    "hair", "hat", "glasses", "clothes",
)  # fmt: skip
"""What a pixel may show. "mouth" is its inside (teeth, tongue, lining), "eyes" what is open of
them, "lids" the skin around; one looks through glasses, unless they are dark."""


class Measure(NamedTuple):
    """meaning, in pixels of a 64x64 portrait; the parts without which there is no answer."""

    meaning: str
    needs: tuple[tuple[str, ...], ...]


LIPS, EYES = ("upper_lip", "lower_lip", "mouth"), ("eyes", "lids")
MEASURES: dict[str, Measure] = {
    "mouth_opening": Measure("height of the inside of the mouth, mean over its width", (LIPS,)),
    "mouth_curve": Measure("corners of the upper lip above its middle", (("upper_lip",),)),
    "mouth_width": Measure("from corner to corner", (LIPS,)),
    "eye_opening": Measure("height of what is open of the eyes, mean over their width", (EYES,)),
    "brow_height": Measure("middle of the brows above the middle of the eyes", (("brows",), EYES)),
    "head_turn": Measure(
        "nose to the right of the line from the eyes to the mouth", (("nose",), EYES, LIPS)
    ),
}
NAMES = tuple(MEASURES)
SEEN = 3.0  # pixels of a part from which on it counts as seen
DOUBT = 0.1  # a smaller share of a pixel does not count (the renderer knows ninths)


# ----------------------------------------------------------------------------------- plane geometry


def measure(parts: Tensor) -> Tensor:
    """The measures of `MEASURES`, from masks.

    Parameters
    ----------
    parts : (n, 13, H, W), floating, share of each of `PARTS` in each pixel, 0 to 1

    Returns
    -------
    (n, 6), in pixels, columns `NAMES`. A part that is not seen is taken to lie in the middle
    of the picture, so that every answer is a number; `seen` tells which of them to believe.

    Notes
    -----
    Up is the direction from the middle of the mouth to the middle of the eyes, so a tilted head
    measures as an upright one. The mouth's curve is that of a parabola y = a + b x + c x^2 through
    all of the upper lip: -c w^2 for half a width w. (Through both lips it would rise when the jaw
    drops.) All is differentiable, and a share of a pixel counts as a share.
    """
    m = _checked_parts(parts)
    m = torch.where(m < DOUBT, 0, m)
    lips, eyes = (_joined(m, names) for names in (LIPS, EYES))
    middle, below = _centre(eyes), _centre(lips)
    up = F.normalize(middle - below, dim=1)
    right = torch.stack([-up[:, 1], up[:, 0]], dim=1)
    brows, nose = _centre(_joined(m, ("brows",))), _centre(_joined(m, ("nose",)))
    columns = [
        _area(_joined(m, ("mouth",))) / _columns(lips),
        _curve(_joined(m, ("upper_lip",))),
        _columns(lips),
        _area(_joined(m, ("eyes",))) / _columns(eyes),
        ((brows - middle) * up).sum(dim=1),
        ((nose - below) * right).sum(dim=1),
    ]
    return torch.stack(columns, dim=1)


def seen(parts: Tensor) -> Tensor:
    """Which measures can be believed, (n, 6): of all they need, `SEEN` pixels or more are seen."""
    m = _checked_parts(parts)
    return torch.stack(
        [
            torch.stack([_area(_joined(m, part)) >= SEEN for part in needs]).all(dim=0)
            for _, needs in MEASURES.values()
        ],
        dim=1,
    )


def _checked_parts(parts: Tensor) -> Tensor:
    if parts.ndim != 4 or parts.shape[1] != len(PARTS) or not parts.is_floating_point():
        raise ValueError(
            f"parts must be (n, {len(PARTS)}, H, W), shares of {', '.join(PARTS)}, got "
            f"{tuple(parts.shape)} of {parts.dtype}; PortraitGeometry.parts(images) gives them"
        )
    return parts


def _joined(m: Tensor, names: tuple[str, ...]) -> Tensor:
    """Share (n, H, W) of these parts together."""
    return m[:, [PARTS.index(name) for name in names]].sum(dim=1)


def _area(share: Tensor) -> Tensor:
    return share.sum(dim=(1, 2))


def _columns(share: Tensor) -> Tensor:
    """Width (n,): how many columns a part fills, each as far as its fullest pixel."""
    return share.amax(dim=1).sum(dim=1).clamp(min=1.0)


def _grid(share: Tensor) -> tuple[Tensor, Tensor]:
    """x to the right and y down, (1, H, W) each, from the middle of the picture."""
    height, width = share.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=share.dtype, device=share.device) - (height - 1) / 2,
        torch.arange(width, dtype=share.dtype, device=share.device) - (width - 1) / 2,
        indexing="ij",
    )
    return x[None], y[None]


def _centre(share: Tensor) -> Tensor:
    """Centre of mass (n, 2); a mass of 0.01 in the middle of the picture keeps it finite."""
    x, y = _grid(share)
    return torch.stack([_area(share * x), _area(share * y)], dim=1) / (_area(share) + 1e-2)[:, None]


def _curve(share: Tensor) -> Tensor:
    """How far the ends of a part lie above its middle, (n,), by a parabola through it."""
    x, y = _grid(share)
    mass = _area(share).clamp(min=1e-6)

    def mean(value: Tensor) -> Tensor:
        return _area(share * value) / mass

    centred = x - mean(x)[:, None, None]
    spread = mean(centred**2).clamp(min=1e-2).sqrt()
    t = centred / spread[:, None, None]
    # least squares y = a + b t + c (t^2 - s t - 1), whose third term is orthogonal to the others
    s = mean(t**3)
    third = t**2 - s[:, None, None] * t - 1
    c = mean(third * y) / mean(third**2).clamp(min=1e-2)
    return -3 * c  # the ends of an even bar lie at t^2 = 3


# -------------------------------------------------------------------------------------- the network


class PortraitGeometry(nn.Module):
    """A U-Net from portraits (n, 3, 64, 64) in [-1, 1] to parts, and the measures of those.

    Pictures may be on any device; what comes back is on the judge's.

    Parameters
    ----------
    widths : channels of the levels, from 64x64 pixels down
    spread : standard deviation of each measure over held-out portraits
    metrics : what was measured on held-out portraits ({} for a new network)

    Attributes
    ----------
    names : one per column
    spread : Tensor (6,), pixels
    """

    spread: Tensor
    label = "geometry"

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 24, 40, 64),
        spread: tuple[float, ...] = (1.0,) * len(NAMES),
        metrics: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.widths, self.metrics = NAMES, tuple(widths), metrics or {}
        self.register_buffer("spread", torch.tensor(spread), persistent=False)
        into = (3, *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(*stored.block(a, b)) for a, b in zip(into, widths, strict=True)
        )
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Sequential(*stored.block(a + b, b)) for a, b in steps)
        self.head = nn.Conv2d(widths[0], len(PARTS), 1)

    def logits(self, images: Tensor) -> Tensor:
        """Before the softmax, (n, 13, 64, 64)."""
        x, levels = stored.known(images, self.head.weight), []
        for k, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if k else x)
            levels.append(x)
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), level], dim=1))
        return self.head(x)

    def parts(self, images: Tensor) -> Tensor:
        """Share of each of `PARTS` in each pixel, (n, 13, 64, 64), 0 to 1."""
        return self.logits(images).softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """The measures (n, 6), in pixels."""
        return measure(self.parts(images))

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` (half precision) and `geometry.json`."""
        card = {
            "widths": self.widths, "parts": PARTS, "names": NAMES,
            "spread": [round(float(s), 4) for s in self.spread], "metrics": self.metrics,
        }  # fmt: skip
        stored.save(folder, self, CARD, card)


def load(folder: str | Path = FOLDER, device: str | torch.device = "cpu") -> PortraitGeometry:
    """The judge that comes with the package, or one saved by `PortraitGeometry.save`.

    Frozen and in evaluation mode; gradients with respect to the images still flow.

    Raises
    ------
    OSError
        If the folder does not hold one.
    """

    def build(card: dict[str, Any]) -> PortraitGeometry:
        known = (tuple(card["parts"]), tuple(card["names"]), len(card["spread"]))
        if known != (PARTS, NAMES, len(NAMES)):
            raise ValueError("it knows other parts or measures")
        return PortraitGeometry(tuple(card["widths"]), tuple(card["spread"]), card["metrics"])

    return stored.load(folder, "the folder of a geometric judge", CARD, build, device)
