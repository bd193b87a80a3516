"""Edits of h: functions of the step index and h that return a new h.

    def brighter(i, h):              # any such function is an edit
        return 1.1 * h

An edit has no state, touches no network, and cannot be left behind on one. Those below also know
for which timesteps they were made, so that a direction from 25 steps is never applied to a run of
50 by accident, and which of their tensors hold one row per sample, so that `sample` may cut a
large batch into pieces. They can be pickled, so that processes can share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..diffusion.schedule import Schedule
from ..unsupervised.masks import weights
from .direction import Direction

Edit = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class GridEdit:
    """An edit that knows its step grid and its per-sample parts; made by the functions below.

    Parameters
    ----------
    apply : (i, h, *parts) -> h, a function of this module
    parts : tensors with one row per sample, inner edits, or anything else `apply` needs
    timesteps : the grid it was made for, if known
    steps : the number of steps it was made for, if known
    """

    apply: Callable[..., Tensor]
    parts: tuple[Any, ...] = ()
    timesteps: tuple[int, ...] | None = None
    steps: int | None = None

    def __call__(self, i: int, h: Tensor) -> Tensor:
        return self.apply(i, h, *self.parts)


def add(direction: Direction | Tensor, scale: float | Tensor = 1.0) -> Edit:
    """h + scale * delta_h (section III).

    Parameters
    ----------
    direction : a `Direction`, or a tensor (T, C, h, w), or one per sample (b, T, C, h, w)
    scale : the strength gamma, one number or one per sample (b,)
    """
    scale = _per_sample("scale", scale)
    if isinstance(direction, Direction):
        delta_h, timesteps = direction.delta_h, direction.timesteps
    else:
        delta_h, timesteps = direction, None
    if delta_h.ndim not in (4, 5):
        raise ValueError(
            "direction must be a Direction or have shape (T, C, h, w) or (b, T, C, h, w), "
            f"got {tuple(delta_h.shape)}"
        )
    delta_h = delta_h if delta_h.ndim == 5 else delta_h[None]
    return GridEdit(_add, (delta_h, scale), timesteps, delta_h.shape[1])


def _add(i: int, h: Tensor, delta_h: Tensor, scale: Tensor) -> Tensor:
    return h + _as_rows(scale, h) * _row(delta_h, i, h, "direction")


def swap(h_seq: Tensor) -> Edit:
    """Replace h by that of other samples (fig. 2a); h_seq (b, T, C, h, w), or b = 1 for all."""
    _check_h_seq(h_seq)
    return GridEdit(_swap, (h_seq,), steps=h_seq.shape[1])


def _swap(i: int, h: Tensor, h_seq: Tensor) -> Tensor:
    return _row(h_seq, i, h, "h_seq").expand_as(h)


def blend(h_seq: Tensor, weight: float | Tensor, mode: str = "lerp") -> Edit:
    """Go part of the way towards the h of other samples.

    Parameters
    ----------
    h_seq : (b, T, C, h, w), or b = 1 for all samples
    weight : 0 keeps h, 1 swaps; a number or one per sample (b,)
    mode : "lerp", a straight line, or "slerp", along the arc between the two (the direction
        turns evenly while the norm changes linearly)
    """
    _check_h_seq(h_seq)
    if mode not in ("lerp", "slerp"):
        raise ValueError(f"mode={mode!r} is unknown; choose 'lerp' or 'slerp'")
    parts = (h_seq, _per_sample("weight", weight))
    return GridEdit(_lerp if mode == "lerp" else _slerp, parts, steps=h_seq.shape[1])


def _lerp(i: int, h: Tensor, h_seq: Tensor, weight: Tensor) -> Tensor:
    return torch.lerp(h, _swap(i, h, h_seq), _as_rows(weight, h))


def _slerp(i: int, h: Tensor, h_seq: Tensor, weight: Tensor) -> Tensor:
    return slerp(h, _swap(i, h, h_seq), _as_rows(weight, h))


def masked(edit: Edit, mask: Any) -> Edit:
    """Let `edit` act only where `mask` is one.

    Parameters
    ----------
    mask : array over h-space: (h, w), or anything that broadcasts to (C, h, w); values 0 to 1
    """
    mask = weights(mask)
    if bool((mask > 1).any()):
        raise ValueError(
            f"mask goes up to {float(mask.max()):g}, expected values from 0 to 1; "
            "masks.from_array(mask) makes zeros and ones of it"
        )
    return _around(partial(_masked, mask), edit)


def _masked(mask: Tensor, i: int, h: Tensor, edit: Edit) -> Tensor:
    if mask.ndim > 3 or not _broadcasts(mask.shape, h.shape[1:]):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, but must be (h, w) = {tuple(h.shape[2:])} "
            f"or broadcast to (C, h, w) = {tuple(h.shape[1:])}; it lives in h-space, not "
            "over the pixels of the image"
        )
    return h + mask.to(h) * (edit(i, h).to(h) - h)


def only_at(edit: Edit, steps: Iterable[int]) -> GridEdit:
    """Let `edit` act only at the step indices in `steps` (index 0 is the noisiest)."""
    given = tuple(steps)
    chosen = frozenset(int(i) for i in given)
    if not chosen or min(chosen) < 0 or any(int(i) != i for i in given):
        raise ValueError(f"steps must name step indices, whole numbers from 0 on, got {given}")
    return _around(partial(_only_at, chosen), edit)


def _only_at(chosen: frozenset[int], i: int, h: Tensor, edit: Edit) -> Tensor:
    return edit(i, h) if i in chosen else h


def between(edit: Edit, t_max: int, t_min: int, schedule: Schedule) -> Edit:
    """Let `edit` act only at timesteps t with t_max >= t >= t_min."""
    steps = [i for i, t in enumerate(schedule.timesteps) if t_max >= t >= t_min]
    if not steps:
        raise ValueError(
            f"no timestep of {schedule} lies in the window t_max={t_max} >= t >= t_min={t_min}"
        )
    return replace(only_at(edit, steps), timesteps=schedule.timesteps, steps=schedule.steps)


def chain(*edits: Edit) -> Edit:
    """Several edits, each working on the h that the one before returned."""
    grids = {e.timesteps for e in edits if isinstance(e, GridEdit) and e.timesteps}
    counts = {e.steps for e in edits if isinstance(e, GridEdit) and e.steps}
    if len(grids) > 1 or len(counts) > 1:
        raise ValueError(
            f"the edits were made for different steps ({sorted(counts)}); bring their directions "
            "to one grid with resampled()"
        )
    return GridEdit(_chain, edits, next(iter(grids), None), next(iter(counts), None))


def _chain(i: int, h: Tensor, *edits: Edit) -> Tensor:
    for edit in edits:
        h = edit(i, h).to(h)
    return h


def slerp(a: Tensor, b: Tensor, weight: float | Tensor) -> Tensor:
    """Spherical interpolation of each row (all axes but the first), a at 0, b at 1; where a is."""
    dims, b = tuple(range(1, a.ndim)), b.to(a)
    weight = weight.to(a) if isinstance(weight, Tensor) else a.new_tensor(weight)

    def length(v: Tensor) -> Tensor:
        return torch.linalg.vector_norm(v, dim=dims, keepdim=True)

    norm_a, norm_b = length(a), length(b)
    tiny = torch.finfo(a.dtype).tiny
    unit_a, unit_b = a / norm_a.clamp(min=tiny), b / norm_b.clamp(min=tiny)
    # Kahan's angle: the arc cosine of the inner product cannot see small angles.
    angle = 2 * torch.atan2(length(unit_a - unit_b), length(unit_a + unit_b))
    flat = angle.sin() < 1e-4  # parallel or opposite: no arc is singled out, take the chord
    sine = torch.where(flat, 1.0, angle.sin())
    left = torch.where(flat, 1 - weight, ((1 - weight) * angle).sin() / sine)
    right = torch.where(flat, weight, (weight * angle).sin() / sine)
    return (left * unit_a + right * unit_b) * torch.lerp(norm_a, norm_b, weight)


# ----------------------------------------------------------------------- for samplers and hooks


def check_grid(edit: Edit | None, schedule: Schedule) -> None:
    """Raise ValueError if `edit` was made for other steps than those of `schedule`."""
    if not isinstance(edit, GridEdit):
        return
    if edit.timesteps is not None and edit.timesteps != schedule.timesteps:
        raise ValueError(
            f"the edit was made for {len(edit.timesteps)} steps t={edit.timesteps[0]}.."
            f"{edit.timesteps[-1]}, but the run visits {schedule}; use "
            "direction.resampled(schedule), or sample with the direction's own steps"
        )
    if edit.steps is not None and edit.steps != schedule.steps:
        raise ValueError(
            f"the edit holds {edit.steps} steps, but the run visits {schedule}; record h_seq "
            "with the same number of steps"
        )


def rows(part: Any, which: slice, n: int) -> Any:
    """The part of an edit that belongs to samples `which` out of `n`; the same for plain edits."""
    if isinstance(part, GridEdit):
        return replace(part, parts=tuple(rows(p, which, n) for p in part.parts))
    if isinstance(part, Tensor) and part.ndim > 0 and len(part) != 1:
        if len(part) != n:
            raise ValueError(
                f"the edit holds values for {len(part)} samples, but the run has {n}; give one "
                "row per sample, or one row for all"
            )
        return part[which]
    return part


# ------------------------------------------------------------------------------------- details


def _around(apply: Callable[..., Tensor], edit: Edit) -> GridEdit:
    grid = (edit.timesteps, edit.steps) if isinstance(edit, GridEdit) else (None, None)
    return GridEdit(apply, (edit,), *grid)


def _row(h_seq: Tensor, i: int, h: Tensor, name: str) -> Tensor:
    """Step i of (b, T, C, h, w), on the device and in the dtype of h, or a clear error."""
    b, steps = h_seq.shape[:2]
    if not 0 <= i < steps:
        raise IndexError(f"{name} holds steps 0..{steps - 1}, but the run asks for step {i}")
    if h_seq.shape[2:] != h.shape[1:] or b not in (1, len(h)):
        raise ValueError(
            f"{name} has (C, h, w) = {tuple(h_seq.shape[2:])} for {b} sample(s), but h of this "
            f"run is (b, C, h, w) = {tuple(h.shape)}"
        )
    return h_seq[:, i].to(h)


def _per_sample(name: str, value: float | Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        value = torch.tensor(value, dtype=torch.float64, device="cpu")
    if value.ndim > 1:
        raise ValueError(
            f"{name} must be a number or one per sample (b,), got {tuple(value.shape)}"
        )
    return value


def _as_rows(value: Tensor, h: Tensor) -> Tensor:
    """A number, or (b,), shaped to multiply (b, C, h, w)."""
    return value.to(h).view(-1, 1, 1, 1)


def _check_h_seq(h_seq: Tensor) -> None:
    if h_seq.ndim != 5:
        raise ValueError(
            f"h_seq must have shape (b, T, C, h, w) as samples.h_seq has, got {tuple(h_seq.shape)}"
        )


def _broadcasts(shape: torch.Size, to: torch.Size) -> bool:
    try:
        return torch.broadcast_shapes(shape, to) == to
    except RuntimeError:
        return False
