"""What the playground loads is what was packed, and the notebook of `make live` runs."""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
import sys
from pathlib import Path

import board
import live
import live_notebook
import nbformat
import pytest
from PIL import Image

import hsem

ROOT = Path(__file__).resolve().parents[2]


def test_packed_files_come_out_unchanged(tmp_path: Path) -> None:
    for name, content in (("a", b"\x00\xff" * 500), ("b", b"")):
        (tmp_path / name).write_bytes(content)
    live.pack(tmp_path / "out/x.js", {"one": tmp_path / "a", "two": tmp_path / "b"})
    calls = re.findall(r'hsemLive\("(\w+)", "([^"]*)"\);\n', (tmp_path / "out/x.js").read_text())
    assert [name for name, _ in calls] == ["one", "two"]
    assert gzip.decompress(base64.b64decode(calls[0][1])) == b"\x00\xff" * 500
    assert gzip.decompress(base64.b64decode(calls[1][1])) == b""


def test_without_the_runtime_nothing_is_packed_and_the_remedy_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "VENDOR", tmp_path / "none")
    monkeypatch.setattr(live, "LIVE", tmp_path / "live")
    assert live.main() == 1
    assert "make setup" in capsys.readouterr().out
    assert not (tmp_path / "live").exists()


def test_what_is_packed_stays_out_of_git_and_of_the_package() -> None:
    for path in ("book/_static/live/model.js", "book/_static/vendor/onnxruntime/x.wasm"):
        done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT)
        assert done.returncode == 0, path
    assert not list((ROOT / "hsem").rglob("*.onnx"))


def test_the_notebook_shows_the_playground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "live/playground.ipynb"
    monkeypatch.setattr(sys, "argv", ["live_notebook.py", str(path)])
    live_notebook.main()
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    made: dict[str, object] = {}
    *lines, last = notebook.cells[1].source.splitlines()
    exec("\n".join([*lines, f"widget = {last}"]), made)
    assert list(made["widget"].strengths) == list(made["directions"])  # type: ignore[attr-defined, call-overload]
    path.write_text("the reader's own")
    live_notebook.main()
    assert path.read_text() == "the reader's own"


def test_the_board_was_drawn_by_the_weights_of_the_package() -> None:
    with Image.open(board.OUT) as picture:
        assert picture.getexif()[board.DESCRIPTION] == hsem.load(device="cpu").fingerprint
