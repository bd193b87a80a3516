"""Directions in the semantic latent space ("h-space") of diffusion models.

A readable and tested implementation of Haas, Huberman-Spiegelglas, Mulayoff, Grasshof, Brandt
and Michaeli, "Discovering Interpretable Directions in the Semantic Latent Space of Diffusion
Models" (2024).

    import hsem
    model = hsem.load()
    samples = hsem.sample(model, seeds=range(8))
    samples.images, samples.h_seq
"""

from . import datasets, results
from ._version import __version__
from .diffusion.inversion import Inversion, invert
from .diffusion.official import official_noise
from .diffusion.sampling import Samples, Step, draw_noise, sample, sample_steps
from .diffusion.schedule import Schedule, add_noise
from .directions.direction import (
    Direction,
    project_out,
    provenance_of,
    random_like,
    spread_over_steps,
)
from .directions.edits import Edit, add, between, blend, chain, masked, only_at, slerp, swap
from .evaluation.curves import attribute_curve, learning_curve
from .evaluation.effects import effect_matrix, table_one
from .evaluation.stability import bootstrap_angles
from .judges import classifier, geometry
from .network.export import export_onnx
from .network.hooks import HRecord, edit_h, record_h
from .network.layouts import is_random, random_network
from .network.models import KNOWN, default_device, fast_dtype, load, tiny_unet
from .network.unet import Context, HSpaceUNet
from .recipes.reference import judges_of, pictures_of, region_of
from .supervised.annotation import Annotation, annotate, score_samples
from .supervised.examples import Examples, expression_pairs, extremes
from .supervised.means import (
    accumulated,
    disentangle,
    mean_difference,
    supervised_direction,
    supervised_directions,
    supervised_x_T,
)
from .unsupervised import masks
from .unsupervised.focus import focused_directions
from .unsupervised.harvest import harvest
from .unsupervised.jacobian import (
    SubspaceResult,
    jacobian_subspace_iteration,
    jacobian_svd,
    largest_principal_angle,
)
from .unsupervised.local import ImageDirections, image_directions, image_spectrum
from .unsupervised.pca import HSpacePCA

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
    "export_onnx",
    "expression_pairs",
    "extremes",
    "fast_dtype",
    "focused_directions",
    "geometry",
    "harvest",
    "image_directions",
    "image_spectrum",
    "invert",
    "is_random",
    "jacobian_subspace_iteration",
    "jacobian_svd",
    "judges_of",
    "largest_principal_angle",
    "learning_curve",
    "load",
    "masked",
    "masks",
    "mean_difference",
    "official_noise",
    "only_at",
    "pictures_of",
    "project_out",
    "provenance_of",
    "random_like",
    "random_network",
    "record_h",
    "region_of",
    "results",
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
