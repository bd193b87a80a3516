"""DDIM inversion: the noise x_T from which a given image grows (SM F).

At eta = 0 a step of equation 2 is a deterministic map from the level of step i to the next
cleaner one. Inverting a trajectory means undoing these maps one by one, from the image back to
x_T, on the *same* levels that sampling will pass: what the inversion returns is exactly what the
sampler starts from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from .schedule import Schedule, direction_to_xt


@dataclass(frozen=True, eq=False)
class Inversion:
    """Where an image comes from.

    x_T : (b, 3, H, W); `sample(model, x_T=x_T, schedule=schedule, eta=0)` returns to the image
    h_seq : (b, T, C, h, w), the bottleneck along the way, index 0 is the noisiest
    schedule : the levels used
    residual : (b, T), how far (RMS over the image) step i lands from where it should, by a fresh
        evaluation of the network; zero would be an exact inversion

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
    fixed_point: int = 0,
    batch_size: int = 16,
    progress: bool = True,
) -> Inversion:
    """Find x_T such that DDIM sampling (eta = 0) leads to `images`.

    Parameters
    ----------
    images : (b, 3, H, W) in [-1, 1]
    steps, schedule : T, spread as the model's scheduler says; or the exact noise levels
    fixed_point : rounds of refinement at each step; 0 is plain DDIM inversion
    batch_size, progress : as for `sample`

    Notes
    -----
    Write alpha_bar = cos(phi)^2. A DDIM step turns (x, v) by the angle d between two levels,

        x_prev = cos(d) x - sin(d) v(x, t),

    where v is the velocity the network predicts, directly or by way of eps. The unknown x stands
    on both sides, so we solve x = (x_prev + sin(d) v(x, t)) / cos(d) by iteration, starting
    from x = x_prev. The first round, v(x_prev, t), is plain DDIM inversion; each round of
    `fixed_point` evaluates v at the current answer. Since d is small this contracts, where the
    same iteration written with eps stalls: near pure noise eps is x itself.

    The network runs (fixed_point + 2) * T times; the last run of each step records h and measures
    `residual` at the answer, and is not used to improve it.
    """
    if fixed_point < 0:
        raise ValueError(f"fixed_point counts rounds of refinement, got {fixed_point}")
    _check_images(images)
    schedule = schedule or model.schedule(steps)
    n, t_count = len(images), schedule.steps
    where: dict[str, Any] = {"dtype": model.outer_dtype, "device": "cpu"}
    x_T = torch.empty(images.shape, **where)
    h_seq = torch.empty(n, t_count, *model.h_shape, **where)
    residual = torch.empty(n, t_count, **where)
    backwards = list(enumerate(schedule))[::-1]

    def compute(which: slice) -> None:
        bar.n = which.start * t_count
        x = images[which].to(model.device)
        for i, (t, a, a_prev) in backwards:
            x, h, error = undo_step(model, x, t, a, a_prev, rounds=fixed_point)
            h_seq[which, i], residual[which, i] = h.cpu(), rms(error).cpu()
            bar.update(len(x))
        x_T[which] = x.cpu()

    with tqdm(total=n * t_count, disable=not progress, unit="step", leave=False) as bar:
        Pieces(batch_size).run(n, compute)
    return Inversion(x_T, h_seq, schedule, residual)


def undo_step(
    model: HSpaceUNet, x_prev: Tensor, t: int, a: float, a_prev: float, rounds: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The x at level `a` that one DDIM step takes to `x_prev`, its h, and the remaining error."""
    cos_d = sqrt(a * a_prev) + sqrt((1 - a) * (1 - a_prev))
    x = x_prev
    for k in range(rounds + 2):
        h, context = model.encode(x, t)
        eps, x0 = model.predict(h, context)
        error = x_prev - (sqrt(a_prev) * x0 + direction_to_xt(eps, a_prev, 0.0))  # eq. 2
        if k <= rounds:
            x = x + error / cos_d  # the iteration above, for any kind of prediction
    return x, h, error


def rms(x: Tensor) -> Tensor:
    """Root mean square of each sample, (b,)."""
    return x.flatten(1).square().mean(dim=1).sqrt()


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point() or images.numel() == 0:
        raise TypeError(
            f"images must be floating point in [-1, 1], got {images.dtype}; "
            "convert uint8 pixels with images / 127.5 - 1"
        )
    if not bool(torch.isfinite(images).all()):
        raise ValueError("images hold values that are NaN or infinite")
    if float(images.abs().max()) > 4:
        raise ValueError(
            f"images reach {float(images.abs().max()):.3g}, but should lie in [-1, 1]; "
            "convert pixels from 0..255 with images / 127.5 - 1"
        )
