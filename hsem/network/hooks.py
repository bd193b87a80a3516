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
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.schedule import Schedule, checked_timesteps
from ..directions.edits import Edit, GridEdit
from .unet import HSpaceUNet


@dataclass
class HRecord:
    """The bottleneck at every call of a network, in the order of the calls.

    timesteps : the training timestep of each call
    h : what the middle block returned, (b, C, h, w) each, detached, on the CPU
    """

    timesteps: list[int] = field(default_factory=list)
    h: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.h)

    @property
    def h_seq(self) -> Tensor:
        """All calls of one sampling run as (b, T, C, h, w), index 0 is the noisiest."""
        if not self.h:
            raise RuntimeError("nothing was recorded yet; run the pipeline inside the `with` block")
        try:
            checked_timesteps(self.timesteps)
        except ValueError as error:
            raise ValueError(
                "the calls are not one sampling run, from noisy to clean with one call a step: "
                f"they came at timesteps {self.timesteps}; record one run at a time, or use .h"
            ) from error
        return torch.stack(self.h, dim=1)


@contextmanager
def record_h(unet: nn.Module | HSpaceUNet) -> Iterator[HRecord]:
    """Record h at every call of `unet` within the block.

    Parameters
    ----------
    unet : a diffusers network with a `mid_block`, such as `UNet2DModel` or
        `UNet2DConditionModel`, or an `HSpaceUNet`

    Raises
    ------
    RuntimeError
        At the end of the block, if the network was never called in it.

    Notes
    -----
    Hooks run in the order in which their blocks were opened: a recorder around an `edit_h` sees h
    before the edit, one within it sees h after the edit.
    """
    record = HRecord()

    def keep(t: int, h: Tensor) -> None:
        record.timesteps.append(t)
        record.h.append(h.detach().to("cpu", copy=True))

    with _watched(unet, keep):
        yield record
    if not record.h:
        raise RuntimeError(_never("record_h"))


@contextmanager
def edit_h(
    unet: nn.Module | HSpaceUNet,
    edit: Edit,
    timesteps: Schedule | Iterable[int] | None = None,
) -> Iterator[None]:
    """Apply `edit` to h at every call of `unet` within the block.

    Parameters
    ----------
    unet : as for `record_h`
    edit : (step index, h) -> h, see `hsem.edits`
    timesteps : which training timestep is which step index, noisiest first; may be left out for
        edits made from a `Direction`, which knows its own

    Raises
    ------
    ValueError
        If the timesteps are not known, or the network is called at another one.
    RuntimeError
        At the end of the block, if the network was never called in it.
    """
    index = {t: i for i, t in enumerate(_grid_of(edit, timesteps))}
    calls = 0

    def apply(t: int, h: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if t not in index:
            raise ValueError(
                f"the network was called at timestep {t}, but the edit was made for "
                f"{len(index)} steps at {tuple(index)}; run the pipeline with that many steps "
                "and the same spacing, or bring the direction to its grid with resampled()"
            )
        return edit(index[t], h)

    with _watched(unet, apply):
        yield
    if not calls:
        raise RuntimeError(_never("edit_h"))


# ------------------------------------------------------------------------------------- details


@contextmanager
def _watched(unet: nn.Module | HSpaceUNet, use: Any) -> Iterator[None]:
    """Call `use(t, h)` after each run of the middle block; what it returns replaces h."""
    net = unet.unet if isinstance(unet, HSpaceUNet) else unet
    middle = getattr(net, "mid_block", None)
    if not isinstance(middle, nn.Module):
        raise TypeError(
            f"unet is a {type(net).__name__} without a mid_block, hence without h; give the "
            "pipeline's network, for example pipeline.unet"
        )
    current: list[int] = []  # a stack: a network may be called from within another's hook

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = kwargs["timestep"] if "timestep" in kwargs else args[1]
        current[:] = [_one_timestep(given)]

    def after(_: nn.Module, __: tuple[Any, ...], h: Tensor) -> Tensor | None:
        if not current:  # the middle block was called by hand, for example by model.encode
            raise RuntimeError(
                "the middle block ran outside of its network, so the timestep is unknown; hooks "
                "are for stock pipelines, with encode and decode use hsem.sample(edit=...)"
            )
        return use(current[0], h)

    handles = [
        net.register_forward_pre_hook(before, with_kwargs=True),
        middle.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _one_timestep(given: Any) -> int:
    """The timestep of a call; diffusers passes numbers, or tensors with one entry per sample."""
    values = torch.as_tensor(given).flatten().unique()
    if len(values) != 1:
        raise ValueError(
            f"the samples of one call are at different timesteps, {values.tolist()}; "
            "one step index cannot stand for them"
        )
    return int(values)


def _grid_of(edit: Edit, timesteps: Schedule | Iterable[int] | None) -> tuple[int, ...]:
    own = edit.timesteps if isinstance(edit, GridEdit) else None
    if timesteps is None:
        if own is None:
            raise ValueError(
                "timesteps is needed for this edit: it counts steps, the network knows only "
                "timesteps; pass those of the run, for example pipeline.scheduler.timesteps"
            )
        return own
    if isinstance(timesteps, Schedule):
        grid = timesteps.timesteps
    else:
        grid = checked_timesteps(int(t) for t in timesteps)
    if own is not None and own != grid:
        raise ValueError(
            f"timesteps={grid} are not those the edit was made for, {own}; leave them out, or "
            "use direction.resampled(...)"
        )
    return grid


def _never(name: str) -> str:
    return (
        f"{name} never fired: the network was not called within the block; run the pipeline "
        "inside it, and give the network that the pipeline really uses (pipeline.unet)"
    )
