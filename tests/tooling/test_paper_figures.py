"""`make figures` runs the chapter on the paper's model, here on random weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from execute import read
from paper_figures import CHAPTER, folder_of, render
from PIL import Image

from hsem import results


def test_the_chapter_runs_on_random_weights_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HSEM_MODEL", "HSEM_OUT"):  # what render sets goes back afterwards
        monkeypatch.setenv(name, "")
    out = render("random", tmp_path)
    about = json.loads((out / "provenance.json").read_text())
    stored = results.load(out / "results.safetensors")
    assert about["stamp"] == stored.provenance["stamp"] == "random weights"
    assert about["fingerprint"] == stored.provenance["fingerprint"]
    assert len(about["pictures"]) == 12 and {"smile", "component 0"} <= set(stored.directions)
    for name in about["pictures"]:
        Image.open(out / name).verify()
    texts = [
        str(output.get("data", {}).get("text/plain", ""))
        for cell in read(out / "celeba.ipynb").cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/jpeg" in output.get("data", {})
    ]
    assert texts and all("random weights" in text for text in texts)


def test_a_model_that_is_not_there_fails_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HSEM_MODEL", "HSEM_OUT"):
        monkeypatch.setenv(name, "")
    with pytest.raises(RuntimeError, match=r"nowhere"):
        render(str(tmp_path / "nowhere"), tmp_path)
    assert not list(tmp_path.rglob("provenance.json"))


def test_folders_have_plain_names(tmp_path: Path) -> None:
    assert CHAPTER.is_file() and "HSEM_MODEL" in CHAPTER.read_text()
    assert (
        folder_of("google/ddpm-ema-celebahq-256", tmp_path).name == "google-ddpm-ema-celebahq-256"
    )
    assert folder_of("random", tmp_path).name == "random"
    assert folder_of("../my models/a b", tmp_path).name == "my-models-a-b"
    assert os.sep not in folder_of("/x/y/z", tmp_path).name
