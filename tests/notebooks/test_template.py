"""The notebook that a researcher copies runs on a training run, and its directions are shared."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from address import address
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from safetensors import safe_open

import hsem
from tests import random_models

pytest.importorskip("transformers", reason="the optional package of hsem[hub]")

BOOK = Path(__file__).resolve().parents[2] / "book"
TEMPLATE = BOOK / "_templates" / "your_own.ipynb"
SMALLER = {
    "N, PEOPLE, STEPS = 200, 24, 25": "N, PEOPLE, STEPS = 16, 3, 4",
    'NAME = "mine"': 'NAME = "random"',
}


def network(seed: int) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=64, layers_per_block=1, block_out_channels=(8, 16),
            down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4, attention_head_dim=None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the official script leaves, with two networks in its checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    ema = EMAModel(network(0).parameters(), model_cls=UNet2DModel, model_config=network(0).config)
    ema.save_pretrained(folder / "checkpoint-2" / "unet_ema")
    network(1).save_pretrained(folder / "checkpoint-2" / "unet")
    DDPMPipeline(network(0), DDPMScheduler(clip_sample=False)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def executed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[NotebookNode, Path]:
    here = tmp_path_factory.mktemp("here")
    nb, found = nbformat.read(TEMPLATE, 4), set()
    for cell in nb.cells:
        for old, new in SMALLER.items():
            if old in cell.source:
                found.add(old)
                cell.source = cell.source.replace(old, new)
    assert found == set(SMALLER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSEM_MODEL", str(run / "checkpoint-2"))
        patch.setenv("HSEM_CLIP", str(random_models.clip(here / "clip")))
        NotebookClient(
            nb, timeout=600, kernel_name="python3", extra_arguments=["--log-level=40"],
            resources={"metadata": {"path": str(here)}},
        ).execute()  # fmt: skip
    return nb, here


def test_directions_are_files_with_an_origin(
    executed: tuple[NotebookNode, Path], run: Path
) -> None:
    nb, here = executed
    paths = sorted((here / "directions").iterdir())
    assert [p.name for p in paths] == ["random-glasses.safetensors", "random-smile.safetensors"]
    for path in paths:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["provenance"])
        assert about["model"] == "random" and about["scorer"].startswith("clip ")
        assert not any("/" in seed for seed in map(str, about["positive_seeds"]))
        v = hsem.Direction.load(path, hsem.load(run / "checkpoint-2", device="cpu"))
        assert len(v.timesteps) == 4
        with pytest.raises(ValueError, match="made for model 'random' with weights"):
            hsem.Direction.load(path, hsem.load(run / "checkpoint-2" / "unet", device="cpu"))
    (said,) = (o.text for o in nb.cells[-1].outputs if o.get("name") == "stdout")
    assert "random-glasses supervised" in said


def test_pictures_of_random_weights_are_stamped(executed: tuple[NotebookNode, Path]) -> None:
    nb, _ = executed
    text = json.dumps([c.get("outputs", []) for c in nb.cells])
    found = re.findall(r"data:image/(?:webp|png);base64,([\w+/=]+)", text)
    assert len(found) == 2
    for data in found:
        image = np.asarray(Image.open(io.BytesIO(b64decode(data))).convert("L"))
        assert image[-3:].min() < 60 and image[-8:].max() > 150


def test_the_template_is_as_it_was_written() -> None:
    """No outputs of anybody's run, names for ids, the address of this repository, and a link."""
    nb = nbformat.read(TEMPLATE, 4)
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    assert all(re.fullmatch(r"[a-z-]+", c.id) for c in nb.cells)
    assert f"git+{address()}" in code[0].source and "google.colab" in code[0].source
    text = (BOOK / "your_own.ipynb").read_text(encoding="utf-8")
    assert text.count("{download}`your_own.ipynb <_templates/your_own.ipynb>`") == 2
    assert all(len(line) <= 88 for c in code for line in c.source.splitlines())
