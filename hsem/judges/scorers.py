"""Scorers: what turns pictures into named numbers, one column per attribute.

A scorer is any callable `images -> scores`, (n, 3, H, W) in [-1, 1] to (n, k), that has `.names`,
the k names of its columns. Nothing else is asked of it, so a trained classifier, CLIP, a pose
network and a test that measures brightness in a box are all used in the same way:

    hsem.classifier.load()                               the classifier that comes with the package
    ClipScorer.load("openai/clip-vit-large-patch14")     CLIP with the paper's prompts
    ImageClassifier.load("owner/name")                   any image classifier of `transformers`
    celeba_scorer(network), pose_scorer(network)         your own checkpoints
    from_function(brightness, ["brightness"])            anything else

The paper annotates with the attribute network of Lin et al. (2021) and with Hopenet (Ruiz et al.,
2018). The weights of the first are no longer published; those of the second are not packaged
anywhere. `celeba_scorer` and `pose_scorer` know what such networks take and return, so whoever has
weights needs to bring the network only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..network.memory import Pieces
from .prompts import CELEBA_NAMES

POSE_NAMES = ("yaw", "pitch", "roll")
BINS = 66  # of three degrees each, in Hopenet


class Scorer(Protocol):
    """Pictures in, named scores out; see the head of this file."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, images: Tensor, /) -> Tensor: ...


