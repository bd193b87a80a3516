"""DDIM inversion: the noise x_T from which a given image grows (SM F).

At eta = 0 a step of equation 2 is a deterministic map from the level of step i to the next
cleaner one. Inverting a trajectory means undoing these maps one by one, from the image back to
x_T, on the *same* levels that sampling will pass: what the inversion returns is exactly what the
sampler starts from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..callers import tell
from ..counts import whole_number
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from .schedule import Schedule, direction_to_xt

DONE, VISIBLE = 1e-4, 0.01  # residuals: good enough to stop, and more than one grey level


@dataclass(frozen=True, eq=False)
class Inversion:
    """Where an image comes from.

    x_T : (b, 3, H, W); `sample(model, x_T=x_T, schedule=schedule, eta=0)` returns to the image
    h_seq : (b, T, C, h, w), the bottleneck along the way, index 0 is the noisiest
    schedule : the levels used
    residual : (b, T), how far (RMS over the image) step i lands from where it should, by a fresh
        evaluation of the network; zero would be an exact inversion, and one grey level of 256 is
        0.008

    All tensors are on the CPU.
    """

    x_T: Tensor
    h_seq: Tensor
    schedule: Schedule
    residual: Tensor


@torch.no_grad()
def invert(
    model: HSpaceUNet,
    images: Tensor,
    *,
    steps: int = 50,
    schedule: Schedule | None = None,
    fixed_point: int = 10,
    batch_size: int | None = None,
    progress: bool = True,
) -> Inversion:
    """Find x_T such that DDIM sampling (eta = 0) leads to `images`.

    Parameters
    ----------
    images : (b, 3, H, W) in [-1, 1], floating point of any precision, on any device
    steps, schedule : T, spread as the model's scheduler says; or the exact noise levels
    fixed_point : rounds of refinement at each step, at most; 0 is plain DDIM inversion, which
        does not lead back: on the packaged portraits it is off by half of what two people differ
    batch_size, progress : as for `sample`

    Warns
    -----
    UserWarning
        If the rounds did not suffice for some images, or one lies in [0, 1] or far beyond 1.

    Notes
    -----
    Write alpha_bar = cos(phi)^2. A DDIM step turns (x, v) by the angle d between two levels,

        x_prev = cos(d) x - sin(d) v(x, t),

    where v is the velocity the network predicts, directly or by way of eps. The unknown x stands
    on both sides, so we solve x = (x_prev + sin(d) v(x, t)) / cos(d) by iteration, starting
    from x = x_prev. The first round, v(x_prev, t), is plain DDIM inversion; each round of
    `fixed_point` evaluates v at the current answer. (Written with eps the same iteration stalls:
    near pure noise eps is x itself.) This contracts where d is small and v is smooth, slowly or
    not at all in the first and last steps of a coarse grid, so from the second round on the last
    two answers are extrapolated to where the error would vanish (Anderson's method, depth one).
    Of all answers the one with the smallest `residual` counts, so more rounds never harm, and an
    image is done once its residual is below 1e-4, whatever its neighbours in the batch are.

    The network runs at most (fixed_point + 2) * T times.
    """
    fixed_point = whole_number("fixed_point", fixed_point, least=0)
    _check_images(images, model.image_shape)
    schedule = schedule or model.schedule(steps)
    n, t_count = len(images), schedule.steps
    where: dict[str, Any] = {"dtype": model.outer_dtype, "device": "cpu"}
    x_T = torch.empty(images.shape, **where)
    h_seq = torch.empty(n, t_count, *model.h_shape, **where)
    residual = torch.empty(n, t_count, **where)
    backwards = list(enumerate(schedule))[::-1]

    def compute(which: slice) -> None:
        bar.n = which.start * t_count
        x = images[which].to(model.device, model.outer_dtype)
        for i, (t, a, a_prev) in backwards:
            answer = undo_step(model, x, t, a, a_prev, rounds=fixed_point)
            h_seq[which, i], residual[which, i] = answer.h.cpu(), answer.residual.cpu()
            x = answer.x
            bar.update(len(x))
        x_T[which] = x.cpu()

    with tqdm(total=n * t_count, disable=not progress, unit="step", leave=False) as bar:
        Pieces.drawing(batch_size, model.device, model.image_shape).run(n, compute)
    if fixed_point:
        _warn_unsolved(residual, schedule)
    return Inversion(x_T, h_seq, schedule, residual)


class Answer(NamedTuple):
    """The x at the level before a step, its h, and how far the step lands off, (b,)."""

    x: Tensor
    h: Tensor
    residual: Tensor

    def or_better(self, other: Answer) -> Answer:
        """For each image that is not yet done, the better of the two."""
        new = (self.residual > DONE) & (other.residual < self.residual)
        return Answer(*(
            torch.where(new.view(-1, *[1] * (a.ndim - 1)), b, a)
            for a, b in zip(self, other, strict=True)
        ))  # fmt: skip


def undo_step(
    model: HSpaceUNet, x_prev: Tensor, t: int, a: float, a_prev: float, rounds: int
) -> Answer:
    """Find the x at level `a` that one DDIM step takes to `x_prev`."""
    cos_d = sqrt(a * a_prev) + sqrt((1 - a) * (1 - a_prev))
    x, best, before = x_prev, None, None
    for k in range(rounds + 2):
        h, context = model.encode(x, t)
        eps, x0 = model.predict(h, context)
        error = x_prev - (sqrt(a_prev) * x0 + direction_to_xt(eps, a_prev, 0.0))  # eq. 2
        if k:
            answer = Answer(x, h, rms(error))
            best = answer if best is None else best.or_better(answer)
            if bool((best.residual <= DONE).all()):
                break
        step = error / cos_d  # the iteration above, for any kind of prediction
        following = x + step if before is None else _extrapolated(x, step, *before)
        before = (x, step) if k else None
        x = following
    assert best is not None
    return best


def _extrapolated(x: Tensor, step: Tensor, x_before: Tensor, step_before: Tensor) -> Tensor:
    """The next x if the step changed along the last two answers as it did between them."""
    change = (step - step_before).flatten(1)
    size = change.square().sum(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
    weight = (change * step.flatten(1)).sum(dim=1) / size
    return x + step - weight.view(-1, 1, 1, 1) * (x - x_before + step - step_before)


def _warn_unsolved(residual: Tensor, schedule: Schedule) -> None:
    worst, where = residual.max(dim=1)
    unsolved = torch.nonzero(~(worst <= VISIBLE)).flatten().tolist()
    if unsolved:
        k = max(unsolved, key=lambda k: float(worst[k].nan_to_num(torch.inf)))
        tell(
            f"images {unsolved} of {len(worst)} were not inverted: image {k} is off by "
            f"{float(worst[k]):.3g} at t = {schedule.timesteps[int(where[k])]}, so that its x_T "
            "does not lead back to it; take more steps or rounds (fixed_point), or pictures that "
            "the model could have made",
        )


def rms(x: Tensor) -> Tensor:
    """Root mean square of each sample, (b,)."""
    return x.flatten(1).square().mean(dim=1).sqrt()


def _check_images(images: Tensor, shape: tuple[int, int, int]) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(
            "images must be a floating-point tensor in [-1, 1], got "
            f"{images.dtype if isinstance(images, Tensor) else type(images).__name__}; "
            "convert uint8 pixels with images / 127.5 - 1"
        )
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(shape) or not len(images):
        raise ValueError(
            f"images must have shape (b, {', '.join(map(str, shape))}) with b of at least 1, got "
            f"{tuple(images.shape)}"
        )
    if not bool(torch.isfinite(images).all()):
        raise ValueError("images hold values that are NaN or infinite")
    low, high = images.flatten(1).amin(dim=1), images.flatten(1).amax(dim=1)
    reach = torch.maximum(-low, high)
    if float(reach.max()) > 4:
        raise ValueError(
            f"images reach {float(reach.max()):.3g}, but should lie in [-1, 1]; "
            "convert pixels from 0..255 with images / 127.5 - 1"
        )
    # resizing overshoots a little, and so does a sampler
    unit = ((low > -0.05) & (high > 0.05) & (high < 1.05)).nonzero().flatten().tolist()
    beyond = (reach > 1.2).nonzero().flatten().tolist()
    if unit:
        tell(
            f"images {unit} of {len(images)} lie in [0, 1], without one dark pixel; the network "
            "expects [-1, 1]: convert them with 2 * images - 1 unless they really are that bright",
        )
    if beyond:
        tell(
            f"images {beyond} of {len(images)} reach {float(reach.max()):.3g}; the network expects "
            "[-1, 1]: undo a normalisation for another network (images * std + mean is in [0, 1], "
            "then 2 * images - 1), or clip them with images.clamp(-1, 1)",
        )
