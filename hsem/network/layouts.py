"""Networks of a published layout with random weights: to try code where no weights are at hand."""

from __future__ import annotations

from diffusers import DDPMScheduler, UNet2DModel

from .models import drawn_from
from .unet import HSpaceUNet

RANDOM = "random weights"
WIDTHS = (1, 1, 2, 2, 4, 4)  # of the six levels, in units of the first
FULL = 128  # channels of the first level, as published


def random_network(
    layout: str = "celebahq", *, size: int = 64, channels: int = 8, seed: int = 0
) -> HSpaceUNet:
    """A network with the blocks of a published one and random weights. Its pictures are noise.

    Parameters
    ----------
    layout : "celebahq", that of google/ddpm-ema-celebahq-256 (and of its church and bedroom
        sisters): six levels, attention on the fifth, h 32 times smaller than the picture
    size : side of a picture, a multiple of 32; 256 in the published network
    channels : of the first level, a multiple of 4; 128 in the published network, which with 256
        pixels has 113.67 million weights
    seed : of the weights

    Returns
    -------
    A model whose name begins with "random weights", so that `is_random` knows it. It stands on
    the CPU; `.to(device)` moves it.

    Raises
    ------
    ValueError
        If there is no such layout, or a number does not fit it.

    Examples
    --------
    >>> random_network(size=32, channels=4).h_shape
    (16, 1, 1)
    """
    if layout != "celebahq":
        raise ValueError(f"layout={layout!r} is unknown; there is 'celebahq'")
    if size < 32 or size % 32:
        raise ValueError(f"size must be a multiple of 32, for six levels, got {size}")
    if channels < 4 or channels % 4:
        raise ValueError(f"channels must be a multiple of 4, got {channels}")
    with drawn_from(seed):
        unet = UNet2DModel(
            sample_size=size,
            layers_per_block=2,
            block_out_channels=tuple(channels * w for w in WIDTHS),
            down_block_types=("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
            norm_num_groups=32 if channels % 32 == 0 else 4,
            attention_head_dim=None,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            norm_eps=1e-6,
        )
    scheduler = DDPMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=False)
    return HSpaceUNet(unet, scheduler, f"{RANDOM} ({layout}, {size} pixels, seed {seed})")


def is_random(model: HSpaceUNet) -> bool:
    """Whether a model was made by `random_network`. Random weights in a file are not seen."""
    return model.name.startswith(RANDOM)
