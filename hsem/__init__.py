"""Directions in the semantic latent space ("h-space") of diffusion models.

A readable and tested implementation of Haas, Huberman-Spiegelglas, Mulayoff, Grasshof, Brandt
and Michaeli, "Discovering Interpretable Directions in the Semantic Latent Space of Diffusion
Models" (2024).

    import hsem
    model = hsem.load()
    samples = hsem.sample(model, seeds=range(8))
    samples.images, samples.h_seq
"""

from . import classifier, datasets, masks
from ._version import __version__
from .annotation import Annotation, annotate, score_samples
from .curves import attribute_curve, learning_curve
from .directions import Direction, project_out, provenance_of, random_like, spread_over_steps
from .edits import Edit, add, between, blend, chain, masked, only_at, slerp, swap
from .evaluation import effect_matrix, table_one
from .examples import Examples, expression_pairs, extremes
from .focus import focused_directions
from .harvest import harvest
from .hooks import HRecord, edit_h, record_h
from .inversion import Inversion, invert
from .jacobian import (
    SubspaceResult,
    jacobian_subspace_iteration,
    jacobian_svd,
    largest_principal_angle,
)
from .local import ImageDirections, image_directions, image_spectrum
from .models import KNOWN, default_device, load, tiny_unet
from .pca import HSpacePCA
from .sampling import Samples, Step, draw_noise, sample, sample_steps
from .schedule import Schedule, add_noise
from .stability import bootstrap_angles
from .supervised import (
    accumulated,
    disentangle,
    mean_difference,
    supervised_direction,
    supervised_directions,
    supervised_x_T,
)
from .unet import Context, HSpaceUNet

__all__ = [
    "KNOWN",
    "Annotation",
    "Context",
    "Direction",
    "Edit",
    "Examples",
    "HRecord",
    "HSpacePCA",
    "HSpaceUNet",
    "ImageDirections",
    "Inversion",
    "Samples",
    "Schedule",
    "Step",
    "SubspaceResult",
    "__version__",
    "accumulated",
    "add",
    "add_noise",
    "annotate",
    "attribute_curve",
    "between",
    "blend",
    "bootstrap_angles",
    "chain",
    "classifier",
    "datasets",
    "default_device",
    "disentangle",
    "draw_noise",
    "edit_h",
    "effect_matrix",
    "expression_pairs",
    "extremes",
    "focused_directions",
    "harvest",
    "image_directions",
    "image_spectrum",
    "invert",
    "jacobian_subspace_iteration",
    "jacobian_svd",
    "largest_principal_angle",
    "learning_curve",
    "load",
    "masked",
    "masks",
    "mean_difference",
    "only_at",
    "project_out",
    "provenance_of",
    "random_like",
    "record_h",
    "sample",
    "sample_steps",
    "score_samples",
    "slerp",
    "spread_over_steps",
    "supervised_direction",
    "supervised_directions",
    "supervised_x_T",
    "swap",
    "table_one",
    "tiny_unet",
]


def __getattr__(name: str) -> object:
    """Give `hsem.viz` when it is asked for: the widgets take time to import."""
    if name == "viz":
        import importlib

        return importlib.import_module(".viz", __name__)
    raise AttributeError(f"module 'hsem' has no attribute {name!r}")
