"""From noise to images (equation 2), step by step, with access to h at each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..directions.edits import Edit, check_grid, rows
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from .schedule import Schedule, direction_to_xt, sigma

RECORDABLE = ("x", "h", "eps", "x0", "delta_h")


class Step(NamedTuple):
    """What happened in one step.

    i, t : step index and training timestep
    x : the image *after* the step, (b, 3, H, W); after the last one it is the result
    h : the bottleneck *before* the edit, (b, C, h, w)
    eps, x0 : predicted noise and predicted clean image P_t *after* the edit, (b, 3, H, W)
    delta_h : what the edit added to h; None without an edit
    """

    i: int
    t: int
    x: Tensor
    h: Tensor
    eps: Tensor
    x0: Tensor
    delta_h: Tensor | None = None


def sample_steps(
    model: HSpaceUNet,
    schedule: Schedule,
    x: Tensor,
    *,
    eta: float | Sequence[float] = 0.0,
    z: Tensor | None = None,
    edit: Edit | None = None,
    asyrp: bool = False,
) -> Iterator[Step]:
    """Denoise `x` step by step (eq. 2), yielding a `Step` after each.

    Parameters
    ----------
    x : x_T, (b, 3, H, W), standard normal, on any device; so may z be, and what the edit returns
    eta : 0 is DDIM, 1 is DDPM (eq. 5); one number, or one per step
    z : the noise of eq. 2, (b, T, 3, H, W); needed where eta > 0
    edit : (i, h) -> h, such as `hsem.add(direction)`
    asyrp : give the edited noise to P_t only and the plain one to D_t (SM B), for which the
        decoder runs twice and the encoder still once

    Notes
    -----
    x0 is never clipped: clipping is not equation 2, and cannot be inverted. Gradients are the
    caller's business; wrap the loop in `torch.no_grad()` where none are wanted. All tensors of a
    `Step` are on the model's device.
    """
    etas = checked_eta(eta, schedule)
    _check_z(z, x, etas, schedule)
    check_grid(edit, schedule)
    z = None if z is None else z.to(model.device)
    for i, (t, a, a_prev) in enumerate(schedule):
        h, context = model.encode(x, t)
        edited = h if edit is None else edit(i, h).to(h)
        eps, x0 = model.predict(edited, context)  # eq. 3
        eps_d = model.decode(h, context) if asyrp and edit is not None else eps
        sigma_t = sigma(a, a_prev, etas[i])  # eq. 5
        x = sqrt(a_prev) * x0 + direction_to_xt(eps_d, a_prev, sigma_t)  # eq. 2, 4
        if z is not None and sigma_t > 0:
            x = x + sigma_t * z[:, i]
        yield Step(i, t, x, h, eps, x0, None if edit is None else edited - h)


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and everything that determines them: x_T, z, and the edit of h (SM A).

    images : (b, 3, H, W), about [-1, 1], not clipped
    x_T : (b, 3, H, W)
    seeds : one per sample, or None if the noise was given
    eta : one number per step, (T,)
    edit, asyrp : as given to `sample`
    h_seq, delta_h_seq : (b, T, C, h, w), or None if not recorded; h is taken before the edit
    x_seq, eps_seq, x0_seq : (b, T, 3, H, W), or None; x_seq[:, i] is x after step i

    All tensors are on the CPU.
    """

    images: Tensor
    x_T: Tensor
    seeds: tuple[int, ...] | None
    eta: tuple[float, ...]
    schedule: Schedule
    given_z: Tensor | None = None
    edit: Edit | None = None
    asyrp: bool = False
    h_seq: Tensor | None = None
    x_seq: Tensor | None = None
    eps_seq: Tensor | None = None
    x0_seq: Tensor | None = None
    delta_h_seq: Tensor | None = None

    @property
    def z(self) -> Tensor | None:
        """The noise of eq. 2, (b, T, 3, H, W); None where none was used.

        When it came from seeds it is drawn again rather than kept: at 256x256 and 50 steps it
        takes 39 MB per sample.
        """
        return self.z_of(slice(None))

    def z_of(self, which: slice) -> Tensor | None:
        """The same of some samples."""
        if self.given_z is not None:
            return self.given_z[which]
        if self.seeds is None or not any(self.eta):
            return None
        return draw_noise(tuple(self.x_T.shape[1:]), self.seeds[which], self.schedule.steps)[1]

    def __len__(self) -> int:
        return len(self.images)


