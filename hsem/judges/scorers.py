"""Scorers: what turns pictures into named numbers, one column per attribute.

A scorer is any callable `images -> scores`, (n, 3, H, W) in [-1, 1] to (n, k), that has `.names`,
the k names of its columns. Nothing else is asked of it, so a trained classifier, CLIP, a pose
network and a test that measures brightness in a box are all used in the same way:

    hsem.classifier.load()                               the classifier that comes with the package
    ClipScorer.load("openai/clip-vit-large-patch14")     CLIP with the paper's prompts
    ImageClassifier.load("owner/name")                   any image classifier of `transformers`
    from_function(brightness, ["brightness"])            anything else, also a network of your own

The paper annotates with the attribute network of Lin et al. (2021) and with Hopenet (Ruiz et al.,
2018). The weights of the first are no longer published; those of the second are not packaged
anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ..network.memory import Pieces

POSE_NAMES = ("yaw", "pitch", "roll")


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
