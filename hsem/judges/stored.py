"""A judge in a folder: its weights in half precision, and a card that says how it is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..files import as_json, make_folder, read_tensors, replacing, save_tensors
from ..network.models import drawn_from
from ..reading import checked, read_json, refusing

Net = TypeVar("Net", bound=nn.Module)
WEIGHTS = "model.safetensors"
SIDE = 64  # pixels of the portraits that these judges know


def block(into: int, out: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation and ReLU, twice."""
    layers: list[nn.Module] = []
    for a, step in ((into, stride), (out, 1)):
        layers += [nn.Conv2d(a, out, 3, step, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return layers


def known(images: Tensor, weight: Tensor) -> Tensor:
    """Portraits (n, 3, 64, 64) as a network with this weight takes them, or a ValueError."""
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, SIDE, SIDE):
        raise ValueError(
            f"images must have shape (n, 3, {SIDE}, {SIDE}) in [-1, 1], got {tuple(images.shape)}; "
            "this judge knows rendered portraits only"
        )
    return images.to(weight)


def save(folder: str | Path, net: nn.Module, name: str, card: dict[str, Any]) -> None:
    """Write the weights, and the card as JSON under this name."""
    folder = make_folder(folder, "folder")
    state = net.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_tensors(folder / WEIGHTS, halves, {})
    with replacing(folder / name) as part:
        part.write_text(as_json(card, indent=1) + "\n", encoding="utf-8")


def load(
    folder: str | Path, what: str, name: str, build: Callable[[dict[str, Any]], Net],
    device: str | torch.device,
) -> Net:  # fmt: skip
    """What `save` wrote, frozen and in evaluation mode; OSError if the folder does not hold it.

    Parameters
    ----------
    what : is expected, for messages
    build : makes the network of a card, without weights; called twice
    """
    folder = Path(folder)
    with refusing(folder, what, f"give one with {name} and {WEIGHTS} of its save", OSError):
        card = read_json(folder / name, finite=False)  # what was measured may be NaN
        weights, _ = read_tensors(folder / WEIGHTS)
        with torch.device("meta"):  # shapes only: a width from a stranger may ask for any memory
            empty = build(card).state_dict()
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in empty.items()}:
            raise ValueError(f"the weights do not fit {name}")
        with drawn_from(0):  # and replaced at once
            net = build(card)
        floats = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        net.load_state_dict(floats)
        for key, value in (*floats.items(), *net.named_buffers()):
            checked(key, value, *value.shape, kinds="fib")
    return net.eval().requires_grad_(False).to(device, torch.float32)