@torch.no_grad()
def sample(
    model: HSpaceUNet,
    seeds: Sequence[int] | None = None,
    *,
    x_T: Tensor | None = None,
    z: Tensor | None = None,
    steps: int = 25,
    schedule: Schedule | None = None,
    eta: float | Sequence[float] = 1.0,
    edit: Edit | None = None,
    asyrp: bool = False,
    record: Sequence[str] = ("h",),
    batch_size: int | Pieces | None = None,
    progress: bool = True,
) -> Samples:
    """Generate images and record what happens at the bottleneck.

    Parameters
    ----------
    seeds : one integer per sample, such as `range(8)`; gives whatever noise is not given
    x_T, z : noise to use instead, (b, 3, H, W) and (b, T, 3, H, W), on any device
    steps, schedule : T, spread as the model's scheduler says; or the exact noise levels
    eta, edit, asyrp : see `sample_steps`
    record : any of "h", "x", "eps", "x0", "delta_h"
    batch_size : samples computed at once (fewer where CUDA memory runs out); not of the result.
        None is 16, and on a GPU as many as have the pixels of 16 pictures of 256 x 256.
    progress : show a bar

    Returns
    -------
    `Samples`, on the CPU.

    Notes
    -----
    Sample k depends on seeds[k] alone, never on the batch or its neighbours: its noise is equal
    to the last bit whatever the batch, its image up to the rounding of matrix products of another
    size (below 1e-4 in float32). See `draw_noise`; stock diffusers pipelines use a list of
    generators in the same way.

    Records are written to the CPU as they come, so the device holds one batch. A record of h
    takes n * T * C * h * w * 4 bytes: 1.2 MB per sample at 25 steps for portraits-64, 6.6 MB at
    50 steps for the 256x256 models. For thousands of samples, call this on pieces of the seeds.
    """
    schedule = schedule or model.schedule(steps)
    etas = checked_eta(eta, schedule)
    unknown = sorted(set(record) - set(RECORDABLE))
    if isinstance(record, str) or unknown:
        raise ValueError(f"record must list some of {RECORDABLE}, got {record!r}")
    pieces = Pieces.drawing(batch_size, model.device, model.image_shape)
    seeds = None if seeds is None else checked_seeds(seeds)
    n = _count(seeds, x_T, z)
    if x_T is None and seeds is None:
        raise ValueError("give seeds (for example seeds=range(8)) or x_T of shape (b, 3, H, W)")
    check_grid(edit, schedule)

    out: dict[str, Tensor] = {}

    def keep(name: str, which: slice, value: Tensor, i: int | None = None) -> None:
        value = value.to("cpu")
        if name not in out:
            axes = value.shape[1:] if i is None else (schedule.steps, *value.shape[1:])
            out[name] = value.new_empty((n, *axes))
        out[name][which if i is None else (which, i)] = value

    def compute(which: slice) -> None:
        bar.n = which.start * schedule.steps  # a piece that did not fit comes again
        x, noise = _noise(model, seeds, x_T, z, schedule, etas, which)
        keep("x_T", which, x)
        part = rows(edit, which, n)
        for step in sample_steps(model, schedule, x, eta=etas, z=noise, edit=part, asyrp=asyrp):
            for name in record:
                if (value := getattr(step, name)) is not None:
                    keep(f"{name}_seq", which, value, step.i)
            bar.update(len(x))
        keep("images", which, step.x)

    with tqdm(total=n * schedule.steps, disable=not progress, unit="step", leave=False) as bar:
        pieces.run(n, compute)
    return Samples(
        seeds=seeds, eta=etas, schedule=schedule, given_z=None if z is None else z.cpu(), edit=edit,
        asyrp=asyrp, **out,
    )  # fmt: skip


