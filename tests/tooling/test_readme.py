"""The ten lines in the README are run as they stand."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch

import hsem

ROOT = Path(__file__).resolve().parents[2]


def test_the_result_in_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hsem, "sample", partial(hsem.sample, steps=5))  # the same, faster
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    lines[-1] = "shown = " + lines[-1]  # a notebook would show the value of the last line
    scope: dict = {}
    exec("\n".join(lines), scope)
    assert scope["shown"].image.width > 4 * 64
    before, after = scope["plain"].images, scope["edited"].images
    assert before.shape == after.shape == (4, 3, 64, 64)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_linked_files_exist() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            assert target.startswith("https://") or (ROOT / target).exists(), f"{page}: {target}"