@torch.no_grad()
def scores_of(scorer: Scorer, images: Tensor, *, batch_size: int | Pieces = 64) -> Tensor:
    """Score pictures, and check what the scorer returns.

    Parameters
    ----------
    images : (n, 3, H, W), floating point, nominally in [-1, 1]; clipped to it first, since a
        scorer should see what a viewer would see
    batch_size : pictures scored at once; halved where the memory of a CUDA device runs out

    Returns
    -------
    (n, k), float64, on the CPU. A scorer may return NaN where it has no answer (no face found).

    Raises
    ------
    TypeError, ValueError
        If `images` are no float pictures, or the scorer returns another shape or infinities.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise ValueError(f"images must be (n, 3, H, W) with n > 0, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floats in [-1, 1], got {images.dtype}; use x / 127.5 - 1")
    names = names_of(scorer)

    def score(which: slice) -> Tensor:
        batch = images[which].clamp(-1, 1)
        scores = torch.as_tensor(scorer(batch), dtype=torch.float64, device="cpu").detach()
        if tuple(scores.shape) != (len(batch), len(names)):
            raise ValueError(
                f"{label_of(scorer)} has {len(names)} names, so for {len(batch)} images it must "
                f"return scores of shape {(len(batch), len(names))}, got {tuple(scores.shape)}"
            )
        refuse_infinite(scores, names, label_of(scorer))
        return scores

    return torch.cat(Pieces.of(batch_size).run(len(images), score))


def refuse_infinite(scores: Tensor, names: Sequence[Any], whose: str) -> None:
    """Raise ValueError if a column of scores (n, k) holds infinities; NaN stands for no answer."""
    if bool(torch.isinf(scores).any()):
        bad = [n for n, s in zip(names, scores.T, strict=True) if bool(torch.isinf(s).any())]
        raise ValueError(
            f"{whose} returns infinite scores for {bad}; "
            "return NaN where there is no answer, or clip the scores"
        )


def names_of(scorer: Scorer) -> tuple[str, ...]:
    """The column names of a scorer, checked: at least one, all different."""
    names = getattr(scorer, "names", None)
    if names is None:
        raise TypeError(
            f"a scorer needs .names, one per column, and {type(scorer).__name__} has none; "
            "wrap a plain function with from_function(function, names)"
        )
    names = (names,) if isinstance(names, str) else tuple(str(n) for n in names)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"the names of a scorer must be different and at least one, got {names}")
    return names


def label_of(scorer: Callable[[Tensor], Tensor]) -> str:
    """How to call a scorer in messages and provenance: its `.label`, or the name of its type."""
    return str(getattr(scorer, "label", type(scorer).__name__))


def unlike(stored: Tensor, first: Tensor) -> bool:
    """Whether the first row of stored scores is not what a scorer says today: `first`, (k,).

    A scorer with the same name may have become another one.
    """
    if first.shape != stored.shape[1:]:
        return True
    first, stored = first.double(), stored.double()  # whole numbers and booleans have no spread
    old, spread = stored[0], stored.nan_to_num().std(dim=0, correction=0)
    # Another batch size or device moves a score by rounding, far less than by 5 % of its spread.
    near = (first - old).abs() <= 0.05 * spread + 1e-3 * first.abs() + 1e-6
    return not bool((near | first.isnan() & old.isnan()).all())


def column(names: Sequence[str], name: str) -> int:
    """Index of the column called `name`, or an error that lists those there are."""
    if name not in names:
        raise ValueError(f"there is no attribute {name!r}; there are {', '.join(names)}")
    return list(names).index(name)


# ------------------------------------------------------------------------------ making scorers


@dataclass(frozen=True, eq=False)
class FunctionScorer:
    """A scorer made of a function and the names of its columns; `label` goes into provenance."""

    function: Callable[[Tensor], Tensor]
    names: tuple[str, ...]
    label: str = "function"

    def __call__(self, images: Tensor) -> Tensor:
        scores = self.function(images)
        return scores[:, None] if scores.ndim == 1 else scores


def from_function(
    function: Callable[[Tensor], Tensor], names: Sequence[str] | str, label: str | None = None
) -> FunctionScorer:
    """Make a scorer of any function of pictures, (n, 3, H, W) to (n, k) or, for k = 1, (n,).

    Examples
    --------
    >>> red = from_function(lambda images: images[:, 0].mean((1, 2)), "redness")
    >>> red(torch.ones(2, 3, 4, 4)).tolist()
    [[1.0], [1.0]]
    """
    columns = (names,) if isinstance(names, str) else tuple(names)
    called = label or str(getattr(function, "__name__", "function"))
    return FunctionScorer(function, columns, called)


def select(scorer: Scorer, names: Sequence[str] | Mapping[str, str]) -> FunctionScorer:
    """Some columns of a scorer, in this order; a mapping {new name: old name} renames them."""
    wanted = names if isinstance(names, Mapping) else {name: name for name in names}
    index = [column(names_of(scorer), old) for old in wanted.values()]
    return FunctionScorer(partial(_columns, scorer, index), tuple(wanted), label_of(scorer))


def _columns(scorer: Scorer, index: list[int], images: Tensor) -> Tensor:
    return scorer(images)[:, index]


def join(*scorers: Scorer) -> FunctionScorer:
    """The columns of several scorers side by side, such as attributes and head pose.

    Raises
    ------
    ValueError
        If two of them use the same name; rename one of the columns with `select`.
    """
    names = [name for scorer in scorers for name in names_of(scorer)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"several scorers have a column called {', '.join(twice)}; rename one of them, "
            f"for example select(scorer, {{'other {twice[0]}': {twice[0]!r}}})"
        )
    label = " + ".join(label_of(s) for s in scorers)
    return FunctionScorer(partial(_joined, scorers), tuple(names), label)


def _joined(scorers: Sequence[Scorer], images: Tensor) -> Tensor:
    return torch.cat([scorer(images).to("cpu", torch.float64) for scorer in scorers], dim=1)


# ------------------------------------------------------------------------------- your own network


@dataclass(frozen=True)
class Preparation:
    """How a network wants its pictures: side length in pixels, mean and deviation per channel.

    The numbers are for pictures in [0, 1]; the default keeps the size and the range [-1, 1].
    """

    size: int | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __call__(self, images: Tensor) -> Tensor:
        if self.size is not None and tuple(images.shape[2:]) != (self.size, self.size):
            # Antialiased, or a small face in a large picture would turn into a pattern of dots.
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((images + 1) / 2 - mean) / std


IMAGENET = Preparation(224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class NetworkScorer:
    """A scorer made of a network.

    Parameters
    ----------
    network : nn.Module, put into evaluation mode (batch norm would otherwise score a picture by
        its neighbours)
    names : of the columns
    prepare : from pictures in [-1, 1] to the network's input
    read : from the network's output to scores (n, k); by default the output itself
    label : for messages and provenance
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        *,
        prepare: Callable[[Tensor], Tensor] = Preparation(),
        read: Callable[..., Tensor] | None = None,
        label: str | None = None,
    ) -> None:
        self.network = network.eval()
        self.names = tuple(names)
        self.prepare = prepare
        self.read = read
        self.label = label or type(network).__name__

    def __call__(self, images: Tensor) -> Tensor:
        weight = next(self.network.parameters(), images)
        out = self.network(self.prepare(images.to(weight.device, weight.dtype)))
        return out if self.read is None else self.read(out)


