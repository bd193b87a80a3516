"""What a computation will take, before it starts: seconds and memory of one network run."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import torch

from .memory import peak_bytes
from .unet import HSpaceUNet


class RunCost(NamedTuple):
    """One picture through the network once.

    seconds : of wall time
    bytes : alive at once beyond the weights, as `memory.peak_bytes` counts
    """

    seconds: float
    bytes: int


def run_cost(model: HSpaceUNet, *, batch_size: int = 1, repeats: int = 2) -> RunCost:
    """Measure one run per picture, at a batch size, after one run to warm up.

    Parameters
    ----------
    batch_size : pictures at once; a GPU takes less time for each if there are several
    repeats : runs, of which the fastest counts
    """
    if batch_size < 1 or repeats < 1:
        raise ValueError(f"batch_size and repeats must be 1 or more, got {batch_size}, {repeats}")
    x = torch.zeros(batch_size, *model.image_shape, device=model.device, dtype=model.outer_dtype)

    @torch.no_grad()
    def run() -> None:
        model.predict(*model.encode(x, 500))
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)

    peak = peak_bytes(run)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return RunCost(min(times) / batch_size, peak // batch_size)


def free_bytes(device: str | torch.device) -> int:
    """Memory that is free on a device; 4 GB where the system does not tell."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows, nor on a Mac
        return int(4e9)


def batch_that_fits(each: int, free: int) -> int:
    """Pictures at once, 1 to 64, so that 60 % of the free memory is enough.

    The rest is for what is not counted: workspaces, fragments, other programs.

    Parameters
    ----------
    each, free : bytes of one picture, and in all

    Examples
    --------
    >>> batch_that_fits(each=1_000_000_000, free=15_000_000_000)
    9
    """
    if each < 1 or free < 0:
        raise ValueError(f"need each >= 1 and free >= 0, got {each} and {free}")
    return max(1, min(64, int(0.6 * free) // each))


def duration(runs: float, seconds: float) -> str:
    """Words for how long so many network runs take, at so many seconds for each.

    Examples
    --------
    >>> duration(5000, 0.12)
    'about 10 minutes'
    >>> duration(40, 0.12)
    'about 5 seconds'
    """
    if runs < 0 or seconds < 0:
        raise ValueError(f"runs and seconds must not be negative, got {runs} and {seconds}")
    total = runs * seconds
    for unit, length in (("hour", 3600.0), ("minute", 60.0), ("second", 1.0)):
        if total >= 1.5 * length or unit == "second":
            n = max(1, round(total / length))
            return f"about {n} {unit}{'s' if n > 1 else ''}"
    raise AssertionError
