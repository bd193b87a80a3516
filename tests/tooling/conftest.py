"""A network for the scripts of the book, small enough to run them in seconds."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel

import hsem


def small(seed: int = 0) -> hsem.HSpaceUNet:
    """Random weights, but the size of the portraits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=64,
            layers_per_block=1,
            block_out_channels=(4, 4, 8, 16),
            down_block_types=("DownBlock2D",) * 4,
            up_block_types=("UpBlock2D",) * 4,
            norm_num_groups=4,
        )
    scheduler = DDIMScheduler(prediction_type="v_prediction")
    model = hsem.load(unet, scheduler=scheduler, device="cpu")
    model.name = "portraits-small"  # whom to ask for judges, see hsem.judges_of
    return model


@pytest.fixture(scope="module")
def model() -> hsem.HSpaceUNet:
    return small()
