"""A drawing of a model's U-Net, made from the module tree and the shapes that flow through it."""

from __future__ import annotations

from math import log2
from typing import Any

import torch
from torch import Tensor, nn

from ..network.unet import HSpaceUNet
from .picture import INK

ENCODER, BOTTLENECK, DECODER, EDGE = "#4c78a8", "#e45756", "#54a24b", "#9d9d9d"


def measure(model: HSpaceUNet) -> list[dict[str, Any]]:
    """What each block of the network returns, in the order in which it runs.

    Returns
    -------
    One dict per block: name, shape (C, h, w) of its output, parameters (a count), and side
    ("down", "middle", "up" or "edge"). Found by running the network once with hooks that are
    taken off again, on one picture of zeros.
    """
    unet = model.unet
    parts: list[tuple[str, str, nn.Module]] = [("conv_in", "edge", unet.conv_in)]
    parts += [(f"down {k}", "down", b) for k, b in enumerate(unet.down_blocks)]
    parts += [("middle", "middle", unet.mid_block)]
    parts += [(f"up {k}", "up", b) for k, b in enumerate(unet.up_blocks)]
    parts += [("conv_out", "edge", unet.conv_out)]
    shapes: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            first: Tensor = out[0] if isinstance(out, tuple) else out
            shapes[name] = tuple(first.shape[1:])

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, _, module in parts]
    try:
        with torch.no_grad():
            unet(torch.zeros(1, *model.image_shape, device=model.device, dtype=model.dtype), 0)
    finally:
        for handle in handles:
            handle.remove()
    return [
        {
            "name": name,
            "side": side,
            "shape": shapes[name],
            "parameters": sum(p.numel() for p in module.parameters()),
        }
        for name, side, module in parts
    ]


def draw(blocks: list[dict[str, Any]]) -> Any:
    """matplotlib Figure of `measure`'s blocks: height is resolution, width is channels."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, Rectangle

    ink = tuple(v / 255 for v in INK[:3])
    colours = {"down": ENCODER, "middle": BOTTLENECK, "up": DECODER, "edge": EDGE}
    figure, axes = plt.subplots(figsize=(9, 3.6))
    left, tops = 0.0, {}
    for block in blocks:
        channels, height, width = block["shape"]
        w, tall = 0.18 + 0.11 * log2(channels + 1), 0.55 * log2(height) - 0.5
        axes.add_patch(
            Rectangle((left, -tall / 2), w, tall, color=colours[block["side"]], alpha=0.85)
        )
        middle = left + w / 2
        tops[block["name"]] = (middle, tall / 2)
        axes.text(middle, -tall / 2 - 0.12, block["name"], ha="center", va="top", color=ink, size=9)
        count = block["parameters"] / 1e6
        text = (
            f"{channels}×{height}×{width}\n{count:.2f} M"
            if count >= 0.01
            else (f"{channels}×{height}×{width}")
        )
        axes.text(middle, -tall / 2 - 0.36, text, ha="center", va="top", color=ink, size=7.5)
        left += w + 0.55
    downs = [b["name"] for b in blocks if b["side"] == "down"]
    ups = [b["name"] for b in blocks if b["side"] == "up"]
    for down, up in zip(downs, reversed(ups), strict=False):
        (x1, y1), (x2, y2) = tops[down], tops[up]
        axes.add_patch(
            FancyArrowPatch(
                (x1, y1 + 0.03),
                (x2, y2 + 0.03),
                connectionstyle="arc3,rad=-0.25",
                arrowstyle="-|>",
                mutation_scale=9,
                color=ink,
                lw=0.8,
                ls="--",
            )
        )
    x, y = tops["middle"]
    axes.annotate(
        "h",
        (x, y),
        (x, y + 0.55),
        ha="center",
        color=BOTTLENECK,
        size=15,
        weight="bold",
        arrowprops={"arrowstyle": "-|>", "color": BOTTLENECK},
    )
    axes.set(xlim=(-0.3, left - 0.2), ylim=(-2.6, 3.0))
    axes.axis("off")
    figure.patch.set_alpha(0)
    return figure


def describe(model: HSpaceUNet, blocks: list[dict[str, Any]]) -> str:
    """The drawing in words."""
    chain = ", ".join(
        f"{b['name']} {'×'.join(map(str, b['shape']))}" for b in blocks if b["side"] != "edge"
    )
    return f"The U-Net of {model.name}, block by block with the shape of its output: {chain}"
