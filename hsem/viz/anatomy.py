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
    shapes: list[tuple[int, ...]] = []

    def watch(_: nn.Module, __: Any, out: Any) -> None:
        first: Tensor = out[0] if isinstance(out, tuple) else out
        shapes.append(tuple(first.shape[1:]))

    handles = [module.register_forward_hook(watch) for _, _, module in parts]
    try:
        with torch.no_grad():
            unet(torch.zeros(1, *model.image_shape, device=model.device, dtype=model.dtype), 0)
    finally:
        for handle in handles:
            handle.remove()
    sizes = [sum(p.numel() for p in module.parameters()) for _, _, module in parts]
    return [
        {"name": name, "side": side, "shape": shape, "parameters": size}
        for (name, side, _), shape, size in zip(parts, shapes, sizes, strict=True)
    ]


WIDE = 7.2  # inches of the drawing, which are the width of a page


def draw(blocks: list[dict[str, Any]]) -> Any:
    """matplotlib Figure of `measure`'s blocks: height is resolution, width is channels.

    Each block has a column of its own, wide enough for its texts. Skip connections run above the
    blocks, and above the letter h, without crossing it.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    ink = tuple(v / 255 for v in INK[:3])
    colours = {"down": ENCODER, "middle": BOTTLENECK, "up": DECODER, "edge": EDGE}
    figure, axes = plt.subplots(figsize=(WIDE, 3.2))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    column = 1.0 / len(blocks)
    most = max(log2(b["shape"][0] + 1) for b in blocks)
    highest = max(log2(b["shape"][1]) for b in blocks)
    size = min(9.0, 95.0 / len(blocks))  # points: many blocks have narrow columns
    tops: dict[str, tuple[float, float]] = {}
    for k, block in enumerate(blocks):
        channels, height, width = block["shape"]
        middle = (k + 0.5) * column
        w = column * (0.2 + 0.55 * log2(channels + 1) / most)
        tall = 0.36 * max(0.12, (log2(height) - 1) / max(highest - 1, 1))
        axes.add_patch(
            Rectangle(
                (middle - w / 2, 0.42 - tall / 2), w, tall, color=colours[block["side"]], alpha=0.85
            )
        )
        tops[block["name"]] = (middle, 0.42 + tall / 2)
        count = f"{block['parameters'] / 1e6:.2f} M"
        lines = [block["name"].replace("_", " "), f"{channels}×", f"{height}×{width}"]
        lines += [count] if count != "0.00 M" else []
        for n, text in enumerate(lines):
            axes.text(middle, 0.2 - 0.052 * n, text, ha="center", va="top", color=ink, size=size)
    downs = [b["name"] for b in blocks if b["side"] == "down"]
    ups = [b["name"] for b in blocks if b["side"] == "up"]
    x, top = tops["middle"]
    axes.annotate(
        "h", (x, top), (x, top + 0.16), ha="center", va="center", color=BOTTLENECK, size=15,
        weight="bold", arrowprops={"arrowstyle": "-|>", "color": BOTTLENECK},
    )  # fmt: skip
    pairs = [(tops[d], tops[u]) for d, u in zip(downs, reversed(ups), strict=False)]
    for n, ((x1, y1), (x2, y2)) in enumerate(pairs):  # the outermost first
        level = 0.97 - 0.26 * n / max(len(pairs), 1)
        axes.plot([x1, x1, x2], [y1 + 0.01, level, level], color=ink, lw=0.8, ls="--")
        axes.annotate(
            "", (x2, y2 + 0.005), (x2, level),
            arrowprops={"arrowstyle": "-|>", "color": ink, "lw": 0.8, "ls": "--"},
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(-0.03, 1))
    axes.axis("off")
    figure.patch.set_alpha(0)
    return figure


def describe(model: HSpaceUNet, blocks: list[dict[str, Any]]) -> str:
    """The drawing in words."""
    chain = ", ".join(
        f"{b['name']} {'×'.join(map(str, b['shape']))}" for b in blocks if b["side"] != "edge"
    )
    return f"The U-Net of {model.name}, block by block with the shape of its output: {chain}"
