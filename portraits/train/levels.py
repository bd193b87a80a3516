"""Progressive growing: the inner levels of a UNet learn small pictures before the whole learns.

Averaging a noisy 64x64 picture over 2x2 pixels gives a 32x32 picture with the same signal and half
the noise. So a network that denoises the small picture, told the *same* timestep and fed noise of
half the strength, does exactly the work that the inner levels of the large network have to do, and
it does it several times faster per picture. `Inner` is that small network: a view of the UNet's own
blocks from level `level` inwards, between a provisional stem and head. `grow` then sets the next
level out so that it hands the inner blocks what the stem gave them, and nothing learned is lost
(after Karras et al., "Progressive Growing of GANs", 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from .draws import uniform


class Inner(nn.Module):
    """The levels of a `UNet2DModel` from `level` inwards, as a network of their own.

    Level 0 is the whole network, unchanged. The view shares its parameters with `unet`; only `stem`
    and `head` are its own.
    """

    def __init__(self, unet: UNet2DModel, level: int) -> None:
        super().__init__()
        channels = unet.config.block_out_channels
        if not 0 <= level < len(channels) - 1:
            raise ValueError(f"level={level} is not one of 0..{len(channels) - 2} of this network")
        self.unet, self.level = unet, level
        if level:
            self.stem = nn.Conv2d(3, channels[level - 1], 1)
            self.head = nn.Sequential(
                nn.GroupNorm(unet.config.norm_num_groups, channels[level]),
                nn.SiLU(),
                nn.Conv2d(channels[level], 3, 3, padding=1),
            )

    def forward(
        self, x: Tensor, t: Tensor, keep: Tensor | None = None, exchanged: bool = False
    ) -> Tensor:
        """Prediction of v for x (n, 3, s, s), s the side of this level; t (n,).

        `keep` (n, levels of the whole network) holds a zero where a picture's skip connections of a
        level are cut off, or, if `exchanged`, come from the picture beside it (n even; pictures
        2i and 2i + 1 are a pair); see `skip_dropout`.
        """
        unet, n = self.unet, len(self.unet.down_blocks)
        emb = unet.time_embedding(unet.time_proj(t).to(x.dtype))
        h = self.stem(x) if self.level else unet.conv_in(x)
        skips, depth = [h], [self.level]
        for level in range(self.level, n):
            h, new = unet.down_blocks[level](h, emb)
            skips += new
            # the last map of a level but the deepest has been halved: it lives one level in
            depth += [level] * (len(new) - 1) + [min(level + 1, n - 1)]
        if keep is not None:
            skips = [
                torch.where(keep[:, d].view(-1, 1, 1, 1) > 0, skip, _instead(skip, exchanged))
                for skip, d in zip(skips, depth, strict=True)
            ]
        h = unet.mid_block(h, emb)
        blocks = unet.up_blocks[: n - self.level]
        for block in blocks[:-1] if self.level else blocks:
            own, skips = skips[-len(block.resnets) :], skips[: -len(block.resnets)]
            h = block(h, tuple(own), emb)
        if not self.level:
            return unet.conv_out(unet.conv_act(unet.conv_norm_out(h)))
        attentions = getattr(blocks[-1], "attentions", None) or [None] * len(blocks[-1].resnets)
        for resnet, attention in zip(blocks[-1].resnets, attentions, strict=True):
            # the last level, without its upsampler
            h = resnet(torch.cat([h, skips.pop()], 1), emb)
            h = h if attention is None else attention(h)
        return self.head(h)

    def parameters_in_use(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters on the way of a picture through this view."""
        if not self.level:
            yield from self.named_parameters()
            return
        n = len(self.unet.up_blocks)
        unused = (
            "unet.conv_in", "unet.conv_norm_out", "unet.conv_out",
            *(f"unet.down_blocks.{i}." for i in range(self.level)),
            *(f"unet.up_blocks.{n - 1 - i}." for i in range(self.level)),
            f"unet.up_blocks.{n - 1 - self.level}.upsamplers",
        )  # fmt: skip
        yield from ((k, p) for k, p in self.named_parameters() if not k.startswith(unused))

    def outer(self) -> set[str]:
        """Names of the parameters that the next level in has never trained."""
        new = (
            "stem.", "head.", "unet.conv_in", "unet.conv_norm_out", "unet.conv_out",
            f"unet.down_blocks.{self.level}.",
            f"unet.up_blocks.{len(self.unet.up_blocks) - 1 - self.level}.",
            f"unet.up_blocks.{len(self.unet.up_blocks) - 2 - self.level}.upsamplers",
        )  # fmt: skip
        return {name for name, _ in self.named_parameters() if name.startswith(new)}