def celeba_scorer(network: nn.Module, *, size: int | None = 256) -> NetworkScorer:
    """Probabilities of the 40 CelebA attributes (section V-b) from a network of your own.

    Parameters
    ----------
    network : takes pictures in [-1, 1]; returns (n, 80), that is 40 pairs of logits (absent,
        present) as the network of Lin et al. does, or (n, 40) with one logit each
    size : side length it was trained with
    """
    return NetworkScorer(
        network, CELEBA_NAMES, prepare=Preparation(size), read=read_attributes, label="celeba"
    )


def pose_scorer(
    network: nn.Module, *, prepare: Callable[[Tensor], Tensor] = IMAGENET
) -> NetworkScorer:
    """Yaw, pitch and roll in degrees (section V-b) from a pose network of your own.

    Parameters
    ----------
    network : returns (n, 3) angles in degrees, or three tensors (n, 66) of logits over bins of
        three degrees as Hopenet does
    prepare : Hopenet wants the statistics of ImageNet and 224 pixels, which is the default
    """
    return NetworkScorer(network, POSE_NAMES, prepare=prepare, read=read_pose, label="pose")


def read_attributes(out: Tensor) -> Tensor:
    """Probabilities (n, k) from k logits, or from k pairs of logits (absent, present)."""
    k = len(CELEBA_NAMES)
    shape = tuple(out.shape[1:]) if isinstance(out, Tensor) else None
    if shape in ((2 * k,), (k, 2)):
        return out.reshape(len(out), k, 2).softmax(dim=2)[..., 1]
    if shape == (k,):
        return out.sigmoid()
    found = type(out).__name__ if shape is None else ("n", *shape)
    raise ValueError(
        f"a CelebA network must return logits (n, {2 * k}), (n, {k}, 2) or (n, {k}), got {found}; "
        "for other attributes or several heads use NetworkScorer(network, names, read=...)"
    )


def read_pose(out: Tensor | Sequence[Tensor]) -> Tensor:
    """Degrees (n, 3) from angles (n, 3), or from Hopenet's three tensors of bins (n, 66).

    Notes
    -----
    Bin j stands for 3 j - 99 degrees; the angle is the mean of the bins under the softmax, which
    is finer than a bin.
    """
    if isinstance(out, Tensor) and out.ndim == 2 and out.shape[1] == 3:
        return out
    shapes = [tuple(x.shape) for x in ([out] if isinstance(out, Tensor) else out)]
    if len(shapes) != 3 or {shape[1:] for shape in shapes} != {(BINS,)}:
        raise ValueError(
            f"a pose network must return degrees (n, 3), or logits (n, {BINS}) for each of yaw, "
            f"pitch and roll, got {shapes}; for others use NetworkScorer(network, names, read=...)"
        )
    bins = torch.arange(BINS, device=out[0].device, dtype=out[0].dtype)
    angles = 3.0 * bins - 99.0
    return torch.stack([(logits.softmax(dim=1) * angles).sum(dim=1) for logits in out], dim=1)
