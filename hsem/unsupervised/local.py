"""Directions of one image (section IV-B): the decoder's Jacobian on the image's own trajectory.

The network runs up to a step exactly as it did when the image was made, with the same noise z.
There its decoder is differentiated in h, with the skips held fixed. What is found at one step is
meant to be applied at all of them (SM D), so directions come with norm 1 at every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..blocks import Shared
from ..diffusion.sampling import Samples, eta_of, sample_steps
from ..diffusion.schedule import Schedule
from ..directions.direction import Direction, provenance_of, spread_over_steps
from ..directions.edits import rows
from ..network.unet import Context, HSpaceUNet
from ..network.watching import _as_written
from .focus import Outside, focused_directions
from .jacobian import jacobian_svd
from .masks import checked_mask

Target = Literal["x0", "eps"]


class Point(NamedTuple):
    """A trajectory at the moment where step i decodes h: h (1, C, h, w) is after any edit."""

    i: int
    t: int
    h: Tensor
    context: Context


@dataclass(frozen=True, eq=False)
class ImageDirections:
    """The k directions found for one image at one step, strongest first.

    Attributes
    ----------
    i, t : step index and training timestep where they were found
    v : (k, C, h, w), each of norm 1
    s : (k,) float64, norm of the change of the target for a step of norm 1 in h, to first order;
        inside the mask, if there is one
    change : (k, 3, H, W), that change itself, in the whole image
    share : (k,) float64, share of the squared change inside the mask; None without one
    schedule : the steps that `directions` are made for
    products : what it cost, in products with J and Jᵀ
    converged : whether the solver met its tolerance
    provenance : what the directions share
    """

    i: int
    t: int
    v: Tensor
    s: Tensor
    change: Tensor
    share: Tensor | None
    schedule: Schedule
    products: int
    converged: bool
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.v)

    def __getitem__(self, j: int) -> Direction:
        """The j-th vector at all steps, with norm 1 at each; a scale moves h by that much.

        To compare with a direction of another origin at equal norm, use its `rescaled_like`.
        """
        facts = {"component": range(len(self))[j], "singular_value": float(self.s[j])}
        if self.share is not None:
            facts["share_inside_mask"] = float(self.share[j])
        return spread_over_steps(self.v[j], self.schedule, "jacobian", {**self.provenance, **facts})

    @property
    def directions(self) -> tuple[Direction, ...]:
        return tuple(self[j] for j in range(len(self)))


def image_directions(
    model: HSpaceUNet,
    samples: Samples,
    index: int = 0,
    *,
    step: int | Point,
    k: int = 3,
    mask: Any = None,
    outside: Outside = "ignore",
    target: Target = "x0",
    tol: float = 1e-2,
    v0: Tensor | None = None,
    **solver: Any,
) -> ImageDirections:
    """The k directions in h that change one image the most at one step of its making.

    Parameters
    ----------
    samples : from `sample`, with this model; an edit they were made with is part of the trajectory
    index : which of the samples
    step : step index i, 0 (noisiest) to T - 1; or a moment of this sample's `trajectory`
    k : how many directions
    mask : array (H, W) of zeros and ones, see `hsem.masks`; look for change in there (eqs. 9, 10)
    outside : what to do about change outside the mask: "ignore" (the paper), "project" or
        "penalise", see `focused_directions`
    target : what shall change, the predicted image P_t ("x0") or the noise ("eps"). The vectors
        are the same (SM C, eqs. 14 to 16), the sizes of the changes are not.
    tol : wanted accuracy of the subspace, in radians
    v0 : (k, C, h, w), starting guess
    solver : passed to `jacobian_svd`: method, block, chunk, max_rounds, generator, ...

    Examples
    --------
    >>> samples = hsem.sample(model, seeds=[7])                       # doctest: +SKIP
    >>> found = image_directions(model, samples, step=12)             # doctest: +SKIP
    >>> edited = hsem.sample(model, [7], edit=hsem.add(found[0], 5))  # doctest: +SKIP
    """
    point = step if isinstance(step, Point) else next(trajectory(model, samples, index, [step]))

    def decode(h: Tensor) -> Tensor:
        return model.output(h, point.context)

    # The raw output of the network, because eps and x0 are fixed multiples of it (plus a term
    # without h), and near pure noise one of the two factors is tiny.
    factor = _factor(model, point.t, target)
    v0 = None if v0 is None else v0[:, None].to(point.h)
    provenance = provenance_of(
        model,
        seed=None if samples.seeds is None else samples.seeds[index],
        eta=eta_of(samples.eta),
        found_at_step=point.i,
        found_at_t=point.t,
        target=target,
        scale_unit="norm of the shift of h at each step",
    )
    if mask is None:
        if outside != "ignore":
            raise ValueError(f"outside={outside!r} needs a mask to say what is inside")
        with _differentiable(model.unet):
            whole = jacobian_svd(decode, point.h, k, tol=tol, v0=v0, **solver)
        v, s, share, products, converged = whole.v, whole.s, None, whole.products, whole.converged
        change = whole.u * s.to(v).view(-1, 1, 1, 1, 1)
    else:
        mask = checked_mask(mask, model.image_shape[1:])
        with _differentiable(model.unet):
            part = focused_directions(
                decode, point.h, k, mask, outside=outside, tol=tol, v0=v0, **solver
            )
        v, s, share, products, converged = (
            part.v, part.inside, part.share.cpu(), part.products, part.converged,
        )  # fmt: skip
        change = part.change
        provenance |= {"mask_area": float(mask.mean()), "outside": outside}
    return ImageDirections(
        i=point.i,
        t=point.t,
        v=v[:, 0].cpu(),
        s=(abs(factor) * s).cpu(),
        change=(factor * change[:, 0]).cpu(),
        share=share,
        schedule=samples.schedule,
        products=products,
        converged=converged,
        provenance=provenance,
    )


def image_spectrum(
    model: HSpaceUNet,
    samples: Samples,
    index: int = 0,
    *,
    steps: Sequence[int] | None = None,
    k: int = 3,
    progress: bool = True,
    **settings: Any,
) -> tuple[ImageDirections, ...]:
    """`image_directions` at many steps of one trajectory, each started from the one before.

    Parameters
    ----------
    steps : step indices; None for all T
    settings : as for `image_directions`

    Returns
    -------
    One `ImageDirections` for each step, in the order of time, noisiest first.
    """
    wanted = range(samples.schedule.steps) if steps is None else steps
    found: list[ImageDirections] = []
    points = trajectory(model, samples, index, wanted)
    for point in tqdm(points, total=len(set(wanted)), disable=not progress, unit="step"):
        before = found[-1].v if found else None
        found.append(
            image_directions(model, samples, index, step=point, k=k, v0=before, **settings)
        )
    return tuple(found)


def trajectory(
    model: HSpaceUNet, samples: Samples, index: int, steps: Sequence[int]
) -> Iterator[Point]:
    """Run one sample again and stop at some steps, before their h is decoded.

    Raises
    ------
    IndexError
        If there is no such sample or step.
    ValueError
        If the h that the samples have recorded is not met again, as with another model.
    """
    schedule, n = samples.schedule, len(samples)
    if not 0 <= index < n:
        raise IndexError(f"index must be 0..{n - 1}, as there are {n} samples, got {index}")
    if not steps or not all(0 <= i < schedule.steps for i in steps):
        raise IndexError(f"steps must be some of 0..{schedule.steps - 1}, got {list(steps)}")
    which = slice(index, index + 1)
    edit = rows(samples.edit, which, n)
    x, z = samples.x_T[which].to(model.device, model.outer_dtype), samples.z_of(which)
    z = None if z is None else z.to(x)
    run = sample_steps(model, schedule, x, eta=samples.eta, z=z, edit=edit, asyrp=samples.asyrp)
    for i in range(max(steps) + 1):
        if i in steps:
            with torch.no_grad():
                h, context = model.encode(x, schedule.timesteps[i])
                _check_recorded(samples, index, i, h, model)
                h = h if edit is None else edit(i, h).to(h)
            yield Point(i, context.t, h, context)  # gradients are the caller's business again
        if i < max(steps):
            with torch.no_grad():
                x = next(run).x


def _check_recorded(samples: Samples, index: int, i: int, h: Tensor, model: HSpaceUNet) -> None:
    if samples.h_seq is None:
        return
    recorded = samples.h_seq[index, i].to(h)
    if recorded.shape != h.shape[1:] or bool((h[0] - recorded).norm() > 0.05 * recorded.norm()):
        raise ValueError(
            f"at step {i}, model {model.name!r} has another h than sample {index} had when it was "
            "made: was it made by another model, or was its noise or edit changed since?"
        )


@Shared
@contextmanager
def _differentiable(unet: nn.Module) -> Iterator[None]:
    """The network as it can be differentiated dozens of times, and twice: as it is written.

    Without gradient checkpointing and compiled blocks, which throw away what is needed again.
    """
    blocks = [m for m in unet.modules() if getattr(m, "gradient_checkpointing", False)]
    for block in blocks:
        block.gradient_checkpointing = False  # type: ignore[assignment]
    try:
        with _as_written():
            yield
    finally:
        for block in blocks:
            block.gradient_checkpointing = True  # type: ignore[assignment]


def _factor(model: HSpaceUNet, t: int, target: Target) -> float:
    """d target / d network output: SM C, and the same for networks that predict v."""
    a = float(model.alpha_bar[t])
    predicts_v = model.prediction_type == "v_prediction"
    if target == "eps":
        return sqrt(a) if predicts_v else 1.0
    if target == "x0":
        return -sqrt(1 - a) if predicts_v else -sqrt((1 - a) / a)
    raise ValueError(f"target must be 'x0' or 'eps', got {target!r}")