def draw_noise(
    model_or_shape: HSpaceUNet | tuple[int, ...], seeds: Sequence[int], steps: int
) -> tuple[Tensor, Tensor]:
    """Noise for each seed: x_T of shape (b, 3, H, W) and z of shape (b, T, 3, H, W).

    Every sample has a generator of its own, on the CPU, which gives x_T first and then the noise
    of one step after another. So x_T and z never overlap, neighbouring seeds share nothing, and
    neither `steps` nor the other seeds change what a seed gives.
    """
    shape = model_or_shape.image_shape if isinstance(model_or_shape, HSpaceUNet) else model_or_shape
    seeds = checked_seeds(seeds)
    # Named, as the same seed must give the same noise whatever torch's defaults are.
    where: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    x_T = torch.empty(len(seeds), *shape, **where)
    z = torch.empty(len(seeds), steps, *shape, **where)
    for k, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        x_T[k] = torch.randn(shape, generator=generator, **where)
        for i in range(steps):
            z[k, i] = torch.randn(shape, generator=generator, **where)
    return x_T, z


# ------------------------------------------------------------------------------------- details


def checked_eta(
    eta: float | Sequence[float], schedule: Schedule | Sequence[int]
) -> tuple[float, ...]:
    """One eta per step, each in [0, 1]."""
    alone = isinstance(eta, Real) or getattr(eta, "ndim", 1) == 0  # numpy's and torch's, too
    etas: tuple[Any, ...] = (eta,) * len(schedule) if alone else tuple(eta)  # type: ignore[arg-type]
    if len(etas) != len(schedule):
        raise ValueError(f"eta must be a number or one per step, got {len(etas)} for {schedule}")
    if not all(0 <= e <= 1 for e in etas):
        raise ValueError(f"eta must lie between 0 (DDIM) and 1 (DDPM), got {eta}")
    return tuple(float(e) for e in etas)


def eta_of(etas: tuple[float, ...]) -> float | list[float]:
    """For provenance: one number if all steps have the same."""
    return etas[0] if len(set(etas)) == 1 else list(etas)


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds as a tuple of ints that the generator can tell apart."""
    if isinstance(seeds, int) or getattr(seeds, "ndim", 1) == 0:  # numpy's and torch's, too
        raise TypeError(
            f"seeds must list one integer per sample; write range({seeds}) or [{seeds}]"
        )
    given = tuple(seeds)
    out = tuple(int(s) for s in given)
    if not out or out != given or not all(0 <= s < 2**32 for s in out):
        # PyTorch's CPU generator looks at the low 32 bits only: 2**32 would repeat seed 0.
        raise ValueError(f"seeds must be integers from 0 to 2**32 - 1, at least one, got {seeds!r}")
    return out


def _check_z(z: Tensor | None, x: Tensor, etas: tuple[float, ...], schedule: Schedule) -> None:
    shape = (len(x), schedule.steps, *x.shape[1:])
    if z is None:
        if any(etas):
            raise ValueError(
                f"eta={max(etas):g} needs noise z of shape (b, T, 3, H, W) = {shape}; "
                "make some with draw_noise(model, seeds, steps), or sample with eta=0"
            )
    elif tuple(z.shape) != shape:
        raise ValueError(f"z must have shape (b, T, 3, H, W) = {shape}, got {tuple(z.shape)}")


def _count(seeds: tuple[int, ...] | None, x_T: Tensor | None, z: Tensor | None) -> int:
    counts = {
        name: len(value)
        for name, value in (("seeds", seeds), ("x_T", x_T), ("z", z))
        if value is not None
    }
    if len(set(counts.values())) > 1:
        raise ValueError(f"seeds, x_T and z must be for the same number of samples, got {counts}")
    return next(iter(counts.values()), 0)


def _noise(
    model: HSpaceUNet,
    seeds: tuple[int, ...] | None,
    x_T: Tensor | None,
    z: Tensor | None,
    schedule: Schedule,
    etas: tuple[float, ...],
    which: slice,
) -> tuple[Tensor, Tensor | None]:
    """x_T and z of some samples, on the model's device; drawn only where not given."""
    x = None if x_T is None else x_T[which]
    noise = None if z is None else z[which]
    if seeds is not None and (x is None or (noise is None and any(etas))):
        drawn_x, drawn_z = draw_noise(model, seeds[which], schedule.steps if any(etas) else 0)
        x = drawn_x if x is None else x
        noise = drawn_z if noise is None and any(etas) else noise
    assert x is not None
    # Given noise must already have the right dtype; the seeds' noise is ours to convert.
    x = x.to(model.device, model.outer_dtype if x_T is None else None)
    return x, None if noise is None else noise.to(model.device, x.dtype)
