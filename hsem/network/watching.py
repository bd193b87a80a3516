"""Watching the middle block of a network while a pipeline that knows nothing of it runs.

The network is left as it was when a block ends, however it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from threading import get_ident, local
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks import Shared
from .unet import HSpaceUNet

HALVES = (None, "unconditional", "conditional")  # in the order of diffusers' batches


@contextmanager
def watched(
    unet: nn.Module | HSpaceUNet, use: Callable[[int, Tensor], Tensor | None], half: str | None
) -> Iterator[None]:
    """Call `use(t, h)` after each run of the middle block; what it returns replaces h.

    Raises
    ------
    RuntimeError
        At the end of the block, if the middle block never ran in it.
    """
    if half not in HALVES:
        raise ValueError(f"half={half!r} is unknown; choose one of {HALVES}")
    net = _unwrapped(unet.unet if isinstance(unet, HSpaceUNet) else unet)
    middle = getattr(net, "mid_block", None)
    if not isinstance(middle, nn.Module):
        raise TypeError(
            f"unet is a {type(net).__name__} without a mid_block, hence without h; give the "
            "pipeline's network, for example pipeline.unet"
        )
    current = local()  # .t is the timestep of a call of the network in this thread, .call its frame
    mine = get_ident()
    ran: set[str] = set()

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = kwargs["timestep"] if "timestep" in kwargs else args[1]
        current.t, current.call = _one_timestep(given), sys._getframe(1)
        ran.add("network")
        if half is not None:
            _check_doubled(kwargs["sample"] if "sample" in kwargs else args[0], half)

    def after(_: nn.Module, __: tuple[Any, ...], h: Tensor) -> Tensor | None:
        if not _is_running(getattr(current, "call", None)):  # called by hand, as by model.encode
            if get_ident() != mine:  # by a thread that knows nothing of this block
                return None
            raise RuntimeError(
                "the middle block ran outside of its network, so the timestep is unknown; hooks "
                "are for stock pipelines, with encode and decode use hsem.sample(edit=...)"
            )
        ran.add("middle")
        return use(current.t, h)

    def done(*_: Any) -> None:
        current.call = None

    handles = [
        net.register_forward_pre_hook(_Hook(before), with_kwargs=True),
        middle.register_forward_hook(_Hook(after)),
        net.register_forward_hook(_Hook(done), always_call=True),
    ]
    try:
        with _as_written():
            yield
    finally:
        for handle in handles:
            handle.remove()
    if "middle" not in ran:
        raise RuntimeError(
            "h was never met: the network was called within the block, but it does not run its "
            "middle block as a module; an exported or traced network cannot be watched, give the "
            "one that it was made of"
            if ran
            else "h was never met: the network was not called within the block; run the pipeline "
            "inside it, and give the network that the pipeline really uses (pipeline.unet)"
        )


_eager = Shared(lambda: torch.compiler.set_stance("force_eager"))


def _as_written() -> AbstractContextManager[None]:
    """Compiled networks run as they are written: what was compiled before knows no hook of ours."""
    # else nothing is compiled, and the import takes a second
    return _eager() if "torch._dynamo" in sys.modules else nullcontext()


class _Hook(partial[Any]):
    """A hook that stays where it is: in a copy of the network nobody would ever remove it."""

    def __deepcopy__(self, memo: Any) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any) -> None:
    pass


def _is_running(call: FrameType | None) -> bool:
    """Whether a call is among our callers; after Ctrl-C torch does not run the hook for its end."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is not None


def _unwrapped(net: Any) -> Any:
    """The network itself, of what `torch.compile`, DataParallel and their kind make of it."""
    while True:
        inner = getattr(net, "_orig_mod", None)
        if inner is None and not hasattr(net, "mid_block"):
            inner = getattr(net, "module", None)
        if not isinstance(inner, nn.Module):
            return net
        net = inner


def _one_timestep(given: Any) -> int:
    """The timestep of a call; diffusers passes numbers, or tensors with one entry per sample."""
    if not isinstance(given, Tensor):
        given = torch.tensor(given, dtype=torch.float64, device="cpu")
    values = given.flatten().unique()
    if len(values) != 1:
        raise ValueError(
            f"the samples of one call are at different timesteps, {values.tolist()}; "
            "one step index cannot stand for them"
        )
    return round(float(values))


def rows_of(half: str | None, h: Tensor) -> slice:
    """Which rows of h are meant by `half`."""
    b = len(h) // 2
    return {None: slice(None), "unconditional": slice(b), "conditional": slice(b, None)}[half]


def _check_doubled(x: Tensor, half: str) -> None:
    """Guidance gives the network every noisy image twice; nothing else looks like that."""
    b = len(x) // 2
    if len(x) % 2 or not torch.equal(x[:b], x[b:]):
        raise ValueError(
            f"half={half!r} is for classifier-free guidance, but the {len(x)} images of this call "
            "are not one batch twice; run the pipeline with guidance (guidance_scale above 1), or "
            "leave half out"
        )
