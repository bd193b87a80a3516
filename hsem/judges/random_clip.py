"""A CLIP with random weights: to try code where none is at hand. Its scores mean nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ..files import replacing
from ..network.models import drawn_from
from .hub_scorers import ClipScorer, Output, _transformers
from .prompts import PAPER_PROMPTS

SIDE = 32
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}


def random_clip(
    prompts: Mapping[str, tuple[str, str]] = PAPER_PROMPTS,
    *,
    output: Output = "probability",
    device: str | torch.device | None = None,
    seed: int = 0,
) -> ClipScorer:
    """Two tiny towers that read prompts letter by letter; the label says "random weights".

    Raises
    ------
    ImportError
        If `transformers` is missing.
    """
    hf = _transformers()
    letters = [chr(c) for c in range(33, 127)]
    vocab = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    last = len(vocab) - 1
    tower = {**TOWER, "num_attention_heads": 2}
    config = hf.CLIPConfig(
        text_config={
            **tower, "vocab_size": len(vocab), "bos_token_id": last - 1, "eos_token_id": last,
            "pad_token_id": last,
        },
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=8,
    )  # fmt: skip
    with drawn_from(seed):
        model = hf.CLIPModel(config)
        for p in model.parameters():  # the usual start is so small that all scores are equal
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.3)
    with TemporaryDirectory() as name:  # a tokenizer is read from files
        folder = Path(name)
        texts = {
            "vocab.json": json.dumps({token: k for k, token in enumerate(vocab)}),
            "merges.txt": "#version: 0.2\n",
            "tokenizer_config.json": json.dumps(
                {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
            ),
            "preprocessor_config.json": json.dumps(
                {
                    "image_processor_type": "CLIPImageProcessor",
                    "size": {"shortest_edge": SIDE},
                    "crop_size": {"height": SIDE, "width": SIDE},
                }
            ),
        }
        for file, text in texts.items():
            with replacing(folder / file) as part:
                part.write_text(text, encoding="utf-8")
        model.save_pretrained(folder)
        scorer = ClipScorer.load(folder, prompts, output=output, device=device)
    scorer.label = f"clip with random weights, seed {seed}"
    return scorer
