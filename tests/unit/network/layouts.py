"""A tiny network, and the ways in which people keep one on a disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

STEM = "diffusion_pytorch_model"


def network(seed: int = 0) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=16,
            layers_per_block=1,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=None,
        ).eval()


def scheduler() -> DDPMScheduler:
    """Unlike the default, so that a test sees whether it was found."""
    return DDPMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")


def flat(folder: Path, unet: UNet2DModel) -> Path:
    unet.save_pretrained(folder)
    scheduler().save_pretrained(folder)
    return folder


def pipeline(folder: Path, unet: UNet2DModel) -> Path:
    DDPMPipeline(unet, scheduler()).save_pretrained(folder)
    return folder


def half_pipeline(folder: Path, unet: UNet2DModel) -> Path:
    """What `variant="fp16"` leaves of a pipeline (here with all digits, so that a test sees)."""
    DDPMPipeline(unet, scheduler()).save_pretrained(folder, variant="fp16")
    assert [p.name for p in (folder / "unet").glob(f"{STEM}*")] == [f"{STEM}.fp16.safetensors"]
    return folder


def flat_bin(folder: Path, unet: UNet2DModel) -> Path:
    unet.save_pretrained(folder, safe_serialization=False)
    scheduler().save_pretrained(folder)
    return folder


def celebahq_of_2022(folder: Path, unet: UNet2DModel) -> Path:
    """As the hub keeps the paper's model: `.bin` alone, attention weights under their old names."""
    flat_bin(folder, unet)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = unet.state_dict()
    for name in [n for n in state if ".attentions." in n]:
        for new, before in old.items():
            if f".{new}." in name:
                state[name.replace(f".{new}.", f".{before}.")] = state.pop(name)
    torch.save(state, folder / f"{STEM}.bin")
    return folder


def old_torch(folder: Path, unet: UNet2DModel) -> Path:
    """A `.bin` from before torch 1.6, which is no zip archive."""
    flat_bin(folder, unet)
    path = folder / f"{STEM}.bin"
    torch.save(unet.state_dict(), path, _use_new_zipfile_serialization=False)
    return folder


def variant(safe: bool) -> Callable[[Path, UNet2DModel], Path]:
    def save(folder: Path, unet: UNet2DModel) -> Path:
        unet.save_pretrained(folder, variant="fp16", safe_serialization=safe)
        scheduler().save_pretrained(folder)
        return folder

    return save


def sharded(
    safe: bool, variant: str | None = None, inside: str = ""
) -> Callable[[Path, UNet2DModel], Path]:
    def save(folder: Path, unet: UNet2DModel) -> Path:
        unet.save_pretrained(
            folder / inside, max_shard_size="10KB", safe_serialization=safe, variant=variant
        )
        scheduler().save_pretrained(folder)
        assert len([*(folder / inside).glob(f"{STEM}*-of-*")]) > 1
        return folder

    return save


def training_run(folder: Path, unet: UNet2DModel) -> Path:
    """What diffusers' train_unconditional.py leaves: checkpoints, and the pipeline above them."""
    DDPMPipeline(network(5), scheduler()).save_pretrained(folder)
    checkpoint = folder / "checkpoint-500"
    EMAModel(unet.parameters(), model_cls=UNet2DModel, model_config=unet.config).save_pretrained(
        checkpoint / "unet_ema"
    )
    network(6).save_pretrained(checkpoint / "unet")
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        torch.save({}, checkpoint / name)
    return folder


LAYOUTS: dict[str, Callable[[Path, UNet2DModel], Path]] = {
    "flat": flat,
    "pipeline": pipeline,
    "pipeline, fp16": half_pipeline,
    "flat .bin": flat_bin,
    ".bin with old names": celebahq_of_2022,
    ".bin of old torch": old_torch,
    "fp16 safetensors alone": variant(safe=True),
    "fp16 .bin alone": variant(safe=False),
    "shards": sharded(safe=True),
    "shards, .bin": sharded(safe=False),
    "shards, fp16": sharded(safe=True, variant="fp16"),
    "shards, fp16 .bin": sharded(safe=False, variant="fp16"),
    "shards under unet/": sharded(safe=True, inside="unet"),
    "checkpoint": lambda folder, unet: training_run(folder, unet) / "checkpoint-500",
    "checkpoint/unet_ema": lambda f, unet: training_run(f, unet) / "checkpoint-500" / "unet_ema",
}
