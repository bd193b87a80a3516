"""Principal components of h (section IV-A), learned from a stream of samples.

One PCA for each timestep as in the paper, or one for all of them together (`joint=True`). Samples
pass by in batches and are not kept; the arithmetic is in `incremental.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from torch import Tensor

from ..counts import whole_number
from ..diffusion.schedule import Schedule, checked_timesteps
from ..directions.direction import Direction
from ..files import as_json, read_tensors, save_tensors
from ..network.memory import Pieces
from ..reading import check_file, checked, refusing
from .alignment import Alignment, align_components, score_correlations
from .incremental import IncrementalPCA
from .search import largest

FORMAT = "hsem-pca/1"


class NotFitted(NotFittedError, RuntimeError):
    """Too few samples yet; an AttributeError as well, so that `hasattr(pca, "mean_")` is False."""


class HSpacePCA(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Incremental PCA of bottleneck activations, with scikit-learn's contract.

    Parameters
    ----------
    n_components : k
    joint : one PCA of all T steps put together into one vector, instead of one for each step
    extra : components kept beyond k while learning, so that less is lost where batches are merged;
        None keeps k more. With 0 the result is that of scikit-learn's IncrementalPCA.
    keep_scores : remember the scores of the first so many samples, at most n * k' * T numbers;
        they are what glues components across timesteps

    Attributes
    ----------
    components_ : (k, T, C, h, w); at each step of norm 1 and sorted by variance there (if joint:
        of norm 1 over all steps together); the largest entry is positive
    explained_variance_, explained_variance_ratio_ : (k, T), or (k, 1) if joint; float64
    mean_ : (T, C, h, w)
    n_samples_seen_ : n
    scores_ : (n, k', T), or (n, k', 1) if joint: coordinates of the samples along all k' kept
        components; computed while learning, so a little coarser than `transform`
    timesteps_, provenance_, seeds_, attributes_ : set by `harvest`, see there; else None

    Examples
    --------
    >>> h_seqs = torch.randn(40, 5, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    >>> pca = HSpacePCA(n_components=3).fit(h_seqs)
    >>> pca.components_.shape
    torch.Size([3, 5, 8, 2, 2])
    >>> pca.direction(0, timesteps=(800, 600, 400, 200, 0)).method
    'pca'
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
        joint: bool = False,
        extra: int | None = None,
        keep_scores: int = 5000,
    ) -> None:
        whole_number("n_components", n_components)
        whole_number("keep_scores", keep_scores, least=0)
        if extra is not None:
            whole_number("extra", extra, least=0)
        self.n_components, self.joint = n_components, joint
        self.extra, self.keep_scores = extra, keep_scores
        self._reset()

    _repr_html_ = _repr_mimebundle_ = None  # the line below says more than a diagram

    def __repr__(self) -> str:
        kind = "joint" if self.joint else "one per step"
        return f"HSpacePCA({self.n_components}, {kind}, {self.n_samples_seen_} samples seen)"

    def _reset(self) -> None:
        self.timesteps_: tuple[int, ...] | None = None
        self.provenance_: dict[str, Any] | None = None
        self.seeds_: Tensor | None = None
        self.attributes_: Tensor | None = None
        self._shape: tuple[int, ...] = ()  # (T, C, h, w)
        self._state: IncrementalPCA | None = None

    def set_params(self, **params: Any) -> HSpacePCA:
        """Change settings; what was learned with others is forgotten.

        Raises
        ------
        ValueError
            If there is no such setting, or the constructor would refuse it. Nothing changes then.
        """
        before = self.get_params()
        BaseEstimator.set_params(clone(self), **params)  # raises for what is no setting
        if (wanted := before | params) != before:
            self.__dict__.update(type(self)(**wanted).__dict__)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return self.n_samples_seen_ > self.n_components

    # ------------------------------------------------------------------------------- learning

    def fit(self, h_seqs: Tensor, y: None = None, *, batch_size: int = 100) -> HSpacePCA:
        """Learn from (n, T, C, h, w) with n > k, forgetting what was learned before.

        Batches are halved, with a warning, where the memory of a CUDA device runs out.
        """
        pieces = Pieces(batch_size)
        self._reset()
        pieces.run(len(h_seqs), lambda which: self.partial_fit(h_seqs[which]))
        self._fitted()
        return self

    @torch.no_grad()
    def partial_fit(self, h_seqs: Tensor, y: None = None) -> HSpacePCA:
        """Learn from one more batch, (m, T, C, h, w), on the device of the first one.

        How samples are cut into batches has a small influence on the result, as always with
        incremental PCA: larger batches lose less and take more memory.
        """
        h_seqs = self._checked(h_seqs)
        x = h_seqs.flatten(2)
        state = self._state or IncrementalPCA.empty(x, self.joint)
        x = x.to(state.basis.device)
        extra = self.n_components if self.extra is None else self.extra
        self._state = state.updated(x, self.n_components + extra, self.keep_scores)
        self._shape = tuple(h_seqs.shape[1:])
        return self

    def _checked(self, h_seqs: Tensor) -> Tensor:
        h_seqs = _tensor(h_seqs)
        if h_seqs.ndim != 5 or not len(h_seqs) or not h_seqs.is_floating_point():
            raise ValueError(
                "h_seqs must be floating point of shape (n, T, C, h, w) with n of at least 1, got "
                f"{tuple(h_seqs.shape)}, {h_seqs.dtype}"
            )
        if self._shape and tuple(h_seqs.shape[1:]) != self._shape:
            raise ValueError(
                f"this PCA has seen h_seqs of shape (n, {', '.join(map(str, self._shape))}), got "
                f"{tuple(h_seqs.shape)}; make a new HSpacePCA for another model or schedule"
            )
        if not bool(torch.isfinite(h_seqs).all()):
            raise ValueError("h_seqs holds values that are NaN or infinite")
        return h_seqs

    # ---------------------------------------------------------------------------- what it knows

    @property
    def n_samples_seen_(self) -> int:
        return 0 if self._state is None else self._state.n

    @property
    def components_(self) -> Tensor:
        return self._kept()[: self.n_components]

    @property
    def explained_variance_(self) -> Tensor:
        state = self._fitted()
        return state.squares.T[: self.n_components] / (state.n - 1)

    @property
    def explained_variance_ratio_(self) -> Tensor:
        state = self._fitted()
        return state.squares.T[: self.n_components] / state.total

    @property
    def mean_(self) -> Tensor:
        state = self._fitted()
        return state.mean.reshape(self._shape).to(state.basis.dtype)

    @property
    def scores_(self) -> Tensor:
        return self._fitted().scores * self._signs().to(self._fitted().scores)

    def _fitted(self) -> IncrementalPCA:
        if self._state is None or self._state.n <= self.n_components:
            raise NotFitted(
                f"{self.n_components} components need more than {self.n_components} samples, seen "
                f"so far: {self.n_samples_seen_}; call fit or partial_fit with more"
            )
        return self._state

    def _signs(self) -> Tensor:
        """Sign of the largest entry of each kept component, (k', T), or (k', 1) if joint."""
        flat = self._fitted().basis.transpose(0, 1)  # (k', T, d)
        flat = flat.flatten(1)[:, None] if self.joint else flat
        return torch.where(largest(flat, 2)[:, :, 0] < 0, -1.0, 1.0)

    def _kept(self) -> Tensor:
        """All kept components, (k', T, C, h, w), with norm 1 and settled signs."""
        state = self._fitted()
        flat = state.basis.transpose(0, 1)
        norms = flat.to(state.mean.dtype).norm(dim=2, keepdim=True)
        norms = norms.norm(dim=1, keepdim=True) if self.joint else norms
        scale = self._signs()[:, :, None] / norms.clamp(min=torch.finfo(flat.dtype).tiny)
        return (flat * scale.to(flat)).reshape(-1, *self._shape)

    # ------------------------------------------------------------------------------------- use

    def transform(self, h_seqs: Tensor) -> Tensor:
        """Coordinates along `components_`: (n, T, C, h, w) to (n, k, T), or (n, k, 1) if joint.

        On the device of `components_`, wherever `h_seqs` is; so is `inverse_transform`.
        """
        components = self.components_
        h_seqs = self._checked(h_seqs)
        centred = (h_seqs.to(components) - self.mean_).flatten(2)
        scores = torch.einsum("ntd,ktd->nkt", centred, components.flatten(2))
        return scores.sum(dim=2, keepdim=True) if self.joint else scores

    def inverse_transform(self, scores: Tensor) -> Tensor:
        """What coordinates stand for: (n, k, T), or (n, k, 1) if joint, to (n, T, C, h, w)."""
        components = self.components_
        scores = _tensor(scores)
        shape = (len(components), 1 if self.joint else self._shape[0])
        if scores.ndim != 3 or tuple(scores.shape[1:]) != shape:
            raise ValueError(
                f"scores must have shape (n, k, T) = (n, {shape[0]}, {shape[1]}), as `transform` "
                f"gives them, got {tuple(scores.shape)}"
            )
        moved = torch.einsum(
            "nkt,ktd->ntd", scores.to(components).expand(-1, -1, self._shape[0]),
            components.flatten(2),
        )  # fmt: skip
        return self.mean_ + moved.unflatten(2, self._shape[1:])

    def alignment(self) -> Alignment:
        """Tracks of components that belong together, sorted by their mean share of variance.

        All kept components take part, so that a track may pass through rank k + 1 at some step.
        """
        state = self._fitted()
        steps, kept = self._shape[0], state.basis.shape[1]
        if self.joint:
            ones = torch.ones_like(state.total).expand(steps, kept)
            ranks = torch.arange(kept, dtype=torch.long, device="cpu")
            return Alignment(ranks.repeat(steps, 1), ones, ones[1:])
        if len(state.scores) < 3:
            raise RuntimeError(
                "components are glued across timesteps by the scores of samples, but this PCA has "
                "kept none; make it with keep_scores > 0, or use direction(j, aligned=False)"
            )
        tracks = align_components(score_correlations(self.scores_))
        share = (state.squares / state.total[:, None]).gather(1, tracks.order).mean(dim=0)
        best = share.argsort(descending=True)
        order, sign, similarity = (x[:, best] for x in tracks)
        # A track may be turned round as a whole: so that the largest entry of its direction is
        # positive, and scores times `sign` are coordinates along that very direction.
        rows = torch.arange(steps, dtype=torch.long, device="cpu")[:, None]
        peak = largest(self._kept().flatten(2), 2)[:, :, 0]
        peak = (peak * self._deviations().to(peak)).double().cpu()[order, rows] * sign
        return Alignment(order, sign * torch.where(largest(peak, 0) < 0, -1.0, 1.0), similarity)

    def _deviations(self) -> Tensor:
        """Standard deviation of the samples along each kept component, (k', T)."""
        state = self._fitted()
        return (state.squares.T / (state.n - 1)).sqrt().expand(-1, self._shape[0])

    def direction(
        self,
        j: int,
        timesteps: Schedule | Iterable[int] | None = None,
        *,
        aligned: bool = True,
    ) -> Direction:
        """The j-th principal direction; a scale of 1 moves h by one standard deviation.

        Parameters
        ----------
        j : 0..k-1
        timesteps : those of the samples; may be left out after `harvest`
        aligned : follow the j-th track of `alignment()` through the steps. False takes the j-th
            component of each step with its arbitrary sign, which is section IV-A to the letter.

        Returns
        -------
        A Direction whose delta_h[i] is a component of step i times the standard deviation of the
        samples along it. The largest entry of delta_h is positive, in the signs of `alignment()`
        as well, so `scores_` along a track, times its sign, grow in the sense of the direction.
        """
        state = self._fitted()
        if not 0 <= j < self.n_components:
            raise IndexError(f"j must be 0..{self.n_components - 1}, got {j}")
        grid = self.timesteps_ if timesteps is None else timesteps
        if grid is None:
            raise ValueError("say which timesteps the samples had, for example model.schedule(25)")
        steps = torch.arange(self._shape[0], dtype=torch.long, device="cpu")
        which, sign = torch.full_like(steps, j), torch.ones_like(steps, dtype=torch.float64)
        if aligned:
            tracks = self.alignment()
            which, sign = tracks.order[:, j], tracks.sign[:, j]
        deviation = self._deviations()
        delta = self._kept()[which, steps]
        delta = delta * (sign * deviation[which, steps]).to(delta).view(-1, 1, 1, 1)
        delta = delta * largest(delta.flatten(), 0).sign()
        facts = {
            **(self.provenance_ or {}), "component": j, "n": state.n, "joint": self.joint,
            "aligned": aligned, "scale_unit": "one standard deviation of h along the component",
        }  # fmt: skip
        return Direction(delta.cpu(), checked_timesteps(grid), "pca", facts)

    # ----------------------------------------------------------------------------------- files

    def save(self, path: str | Path) -> None:
        """Write everything to a safetensors file, so that learning can go on from there.

        The file appears whole or not at all, also if the process is killed meanwhile.
        """
        if self._state is None:
            raise RuntimeError("there is nothing to save before the first partial_fit")
        about = {
            "settings": self.get_params(),
            "n": self._state.n,
            "shape": self._shape,
            "timesteps": self.timesteps_,
            "provenance": self.provenance_,
        }
        tensors = self._state.tensors()
        for name in ("seeds_", "attributes_"):  # of all samples, or of none: more may have come
            if (x := getattr(self, name)) is not None and len(x) == self._state.n:
                tensors[name] = x
        save_tensors(path, tensors, {"format": FORMAT, "about": as_json(about)})

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> HSpacePCA:
        """Read a file written by `save`; the components go to `device`."""
        check_file(path, "PCA file")
        with refusing(path, "a PCA", "save it, or harvest, again", ValueError):
            tensors, meta = read_tensors(path, FORMAT)
            about = json.loads(meta["about"])
            pca = cls(**about["settings"])
            steps, *h_shape = pca._shape = tuple(whole_number("shape", n) for n in about["shape"])
            if len(h_shape) != 3:
                raise ValueError(f"shape must be (T, C, h, w), got {about['shape']}")
            pca.provenance_ = None if about["provenance"] is None else dict(about["provenance"])
            if about["timesteps"] is not None:
                pca.timesteps_ = checked_timesteps(about["timesteps"])
                if len(pca.timesteps_) != steps:
                    raise ValueError(f"{len(pca.timesteps_)} timesteps for {steps} steps")
            n = whole_number("n", about["n"])
            if (seeds := tensors.pop("seeds_", None)) is not None:
                pca.seeds_ = checked("seeds_", seeds, n, kinds="iu")
            if (scores := tensors.pop("attributes_", None)) is not None:
                checked("attributes_", scores.double(), n, None, finite=False)
                pca.attributes_ = scores
            state = IncrementalPCA(n=n, **tensors)
            groups, kept, d = 1 if pca.joint else steps, state.basis.shape[1], math.prod(h_shape)
            checked("mean", state.mean, steps, d)
            checked("basis", state.basis, steps, kept, d)
            checked("squares", state.squares, groups, kept)
            checked("total", state.total, groups)
            checked("scores", state.scores, min(n, pca.keep_scores), kept, groups)
            if bool((state.squares < 0).any() | (state.total < 0).any()):
                raise ValueError("squares and total must not be negative")
            state.mean, state.basis = state.mean.to(device), state.basis.to(device)
            pca._state = state
        return pca


def _tensor(values: Any) -> Tensor:
    """A tensor, or an array of numpy as one: torch has no negative strides and no byte orders."""
    if isinstance(values, Tensor):
        return values
    array = np.ascontiguousarray(values)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
