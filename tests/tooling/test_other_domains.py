"""The lines on "Other domains" run as they stand, with a tiny network in place of the hub's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

import hsem
from hsem.judges import prompts
from portraits.train import command
from tests import random_models

CHAPTER = Path(__file__).resolve().parents[2] / "book" / "other_domains.ipynb"
CELLS = nbformat.read(CHAPTER, 4).cells
PAGE = "\n\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")


def test_the_lines_run_for_any_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the optional package of hsem[hub]")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    clip = random_models.clip(tmp_path / "clip")
    first = 'NAME, N, SHOWN = "google/ddpm-ema-church-256", 500, 4'
    for old, new in {
        first: 'NAME, N, SHOWN = "google/x", 24, 2',
        "steps=25": "steps=3",
        "step=10": "step=1",
        "openai/clip-vit-large-patch14": str(clip),
    }.items():
        assert old in code
        code = code.replace(old, new)
    asked = []
    monkeypatch.setattr(hsem, "load", lambda name: asked.append(name) or hsem.tiny_unet(0))
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    scope: dict = {}
    exec(code, scope)
    assert asked == ["google/x"]
    names = {p.name for p in (tmp_path / "made").iterdir()}
    assert names == {
        "x.pca",
        *(f"pca-{j}.png" for j in range(5)),
        *(f"own-{j}.png" for j in range(3)),
    }
    norms = scope["pca"].direction(0).step_norms()
    torch.testing.assert_close(scope["w"].step_norms(), norms)  # equal norm, as it says
    assert scope["share"].n == 24 and scope["share"].high < 0.9  # noise has no words


def test_lists_of_phrases_are_equally_long() -> None:
    churches, bedrooms = prompts.CHURCH_PROMPTS, prompts.BEDROOM_PROMPTS
    assert len(churches) == len(bedrooms)  # a longer one explains more by its length alone
    assert all(yes != no for yes, no in [*churches.values(), *bedrooms.values()])


def test_the_commands_are_understood() -> None:
    (text,) = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
    lines = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    modules = {line[2]: line[3:] for line in lines}
    assert len(modules) == len(lines) == 4 and all(line[:2] == ["python", "-m"] for line in lines)
    settings = command.parser().parse_args(modules["portraits.train"])
    assert settings.loose and settings.init.as_posix() == "hsem/data/portraits-64"
    for name, given in modules.items():
        usage = subprocess.run(
            [sys.executable, "-m", name, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in (word for word in given if word.startswith("--")):
            assert option in usage, (name, option)


def test_the_models_named_are_those_known() -> None:
    named = set(re.findall(r"`(google/[\w-]+)`", PAGE))
    assert named == {name for name in hsem.KNOWN if name.startswith("google/")}
