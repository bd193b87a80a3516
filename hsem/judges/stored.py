"""A judge in a folder: its weights in half precision, and a card that says how it is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..files import make_folder, read_tensors, replacing, save_tensors
from ..reading import checked, refusing

Net = TypeVar("Net", bound=nn.Module)
WEIGHTS = "model.safetensors"


def save(folder: str | Path, net: nn.Module, name: str, card: dict[str, Any]) -> None:
    """Write the weights, and the card as JSON under this name."""
    folder = make_folder(folder, "folder")
    state = net.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_tensors(folder / WEIGHTS, halves, {})
    with replacing(folder / name) as part:
        part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


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
        card = json.loads((folder / name).read_text(encoding="utf-8"))
        weights, _ = read_tensors(folder / WEIGHTS)
        with torch.device("meta"):  # shapes only: a width from a stranger may ask for any memory
            empty = build(card).state_dict()
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in empty.items()}:
            raise ValueError(f"the weights do not fit {name}")
        net = build(card)
        floats = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        net.load_state_dict(floats)
        for key, value in (*floats.items(), *net.named_buffers()):
            checked(key, value, *value.shape, kinds="fib")
    return net.eval().requires_grad_(False).to(device, torch.float32)
