"""Stock pipelines of diffusers with tiny networks of random weights, made without network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMPipeline,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor

import hsem

LETTERS = [chr(c) for c in range(33, 127)]
VOCAB = [*LETTERS, *(c + "</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
# Stable Diffusion's own schedule; its default scheduler is PNDM without Runge-Kutta steps
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def conditional_unet(seed: int = 0, **options: Any) -> UNet2DConditionModel:
    """Latents 4x8x8, h 16x4x4, prompts of 8 numbers a token."""
    base = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DConditionModel(**{**base, **options}).eval()


def sdxl_unet(seed: int = 0, **options: Any) -> UNet2DConditionModel:
    """As SDXL has it: sizes and pooled prompt enter the time embedding, deeper transformers."""
    base = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 4 * 6 + 8,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
    }
    return conditional_unet(seed, **{**base, **options})


def tokenizer_of_letters(folder: Path) -> Any:
    """Letters for words, and at most sixteen of them; `folder` takes the vocabulary."""
    from transformers import CLIPTokenizer

    vocabulary = {token: k for k, token in enumerate(VOCAB)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 16}), encoding="utf-8"
    )
    return CLIPTokenizer.from_pretrained(folder)


def text_encoder(kind: str = "CLIPTextModel", seed: int = 1) -> Any:
    """One layer of CLIP, 8 numbers a token."""
    import transformers

    last = len(VOCAB) - 1
    config = transformers.CLIPTextConfig(
        vocab_size=len(VOCAB), bos_token_id=last - 1, eos_token_id=last, pad_token_id=last,
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, projection_dim=8,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = getattr(transformers, kind)(config)
        for p in encoder.parameters():  # the usual start makes all prompts nearly equal
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.5)
    return encoder.eval()


def autoencoder() -> AutoencoderKL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return AutoencoderKL(
            block_out_channels=(8,), norm_num_groups=4, latent_channels=4, layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
        )  # fmt: skip


def stable_diffusion(folder: Path, scheduler: Any = None) -> StableDiffusionPipeline:
    """Letters for words, one layer of CLIP, 24 thousand weights; `folder` takes the vocabulary."""
    pipeline = StableDiffusionPipeline(
        autoencoder(),
        text_encoder(),
        tokenizer_of_letters(folder),
        conditional_unet(),
        scheduler or PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stable_diffusion_xl(folder: Path) -> StableDiffusionXLPipeline:
    """The same with two text encoders, one of which gives the pooled prompt as well."""
    tokenizer = tokenizer_of_letters(folder)
    pipeline = StableDiffusionXLPipeline(
        autoencoder(),
        text_encoder(),
        text_encoder("CLIPTextModelWithProjection", seed=2),
        tokenizer,
        tokenizer,
        sdxl_unet(cross_attention_dim=16),
        EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def unconditional(scheduler: Any) -> DDPMPipeline:
    """The network of `hsem.tiny_unet(0)` with any scheduler that needs no noise of its own."""
    pipeline = DDPMPipeline(hsem.tiny_unet(0).unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def denoise(unet: Any, scheduler: Any, x: Tensor, steps: int, **conditions: Any) -> Tensor:
    """The loop of diffusers' documentation, for schedulers of any kind."""
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        with torch.no_grad():
            output = unet(scheduler.scale_model_input(x, t), t, **conditions).sample
        x = scheduler.step(output, t, x).prev_sample
    return x
