"""Watching the middle block of a network while a pipeline that knows nothing of it runs.

The network is left as it was when a block ends, however it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock, get_ident, local
from typing import Any

import torch
from torch import Tensor, nn

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
    net = unet.unet if isinstance(unet, HSpaceUNet) else unet
    while not hasattr(net, "mid_block") and isinstance(getattr(net, "module", None), nn.Module):
        net = net.module  # of DataParallel and its kind
    middle = getattr(net, "mid_block", None)
    if not isinstance(middle, nn.Module):
        raise TypeError(
            f"unet is a {type(net).__name__} without a mid_block, hence without h; give the "
            "pipeline's network, for example pipeline.unet"
        )
    current = local()  # .t is the timestep, while the network runs in this thread
    mine = get_ident()
    ran: set[str] = set()

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = kwargs["timestep"] if "timestep" in kwargs else args[1]
        current.t = _one_timestep(given)
        ran.add("network")
        if half is not None:
            _check_doubled(kwargs["sample"] if "sample" in kwargs else args[0], half)

    def after(_: nn.Module, __: tuple[Any, ...], h: Tensor) -> Tensor | None:
        if getattr(current, "t", None) is None:  # called by hand, for example by model.encode
            if get_ident() != mine:  # by a thread that knows nothing of this block
                return None
            raise RuntimeError(
                "the middle block ran outside of its network, so the timestep is unknown; hooks "
                "are for stock pipelines, with encode and decode use hsem.sample(edit=...)"
            )
        ran.add("middle")
        return use(current.t, h)

    def done(*_: Any) -> None:
        current.t = None

    handles = [
        net.register_forward_pre_hook(before, with_kwargs=True),
        middle.register_forward_hook(after),
        net.register_forward_hook(done, always_call=True),
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


class _AsWritten:
    """Compiled networks run as they are written: what was compiled before knows no hook of ours.

    One for all blocks, as they may end in another order than they began, or in other threads:
    the first sets torch's stance, the last restores it. The lock may be taken twice by a thread:
    a dropped generator with a block in it is closed whenever Python collects it, here as well.
    """

    def __init__(self) -> None:
        self.lock, self.blocks, self.stance = RLock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        if "torch._dynamo" not in sys.modules:  # nothing is compiled, and its import takes a second
            yield
            return
        with self.lock:
            if not self.blocks:
                self.stance.enter_context(torch.compiler.set_stance("force_eager"))
            self.blocks += 1
        try:
            yield
        finally:
            with self.lock:
                self.blocks -= 1
                if not self.blocks:
                    self.stance.close()


_as_written = _AsWritten()


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
