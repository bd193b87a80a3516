"""Judges and pictures that belong to a model, so that a chapter takes any.

    judge, second = judges_of(model)     # the first chooses examples, the second measures
    real = pictures_of(model)            # what its pictures should look like
    mouth = region_of(model, "mouth")    # where its mouths usually are

For models of rendered portraits these are the packaged classifiers and held-out renders, whose
factors are known. For photographs they are CLIP in two wordings (`hsem.judges.photographs`), and a
few samples of the model itself, read by that judge: nobody knows the truth about those.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any, Literal

from torch import Tensor

from ..datasets import Portraits, portraits
from ..diffusion.sampling import sample
from ..judges import classifier, photographs
from ..judges.classifier import PortraitClassifier
from ..judges.photographs import PhotographJudge
from ..network.unet import HSpaceUNet
from ..results import Results
from ..unsupervised import masks
from .parts import Parts

Judge = PortraitClassifier | PhotographJudge
Kind = Literal["portraits", "photographs"]
SEEDS = range(5_000_000, 5_000_064)  # of samples that stand for real pictures
STEPS = 20


def kind_of(model: HSpaceUNet) -> Kind:
    """What a model draws, by its name and size: rendered portraits of 64 pixels, or photographs.

    "portraits" is one that comes with the package, and any model of 64 pixels whose folder is
    called portraits-something.
    """
    named = Path(model.name).name.startswith("portraits")
    return "portraits" if named and model.image_shape == (3, 64, 64) else "photographs"


def judges_of(model: HSpaceUNet, kind: Kind | None = None) -> tuple[Judge, Judge]:
    """Who chooses examples for a model, and who measures what edits did. Both have the same names.

    Parameters
    ----------
    model : of any size
    kind : what it draws; None asks `kind_of`

    Notes
    -----
    For photographs, the unit of effects (`judge.spread`) is the standard deviation over 64 samples
    of the model, which are drawn once and kept (see `Parts`).

    Raises
    ------
    ImportError, OSError
        If photographs need CLIP and it is not at hand: set HSEM_CLIP to its folder.
    """
    if (kind or kind_of(model)) == "portraits":
        place = model.device
        return classifier.load(device=place), classifier.load(classifier.SECOND, place)
    images = own_samples(model)
    first, second = (judge.calibrated(images) for judge in photographs.load(device=model.device))
    return first, second


def pictures_of(model: HSpaceUNet, kind: Kind | None = None) -> Portraits:
    """Pictures as a model should draw them, with their factors.

    Held-out renders with true factors for portraits. For photographs 64 samples of the model, with
    what the judge that measures reads in them in place of the truth.
    """
    if (kind or kind_of(model)) == "portraits":
        return portraits()
    images = own_samples(model)
    second = judges_of(model, "photographs")[1]
    return Portraits(images, second(images).float(), second.names)


def region_of(model: HSpaceUNet, name: str, kind: Kind | None = None) -> Tensor:
    """The mask (H, W) of a part of the face: measured for portraits, rough for photographs.

    See `hsem.masks.region` and `hsem.masks.aligned_region`.
    """
    if (kind or kind_of(model)) == "portraits":
        return masks.region(name)
    return masks.aligned_region(name, model)


def strength_of(principal: Results) -> float:
    """Two standard deviations along the first principal component, at the median step."""
    return 2 * median(principal.directions["pca/0"].step_norms().tolist())


def own_samples(model: HSpaceUNet) -> Tensor:
    """(64, 3, H, W): samples of the model, eta = 0, drawn once for each set of weights."""
    # whatever it is drawn with: one set of pictures for each set of weights
    anyhow: dict[str, Any] = dict.fromkeys(("dtype", "device", "torch", "hsem", "recipes"), "any")
    parts = Parts("reference", model, seeds=[SEEDS.start, SEEDS.stop], steps=STEPS, **anyhow)

    def draw(seeds: range) -> dict[str, Tensor]:
        run = sample(model, seeds, steps=STEPS, eta=0.0, record=())
        return {"images": run.images.clamp(-1, 1).half()}

    return parts.over("images", SEEDS, draw, 8)["images"].float()  # type: ignore[arg-type]
