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
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import hsem

ROOT = Path(__file__).resolve().parents[2]


def test_packed_files_come_out_unchanged(tmp_path: Path) -> None:
    contents = {"a": b"\x00\xff" * 500, "b": b"", "c.onnx": bytes(range(11))}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    live.pack(tmp_path / "out/x.js", {name: tmp_path / name for name in contents})
    script = (tmp_path / "out/x.js").read_text()
    calls = re.findall(r'hsemLive\("([\w.]+)", "([^"]*)", (\d)\);\n', script)
    assert [(name, int(planes)) for name, _, planes in calls] == [("a", 1), ("b", 1), ("c.onnx", 4)]
    dealt = [gzip.decompress(base64.b64decode(text)) for _, text, _ in calls]
    assert dealt[:2] == [contents["a"], contents["b"]]
    assert dealt[2] == bytes([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7])  # every fourth byte, four times


def test_graphs_that_were_optimized_compute_the_same(tmp_path: Path) -> None:
    model = hsem.tiny_unet(seed=1)
    hsem.export_onnx(model, tmp_path, half=False)
    x, t = np.random.default_rng(0).normal(size=(1, *model.image_shape)), np.array([500.0])
    feeds = {"x": x.astype("float32"), "t": t.astype("float32")}

    def run() -> tuple[np.ndarray, int]:
        session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
        nodes = len(onnx.load(tmp_path / "encoder.onnx").graph.node)
        return session.run(["h"], feeds)[0], nodes

    before, many = run()
    live.optimize(tmp_path / "encoder.onnx")
    after, few = run()
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    assert few < many
    feeds["t"][:] = 10
    assert np.abs(run()[0] - before).max() > 1e-3 * np.abs(before).max()  # control


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
