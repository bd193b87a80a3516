"""`Direction`: a shift of h at every step, the one thing that all methods of the paper return.

PCA, Jacobian, supervised and random directions share this type, so anything that can be done to
one can be done to all: add them, project one out of another (eq. 12), save, load, resample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..diffusion.schedule import Schedule, checked_timesteps
from ..files import as_json, read_tensors, save_tensors
from ..frozen import Frozen
from ..network.unet import HSpaceUNet
from ..reading import check_file, refusing

FORMAT = "hsem-direction/1"


@dataclass(frozen=True, eq=False)
class Direction:
    """Delta h for T steps.

    Parameters
    ----------
    delta_h : Tensor (T, C, h, w), floating point and finite
    timesteps : T training timesteps, strictly descending; row i of `delta_h` acts at timesteps[i]
    method : how it was found: "pca", "jacobian", "supervised", "random", ...
    provenance : what is needed to find it again (see `provenance_of`); plain JSON values

    Arithmetic (`+`, `-`, `*` and `/` by a number) keeps the grid and refuses to mix grids, shapes
    or models. Inner products read all T steps as one vector and are computed in float64.
    """

    delta_h: Tensor
    timesteps: tuple[int, ...]
    method: str = "unknown"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timesteps", checked_timesteps(self.timesteps))
        object.__setattr__(self, "provenance", Frozen(self.provenance))
        d, t = self.delta_h, len(self.timesteps)
        if d.ndim != 4 or len(d) != t:
            raise ValueError(
                f"delta_h must have shape (T={t}, C, h, w) to go with {t} timesteps, "
                f"got {tuple(d.shape)}"
            )
        if not d.is_floating_point():
            raise TypeError(f"delta_h must be floating point, got {d.dtype}; use delta_h.float()")
        bad = int((~torch.isfinite(d)).sum())
        if bad:
            raise ValueError(f"delta_h holds {bad} values that are NaN or infinite")
        try:
            float(self.provenance.get("factor", 1.0))
        except (TypeError, ValueError) as error:
            raise TypeError(
                "the factor in provenance must be a number, that by which the direction was "
                f"multiplied, got {self.provenance['factor']!r}; call other facts otherwise"
            ) from error

    def __repr__(self) -> str:
        c, h, w = self.delta_h.shape[1:]
        return (
            f"Direction({self.method!r}, {len(self.timesteps)} steps, h ({c}, {h}, {w}), "
            f"norm {self.norm():.4g}, model {self.provenance.get('model', 'unknown')!r})"
        )

    # ----------------------------------------------------------------------------- arithmetic

    def __add__(self, other: Direction) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        return self._combined(other, self.delta_h + self._like(other))

    def __radd__(self, other: float) -> Direction:
        """0 + d is d, so that `sum(directions)` works."""
        return self if isinstance(other, (int, float)) and other == 0 else NotImplemented

    def __sub__(self, other: Direction) -> Direction:
        if not isinstance(other, Direction):
            return NotImplemented
        return self._combined(other, self.delta_h - self._like(other))

    def __mul__(self, factor: float) -> Direction:
        if isinstance(factor, str):  # which float would read
            return NotImplemented
        factor = float(factor)
        total = float(self.provenance.get("factor", 1.0)) * factor
        return replace(
            self, delta_h=self.delta_h * factor, provenance={**self.provenance, "factor": total}
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Direction:
        return self * (1 / divisor)

    def __neg__(self) -> Direction:
        return self * -1.0

    # ------------------------------------------------------------------------------- geometry

    def norm(self) -> float:
        """Euclidean norm of all T steps together."""
        return float(self.delta_h.double().norm())

    def step_norms(self) -> Tensor:
        """Euclidean norm at each step, (T,), float64."""
        return self.delta_h.double().flatten(1).norm(dim=1)

    def dot(self, other: Direction) -> float:
        """Inner product over all T steps."""
        return float((self.delta_h.double() * self._like(other).double()).sum())

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle between two directions, -1 to 1 (0 if one of them is zero)."""
        norms = self.norm() * other.norm()
        return self.dot(other) / norms if norms else 0.0

    def rescaled_like(self, other: Direction) -> Direction:
        """This direction with the norm of `other` at every step: a fair comparison (fig. 4)."""
        mine, theirs = self.step_norms(), replace(other, delta_h=self._like(other)).step_norms()
        if bool(((mine == 0) & (theirs > 0)).any()):
            raise ValueError("cannot rescale: this direction is zero at a step where other is not")
        ratio = torch.where(theirs > 0, theirs / mine, 0.0).to(self.delta_h)
        return replace(
            self,
            delta_h=self.delta_h * ratio.view(-1, 1, 1, 1),
            provenance={**self.provenance, "rescaled_like": other.method},
        )

    def resampled(self, to: Schedule | Iterable[int]) -> Direction:
        """The same direction on another grid of timesteps.

        Parameters
        ----------
        to : a `Schedule`, for example `model.schedule(50)`, or timesteps

        Notes
        -----
        Linear interpolation in t; beyond the ends of the grid the end rows are repeated. The size
        stays: h is computed anew at each step and delta_h shifts it there, so nothing adds up
        over the steps, whatever their number.
        """
        if isinstance(to, int) or getattr(to, "ndim", 1) == 0:  # numpy's and torch's, too
            raise TypeError(
                f"to={to} says how many steps but not which; use resampled(model.schedule({to}))"
            )
        new = checked_timesteps(to)
        where: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
        old = torch.tensor(self.timesteps[::-1], **where)  # ascending, to search in
        rows = self.delta_h.flip(0)
        t = torch.tensor(new, **where).clamp(old[0], old[-1])
        right = torch.searchsorted(old, t).clamp(max=len(old) - 1)
        left = (right - 1).clamp(min=0)
        gap = (old[right] - old[left]).clamp(min=1)
        weight = torch.where(right > left, (t - old[left]) / gap, 0.0).to(rows).view(-1, 1, 1, 1)
        return replace(
            self,
            delta_h=torch.lerp(rows[left], rows[right], weight),
            timesteps=new,
            provenance={**self.provenance, "resampled_from": list(self.timesteps)},
        )

    # ---------------------------------------------------------------------------------- files

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: the tensor, and the rest as JSON in its header."""
        about = {
            "timesteps": self.timesteps,
            "method": self.method,
            "provenance": dict(self.provenance),
        }
        metadata = {"format": FORMAT, **{k: as_json(v) for k, v in about.items()}}
        save_tensors(path, {"delta_h": self.delta_h}, metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: HSpaceUNet | None = None,
        schedule: Schedule | None = None,
    ) -> Direction:
        """Read a direction, and check that it belongs to this model and this step grid.

        Parameters
        ----------
        path : a file written by `save`
        model, schedule : refuse the file if it was made for another model or other timesteps

        Raises
        ------
        ValueError
            If the file is damaged, not a direction, or for another model, shape or grid.
        """
        check_file(path, "direction file")
        with refusing(path, "a direction file", "save the direction again", ValueError):
            tensors, meta = read_tensors(path, FORMAT)
            about = [json.loads(meta[key]) for key in ("timesteps", "method", "provenance")]
            direction = cls(tensors["delta_h"], tuple(about[0]), str(about[1]), about[2])
        if model is not None:
            direction.check_model(model)
        if schedule is not None and schedule.timesteps != direction.timesteps:
            raise ValueError(
                f"{path} was made for {_grid(direction.timesteps)}, but the schedule has "
                f"{_grid(schedule.timesteps)}; load it without, and interpolate with resampled()"
            )
        return direction

    def check_model(self, model: HSpaceUNet) -> None:
        """Raise ValueError unless this direction was made for `model`."""
        origin, theirs = self.provenance.get("model", "unknown"), self.provenance.get("fingerprint")
        if tuple(self.delta_h.shape[1:]) != model.h_shape:
            raise ValueError(
                f"this direction has h of shape {tuple(self.delta_h.shape[1:])}, but h of model "
                f"{model.name!r} is {model.h_shape}; it was made for {origin!r}"
            )
        if theirs is not None and theirs != model.fingerprint:
            raise ValueError(
                f"this direction was made for model {origin!r} with weights {theirs}, but "
                f"{model.name!r} has weights {model.fingerprint}: h-spaces of two networks have "
                "nothing in common; find the direction again for this model"
            )

    # -------------------------------------------------------------------------------- details

    def _like(self, other: Direction) -> Tensor:
        """delta_h of `other`, moved to this device, if the two can be combined at all."""
        if self.delta_h.shape != other.delta_h.shape or self.timesteps != other.timesteps:
            raise ValueError(
                f"directions do not match: {tuple(self.delta_h.shape)} at "
                f"{_grid(self.timesteps)} and {tuple(other.delta_h.shape)} at "
                f"{_grid(other.timesteps)}; bring one to the other with resampled()"
            )
        mine, theirs = self.provenance.get("fingerprint"), other.provenance.get("fingerprint")
        if mine and theirs and mine != theirs:
            raise ValueError(
                f"directions belong to different models, {self.provenance.get('model')!r} and "
                f"{other.provenance.get('model')!r}, whose h-spaces have nothing in common"
            )
        return other.delta_h.to(self.delta_h)

    def _combined(self, other: Direction, delta_h: Tensor) -> Direction:
        """A sum keeps what both parents agree on, and names their methods."""
        theirs = other.provenance
        shared = {k: v for k, v in self.provenance.items() if k in theirs and theirs[k] == v}
        method = self.method if self.method == other.method else f"{self.method}+{other.method}"
        return Direction(delta_h, self.timesteps, method, shared)


def provenance_of(model: HSpaceUNet, **facts: Any) -> dict[str, Any]:
    """What every direction should say about its origin: model, weights, versions, and `facts`.

    Facts are plain JSON values: seeds, eta, n, component index, singular value, scaling, ...
    """
    versions = {"hsem": __version__, "torch": str(torch.__version__)}
    return {"model": model.name, "fingerprint": model.fingerprint, "versions": versions, **facts}


def random_like(direction: Direction, generator: torch.Generator) -> Direction:
    """A random direction with the norm of `direction` at every step (the control of fig. 4)."""
    noise = torch.randn(
        direction.delta_h.shape, generator=generator, dtype=torch.float64, device=generator.device
    )
    keep = {k: v for k, v in direction.provenance.items() if k in ("model", "fingerprint")}
    out = Direction(noise.to(direction.delta_h), direction.timesteps, "random", keep)
    return out.rescaled_like(direction)


def spread_over_steps(
    delta: Tensor,
    timesteps: Schedule | Iterable[int],
    method: str = "unknown",
    provenance: Mapping[str, Any] | None = None,
) -> Direction:
    """One and the same shift (C, h, w) at every step (section IV-B, SM D)."""
    if delta.ndim != 3:
        raise ValueError(f"delta must have shape (C, h, w), got {tuple(delta.shape)}")
    grid = checked_timesteps(timesteps)
    return Direction(delta.repeat(len(grid), 1, 1, 1), grid, method, provenance or {})


def project_out(v: Direction, others: Sequence[Direction], *, per_step: bool = False) -> Direction:
    """Remove from `v` its part in the span of `others` (eq. 12).

    Parameters
    ----------
    v : the direction to clean
    others : directions of the same shape and timesteps, linearly independent
    per_step : project at each step for itself; by default all T steps are one vector

    Returns
    -------
    A direction whose inner product with each of `others` is zero (at every step if `per_step`).

    Notes
    -----
    Solved by QR: forming (V^T V)^-1 would square the condition number. Projecting out one
    direction after another, instead of all at once, is wrong unless they are orthogonal.
    """
    if isinstance(others, Direction):
        raise TypeError("others must be a sequence of directions; write project_out(v, [other])")
    if not others:
        return v
    stacked = torch.stack([v._like(other).double() for other in others])  # (k, T, C, h, w)
    t = len(v.timesteps) if per_step else 1
    basis = stacked.reshape(len(others), t, -1).permute(1, 2, 0)  # (t, d, k)
    q, r = torch.linalg.qr(basis)
    pivots = torch.linalg.diagonal(r).abs()
    # A sum of directions in float32 is off by 1e-7 of its length, so this cannot be much stricter.
    if bool((pivots <= 1e-6 * basis.norm(dim=1)).any()):
        raise ValueError(
            f"the {len(others)} directions to project out are linearly dependent (or zero)"
            f"{' at some step' if per_step else ''}; leave one of them out"
        )
    flat = v.delta_h.double().reshape(t, -1, 1)
    rest = (flat - q @ (q.mT @ flat)).reshape(v.delta_h.shape)
    names = [other.method for other in others]
    return replace(
        v, delta_h=rest.to(v.delta_h), provenance={**v.provenance, "projected_out": names}
    )


def _grid(timesteps: tuple[int, ...]) -> str:
    return f"{len(timesteps)} steps t={timesteps[0]}..{timesteps[-1]}"
