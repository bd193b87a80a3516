"""Reading and editing h inside *stock* diffusers pipelines, which do not know this package.

    with record_h(pipeline.unet) as record:
        pipeline(num_inference_steps=25)
    record.h_seq                                    # (b, 25, C, h, w)

    with edit_h(pipeline.unet, hsem.add(direction)):
        images = pipeline(num_inference_steps=25).images

Both are context managers, so a hook is never left behind on a network. They know the step by the
*timestep* that the network is called with, not by counting calls: a pipeline that calls its
network twice per step, or in an order of its own, is still edited where it should be. Where the
network is yours to call, `hsem.sample` does the same without hooks.

**The grid of a run** is its *different* timesteps, noisiest first, each rounded to the nearest
whole number (Euler and Heun call at 749.25). Samplers of higher order visit a timestep more than
once: PNDM its second, Heun all but the first. Row i of an edit acts at timestep i of the grid, at
every visit; `h_seq` keeps the last visit, the earlier ones being probes that the sampler corrects.

**Classifier-free guidance** runs both predictions as one batch of 2b rows, first the
unconditional half, then the conditional one. `half="conditional"` records, or edits, b rows of
them; by default all 2b rows are meant. To edit each half in its own way, open two `edit_h`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..diffusion.schedule import Schedule, checked_timesteps
from ..directions.edits import Edit, GridEdit
from .unet import HSpaceUNet
from .watching import rows_of, watched


@dataclass
class HRecord:
    """The bottleneck at every call of a network, in the order of the calls.

    timesteps : the training timestep of each call, rounded to a whole number
    h : what the middle block returned, (b, C, h, w) each, detached, on the CPU
    """

    timesteps: list[int] = field(default_factory=list)
    h: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.h)

    @property
    def grid(self) -> tuple[int, ...]:
        """The T different timesteps of one sampling run, noisiest first: those of `h_seq`."""
        if not self.h:
            raise RuntimeError("nothing was recorded yet; run the pipeline inside the `with` block")
        try:
            grid = _distinct(self.timesteps)
            if len(grid) == 1 < len(self.h):
                raise ValueError("several calls at one timestep: several runs of one step each?")
        except ValueError as error:
            raise ValueError(
                "the calls are not one sampling run, from noisy to clean: they came at timesteps "
                f"{self.timesteps}; record one run at a time, or use .h"
            ) from error
        return grid

    @property
    def h_seq(self) -> Tensor:
        """One sampling run as (b, T, C, h, w): h at the last visit to each timestep of `grid`."""
        last = dict(zip(self.timesteps, self.h, strict=True))
        kept = [last[t] for t in self.grid]
        if len({h.shape for h in kept}) > 1:
            raise ValueError(
                "h changed its shape during the run, from "
                f"{tuple(kept[0].shape)} to {tuple(kept[-1].shape)}: guidance that stops half-way? "
                "use .h, or record one half of the batch"
            )
        return torch.stack(kept, dim=1)


@contextmanager
def record_h(unet: nn.Module | HSpaceUNet, half: str | None = None) -> Iterator[HRecord]:
    """Record h at every call of `unet` within the block.

    Parameters
    ----------
    unet : a diffusers network with a `mid_block`, such as `UNet2DModel` or
        `UNet2DConditionModel`, or an `HSpaceUNet`
    half : None records all rows; "conditional" or "unconditional" one half of a batch that was
        doubled for classifier-free guidance

    Raises
    ------
    RuntimeError
        At the end of the block, if the network was never called in it.
    ValueError
        During the run, if `half` is given and the batch was not doubled.

    Notes
    -----
    Hooks run in the order in which their blocks were opened: a recorder around an `edit_h` sees h
    before the edit, one within it sees h after the edit. Within the blocks, networks treated with
    `torch.compile` run uncompiled. Calls of the network by other threads count; `hsem.sample` in
    another thread, which calls the halves of the network one by one, is left alone, and so are
    copies (`copy.deepcopy`) made within the blocks.
    """
    record = HRecord()

    def keep(t: int, h: Tensor) -> None:
        record.timesteps.append(t)
        record.h.append(h[rows_of(half, h)].detach().to("cpu", copy=True))

    with watched(unet, keep, half):
        yield record


@contextmanager
def edit_h(
    unet: nn.Module | HSpaceUNet,
    edit: Edit,
    timesteps: Schedule | Iterable[float] | None = None,
    half: str | None = None,
) -> Iterator[None]:
    """Apply `edit` to h at every call of `unet` within the block.

    Parameters
    ----------
    unet : as for `record_h`
    edit : (step index, h) -> h, such as `hsem.add(direction)`
    timesteps : those of the run, noisiest first, for example `pipeline.scheduler.timesteps` after
        `set_timesteps(T)`; row i of the edit acts at the i-th different one. May be left out for
        edits made from a `Direction`, which knows its own.
    half : as for `record_h`; `edit` is given that half alone

    Raises
    ------
    ValueError, RuntimeError
        As for `record_h`; and if the timesteps are not known or do not fit the edit, or the
        network is called at another one.
    """
    index = {t: i for i, t in enumerate(_grid_of(edit, timesteps))}

    def apply(t: int, h: Tensor) -> Tensor:
        if t not in index:
            raise ValueError(
                f"the network was called at timestep {t}, but the edit was made for "
                f"{len(index)} steps at {tuple(index)}; run the pipeline with that many steps "
                "and the same spacing, or bring the direction to its grid with resampled()"
            )
        if half is None:
            return edit(index[t], h).to(h)
        out = h.clone()
        out[rows_of(half, h)] = edit(index[t], h[rows_of(half, h)])
        return out

    with watched(unet, apply, half):
        yield


# ------------------------------------------------------------------------------------- details


def _distinct(timesteps: Iterable[float]) -> tuple[int, ...]:
    """The grid of a run: whole timesteps, each once; ValueError unless they come descending."""
    try:
        given = [round(float(t)) for t in timesteps]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            "timesteps must be numbers in descending order, such as pipeline.scheduler.timesteps, "
            f"got {timesteps!r}"
        ) from None
    return checked_timesteps(
        t for t, before in zip(given, [None, *given], strict=False) if t != before
    )


def _grid_of(edit: Edit, timesteps: Schedule | Iterable[float] | None) -> tuple[int, ...]:
    own, steps = (edit.timesteps, edit.steps) if isinstance(edit, GridEdit) else (None, None)
    if timesteps is None:
        if own is None:
            raise ValueError(
                "timesteps is needed for this edit: it counts steps, the network knows only "
                "timesteps; call pipeline.scheduler.set_timesteps(T) and pass "
                "timesteps=pipeline.scheduler.timesteps"
            )
        return own
    grid = _distinct(timesteps.timesteps if isinstance(timesteps, Schedule) else timesteps)
    if own is not None and own != grid:
        raise ValueError(
            f"timesteps are {grid}, but the edit was made for {own}; leave them out, or use "
            f"direction.resampled({grid})"
        )
    if steps is not None and steps != len(grid):
        raise ValueError(
            f"the edit holds {steps} steps, but timesteps are {len(grid)} different ones, {grid}; "
            "a timestep that is visited twice has one row, and so have those that round to one "
            "whole number, as of many Karras sigmas: make the edit for these, or take fewer steps"
        )
    return grid
