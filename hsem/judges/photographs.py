"""The judges of models that draw photographs: CLIP in two wordings, and the pose of the head.

They have the names and the manners of the judges of `portraits-64`, so that a chapter takes either.
A score of CLIP is the difference of two logits: it says how much better one phrase fits than the
other. Yaw, pitch and roll are read by the packaged classifier from the picture scaled to 64 pixels:
no download, and no claim about photographs, on which it was never tested.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from . import classifier
from .classifier import Attribute, PortraitClassifier
from .hub_scorers import ClipScorer
from .prompts import PORTRAIT_PROMPTS
from .scorers import POSE_NAMES
from .stored import SIDE

CLIP = "openai/clip-vit-large-patch14"


class PhotographJudge:
    """Reads photographs of faces, one column for each attribute of `portraits-64`.

    Parameters
    ----------
    clip : with `output="logit"`
    pose : a classifier with the columns yaw, pitch and roll
    attributes : of the columns; by default with mean 0 and spread 1, see `calibrated`

    Attributes
    ----------
    names : of the columns, (k,)
    spread : Tensor (k,), the unit of effects: standard deviation over the pictures of `calibrated`
    """

    def __init__(
        self,
        clip: ClipScorer,
        pose: PortraitClassifier,
        attributes: Sequence[Attribute] | None = None,
    ) -> None:
        if clip.output != "logit":
            raise ValueError(f"clip must have output='logit', got output={clip.output!r}")
        self.clip, self.pose = clip, pose
        units = [(name, "degrees") for name in POSE_NAMES] + [(n, "logits") for n in clip.names]
        plain = [Attribute(name, unit, 0.0, 1.0) for name, unit in units]
        self.attributes = tuple(attributes or plain)
        self.names = tuple(a.name for a in self.attributes)
        self.spread = torch.tensor(
            [a.spread for a in self.attributes], dtype=torch.float32, device="cpu"
        )
        self.label = f"{clip.label}, pose by the portrait classifier"

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (n, k) of pictures (n, 3, H, W) in [-1, 1], on the CPU."""
        side = (SIDE, SIDE)
        small = F.interpolate(images.float(), side, mode="bilinear", antialias=True)
        angles = self.pose(small)[:, [self.pose.names.index(n) for n in POSE_NAMES]]
        return torch.cat([angles.cpu(), self.clip(images).float().cpu()], dim=1)

    def raw(self, images: Tensor) -> Tensor:
        """The same as calling it: logits already, none of which saturates."""
        return self(images)

    def statistics(self, images: Tensor) -> Tensor:
        """CLIP's unit vectors of the pictures, (n, d), for `off_manifold`."""
        return self.clip.features(images)

    def calibrated(self, images: Tensor) -> PhotographJudge:
        """The same judge, with mean and spread of its scores over these pictures as its unit."""
        scores = self(images).double()
        if len(images) < 2:
            raise ValueError(f"images must be two or more, to have a spread; got {len(images)}")
        mean, spread = scores.mean(0).tolist(), scores.std(0).clamp(min=1e-6).tolist()
        known = [
            replace(a, mean=m, spread=s)
            for a, m, s in zip(self.attributes, mean, spread, strict=True)
        ]
        return PhotographJudge(self.clip, self.pose, known)


def load(
    source: str | Path | None = None, device: str | torch.device | None = None
) -> tuple[PhotographJudge, PhotographJudge]:
    """The judge that chooses examples, and the one that measures: two wordings of the prompts.

    Both look through the same CLIP, so they are less independent than the two judges of
    `portraits-64`.

    Parameters
    ----------
    source : CLIP on the hub or in a folder; None takes the environment variable HSEM_CLIP, or
        "openai/clip-vit-large-patch14"
    device : where to compute

    Raises
    ------
    ImportError, OSError
        If `transformers` or the files are missing, with what to do about it.
    """
    source = source or os.environ.get("HSEM_CLIP", CLIP)
    wordings = [{name: pair[k] for name, pair in PORTRAIT_PROMPTS.items()} for k in (0, 1)]
    chooses = ClipScorer.load(source, wordings[0], output="logit", device=device)
    place = chooses.model.device
    return (
        PhotographJudge(chooses, classifier.load(classifier.FOLDER, place)),
        PhotographJudge(chooses.worded(wordings[1]), classifier.load(classifier.SECOND, place)),
    )
