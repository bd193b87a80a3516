"""The judges of `portraits-64`: small networks that read attributes off a portrait.

Each is an implementation of the scorer protocol `images -> scores`: call it with images
(n, 3, 64, 64) in [-1, 1] and get (n, k) numbers in natural units, one column per name. They were
trained on renders whose attributes are known exactly, by `portraits.train.classifier`; how well
they read held-out renders stands in `metrics`.

There are two, so that no judge has to vouch for itself. The first chooses examples. The second
(`classifier.load(classifier.SECOND)`), of another architecture and seed, never does: it measures
what edits did. A direction that only pleases the first judge does nothing by the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..network.models import DATA
from . import stored
from .scorers import names_of

FOLDER, SECOND = DATA / "portrait-classifier", DATA / "portrait-classifier-2"
KINDS, CARD = ("plain", "residual"), "attributes.json"


@dataclass(frozen=True)
class Attribute:
    """What one column of the scores means.

    name : such as "yaw"
    unit : "degrees", "years", "probability", or "" for a factor of the renderer
    mean, spread : over the held-out portraits; the spread is a standard deviation, and the unit
        in which effects on different attributes can be compared
    binary : the score is a calibrated probability
    temperature : by which the logit of a binary attribute is divided
    """

    name: str
    unit: str
    mean: float
    spread: float
    binary: bool = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"the name of an attribute must be a text, got {self.name!r}")
        if self.binary not in (True, False):
            raise ValueError(f"binary of {self.name!r} must be True or False, got {self.binary!r}")
        if not self.temperature > 0:
            raise ValueError(
                f"temperature of {self.name!r} must be above 0, got {self.temperature!r}; 1 leaves "
                "the logits as they are"
            )


class PortraitClassifier(nn.Module):
    """Predicts pose, age, expression, accessories, hair and light of 64x64 portraits.

    Pictures may be on any device; scores and features are on the classifier's.

    Parameters
    ----------
    attributes : what the columns are
    width : channels of the first block
    kind : "plain" for pairs of convolutions with batch normalisation, "residual" for residual
        blocks with group normalisation

    Attributes
    ----------
    names : one per column
    spread : Tensor (k,), standard deviation of each attribute over held-out portraits
    metrics : what was measured on held-out portraits, by attribute ({} for a new network)
    """

    spread: Tensor

    def __init__(
        self,
        attributes: tuple[Attribute, ...],
        width: int = 24,
        metrics: dict[str, Any] | None = None,
        kind: str = "plain",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        super().__init__()
        self.attributes = attributes
        self.names = tuple(a.name for a in attributes)
        names_of(self)  # refuses names that occur twice
        self.width = width
        self.kind = kind
        self.metrics = metrics or {}
        w = width
        block = stored.block if kind == "plain" else _residual
        self.body = nn.Sequential(
            *block(3, w, 2), *block(w, 2 * w, 2), *block(2 * w, 4 * w, 2),
            *block(4 * w, 6 * w, 1), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        )  # fmt: skip
        self.middle = nn.Sequential(nn.Linear(6 * w * 16, 192), nn.ReLU())
        self.head = nn.Linear(192, len(attributes))
        for name in ("mean", "spread", "temperature"):
            values = torch.tensor([getattr(a, name) for a in attributes], dtype=torch.float32)
            self.register_buffer(name, values, persistent=False)
        binary = torch.tensor([bool(a.binary) for a in attributes])
        self.register_buffer("binary", binary, persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """The last layer but one, (n, 192): what Frechet distances are taken in."""
        return self.middle(self.body(stored.known(images, self.head.weight)))

    def statistics(self, images: Tensor) -> Tensor:
        """Mean and deviation of each channel after each layer, (n, 52 width) of the plain kind.

        What a picture is made of rather than of whom it is: grain, tint, contrast and shapes.
        `features` were trained to overlook all that, these still see it.
        """
        x, out = stored.known(images, self.head.weight), []
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, (nn.ReLU, Residual)):
                out += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
        return torch.cat(out, dim=1)

    def raw(self, images: Tensor) -> Tensor:
        """Standardised values, and logits of the binary attributes, (n, k)."""
        return self.head(self.features(images))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, k) in natural units; probabilities for binary attributes."""
        out = self.raw(images)
        values = out * self.get_buffer("spread") + self.get_buffer("mean")
        probabilities = torch.sigmoid(out / self.get_buffer("temperature"))
        return torch.where(self.get_buffer("binary"), probabilities, values)

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` (half precision) and `attributes.json`."""
        card = {
            "kind": self.kind,
            "width": self.width,
            "attributes": [vars(a) for a in self.attributes],
            "metrics": self.metrics,
        }
        stored.save(folder, self, CARD, card)


def load(folder: str | Path = FOLDER, device: str | torch.device = "cpu") -> PortraitClassifier:
    """A classifier that comes with the package, or one saved by `PortraitClassifier.save`.

    `load()` is the first judge, `load(SECOND)` the second.

    Frozen and in evaluation mode; gradients with respect to the images still flow.

    Raises
    ------
    OSError
        If the folder does not hold one.
    """

    def build(card: dict[str, Any]) -> PortraitClassifier:
        attributes = tuple(Attribute(**a) for a in card["attributes"])
        kind = card.get("kind", "plain")
        return PortraitClassifier(attributes, card["width"], card["metrics"], kind)

    return stored.load(folder, "the folder of a classifier", CARD, build, device)


class Residual(nn.Module):
    """x + f(x), f twice: group normalisation, SiLU, convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1),
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


def _residual(into: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 3, stride, 1), Residual(out)]
