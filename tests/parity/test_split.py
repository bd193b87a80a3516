"""encode and decode against the forward pass of the network they cut open."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

import hsem

# config.json of google/ddpm-ema-celebahq-256, as the hub gives it
CELEBAHQ = {
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "center_input_sample": False,
    "down_block_types": ("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 256,
    "time_embedding_type": "positional",
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
}


def halves_equal_whole(model: hsem.HSpaceUNet, t: int, batch: int = 2) -> None:
    x = torch.randn(batch, *model.image_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        h, context = model.encode(x, t)
        whole = model.unet(x, t).sample
        assert tuple(h.shape) == (batch, *model.h_shape)
        assert torch.equal(model.output(h, context), whole)  # to the last bit
        assert not torch.equal(model.output(h + 0.01, context), whole)  # and h does matter


@pytest.mark.parametrize("t", [0, 417, 999])
def test_tiny(tiny: hsem.HSpaceUNet, t: int) -> None:
    halves_equal_whole(tiny, t)


def test_portraits(portraits: hsem.HSpaceUNet) -> None:
    halves_equal_whole(portraits, 500)
    assert portraits.image_shape == (3, 64, 64)


def test_celebahq_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(**CELEBAHQ)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(113.67e6, rel=1e-4)
    unet.half().save_pretrained(tmp_path)  # a flat folder: config and weights at the root
    DDPMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=True).save_pretrained(tmp_path)
    del unet
    model = hsem.load(tmp_path, device="cpu")
    assert model.h_shape == (512, 8, 8)
    assert model.prediction_type == "epsilon"
    halves_equal_whole(model, 700, batch=1)


@pytest.mark.parametrize("name", ["portraits-64", "portraits-64-obeys"])
def test_stock_diffusers_reads_the_folders_of_the_package(name: str) -> None:
    folder, model = Path(hsem.__file__).parent / "data" / name, hsem.load(name, device="cpu")
    pipeline = DDPMPipeline.from_pretrained(folder)
    theirs, ours = pipeline.unet.state_dict(), model.unet.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[k].float(), ours[k]) for k in ours)
    other = "portraits-64" if name.endswith("obeys") else "portraits-64-obeys"
    assert hsem.load(other, device="cpu").fingerprint != model.fingerprint  # control
    assert pipeline.scheduler.config.prediction_type == model.prediction_type
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert size < 25e6


def test_predictions_are_those_of_diffusers(tiny: hsem.HSpaceUNet) -> None:
    """eps and x0 against DDPMScheduler's own reading of the network's output."""
    scheduler = DDPMScheduler(prediction_type=tiny.prediction_type, clip_sample=False)
    x = torch.randn(2, *tiny.image_shape, generator=torch.Generator().manual_seed(2))
    for t in (3, 500, 990):
        with torch.no_grad():
            h, context = tiny.encode(x, t)
            raw, (eps, x0) = tiny.output(h, context), tiny.predict(h, context)
        expected = scheduler.step(raw, t, x, generator=torch.Generator()).pred_original_sample
        torch.testing.assert_close(x0, expected, rtol=1e-4, atol=1e-4)
        a = scheduler.alphas_cumprod[t]
        torch.testing.assert_close(a.sqrt() * x0 + (1 - a).sqrt() * eps, x, rtol=1e-4, atol=1e-4)
