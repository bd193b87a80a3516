"""The loss, and the precision and memory layout in which it is calculated.

The network predicts v = sqrt(alpha_bar) n - sqrt(1 - alpha_bar) x0 (Salimans and Ho, 2022): with
uniform weight its loss stays sane at every noise level, which a small budget needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .data import Batch
from .levels import Inner, Level

Network = Callable[..., Any]


def half_precision(device: torch.device) -> bool:
    """Whether bfloat16 is calculated by the hardware.

    A processor without it imitates it: one tenth of the speed of float32 was measured.
    """
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def layout(device: torch.device) -> torch.memory_format:
    """The memory layout that convolutions are fastest in: channels last goes with bfloat16."""
    return torch.channels_last if half_precision(device) else torch.contiguous_format


def placed(net: Inner, device: torch.device) -> Inner:
    """The network on its device, in its fastest layout."""
    net.unet.to(memory_format=layout(device))  # type: ignore[call-overload]
    return net.to(device)


def predict(net: Network, x: Tensor, t: Tensor, *skips: Any) -> Tensor:
    """v in float32, calculated in the precision that is fastest here."""
    device = x.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half_precision(device)):
        return net(x.contiguous(memory_format=layout(device)), t, *skips).float()


def v_loss(net: Network, batch: Batch, level: Level, exchanged: bool = False) -> Tensor:
    """Mean squared error of v (n,), each sample its own noise level."""
    x0, t, noise, keep = batch
    skips = () if keep is None else (keep, exchanged)
    out = predict(net, level.noisy(x0, noise, t), t, *skips)
    return (out - level.v(x0, noise, t)).pow(2).mean((1, 2, 3))
