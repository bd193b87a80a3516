"""Networks and CLIPs of random weights, in the layouts of the hub, that run in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


def celebahq(folder: Path, size: int = 64, layers: int = 2) -> Path:
    """A pipeline with the six levels of google/ddpm-ema-celebahq-256, 8 or 16 channels a level."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=size,
            layers_per_block=layers,
            block_out_channels=(8, 8, 8, 8, 16, 16),
            down_block_types=("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
            norm_num_groups=4,
            attention_head_dim=None,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            norm_eps=1e-6,
        )
    DDPMPipeline(unet, DDPMScheduler(clip_sample=True)).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """A CLIP of two tiny towers, whose words are letters."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(33, 127)]
    vocab = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", **PROCESSOR})
    )
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    last = len(vocab) - 1
    tokens = {"vocab_size": len(vocab), "bos_token_id": last - 1, "eos_token_id": last}
    config = transformers.CLIPConfig(
        text_config={**tower, **tokens, "pad_token_id": last},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.CLIPModel(config)
        for p in model.parameters():  # the usual start is so small that all scores are equal
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(folder)
    return folder