def skip_dropout(
    n: int, levels: int, p: float, generator: torch.Generator, finest: int = 1
) -> Tensor:
    """Which skip connections to keep, (n, levels): zeros with probability p, ones elsewhere.

    A small network lets the skip connections carry what a picture is of, because they are the short
    way, and its bottleneck then has little to say. One that cannot rely on them learns to send it
    through the bottleneck. The connections of the `finest` levels, which carry detail, are kept.
    """
    keep = (uniform(generator, n, levels) >= p).float()
    keep[:, :finest] = 1
    return keep


def skip_exchange(n: int, levels: int, p: float, generator: torch.Generator) -> Tensor:
    """Which skip connections to keep, (n, levels), where the others come from another picture.

    A quarter of the pairs keep all of theirs. In the others each level of each picture is exchanged
    with probability p. A connection that is cut is zero, which a network notices: it may look at h
    only then. One that brings another picture looks like any other. If both pictures of a pair were
    made noisy by the same noise, the skip connections still tell the noise, even those of the
    finest level, and what the picture is of is for h to say.
    """
    keep = (uniform(generator, n, levels) >= p).float()
    left_alone = uniform(generator, n // 2, 1) < 0.25
    return torch.maximum(keep, left_alone.float().repeat_interleave(2, 0))


def _instead(skip: Tensor, exchanged: bool) -> Tensor:
    """What stands in for a skip connection: nothing, or that of the other picture of the pair."""
    if not exchanged:
        return torch.zeros_like(skip)
    return skip.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


@torch.no_grad()
def grow(inner: Inner) -> Inner:
    """The view one level further out, its new encoder handing on what the old stem did.

    The new level starts as a plain wire: colours pass its residual block unchanged (the block's
    last convolution is zero), and its strided convolution averages 2x2 pixels and applies the old
    stem. Its decoder is left as it is, to be learned.
    """
    level = inner.level - 1
    wider = Inner(inner.unet, level)
    block = inner.unet.down_blocks[level]
    first = wider.stem if level else inner.unet.conv_in
    _wire(first, 3)
    for resnet in block.resnets:
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)
        if resnet.conv_shortcut is not None:
            _wire(resnet.conv_shortcut, 3)
    down = block.downsamplers[0].conv
    nn.init.zeros_(down.weight)
    # Stride 2 with padding 1: taps 1 and 2 of 3 fall on the two pixels of a 2x2 cell.
    down.weight[:, :3, 1:, 1:] = inner.stem.weight / 4
    down.bias.copy_(inner.stem.bias)
    return wider


def _wire(conv: nn.Conv2d, n: int) -> None:
    """Make the first n outputs copies of the first n inputs."""
    assert conv.bias is not None
    conv.weight[:n] = 0
    conv.bias[:n] = 0
    middle = conv.kernel_size[0] // 2
    for i in range(n):
        conv.weight[i, i, middle, middle] = 1


class Level(NamedTuple):
    """The diffusion of the full picture, seen through 2**level-fold averaging."""

    alpha: Tensor
    sigma: Tensor

    def noisy(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t, not normalised: the average of the large noisy picture."""
        return _at(self.alpha, t) * x0 + _at(self.sigma, t) * noise

    def v(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Velocity of the normalised small picture; at level 0 the usual v."""
        a, s = _at(self.alpha, t), _at(self.sigma, t)
        return (a * noise - s * x0) / (a * a + s * s).sqrt()

    def split(self, x: Tensor, v: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x0 and noise from x_t and v."""
        a, s = _at(self.alpha, t), _at(self.sigma, t)
        c = (a * a + s * s).sqrt()
        a, s, x = a / c, s / c, x / c
        return a * x - s * v, s * x + a * v


def level_noise(alpha_bar: Tensor, level: int) -> Level:
    """The noise schedule seen at `level`: averaging halves the noise once per level."""
    return Level(alpha_bar.sqrt(), (1 - alpha_bar).sqrt() / 2**level)


def _at(values: Tensor, t: Tensor) -> Tensor:
    return values[t].view(-1, 1, 1, 1)
