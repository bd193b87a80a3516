"""The benchmark of the chapter on the paper's model still knows that chapter; nothing is timed."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import hsem
from hsem.unsupervised.jacobian import JacobianProducts

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
AMOUNTS = argparse.Namespace(size=32, channels=8, steps=1, rounds=3, batch=4, examples=4)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("celeba_cells")


def test_its_cells_are_the_chapters(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(bench.cells(AMOUNTS))
    assert "setup" not in found and {"pca-code", "jacobian-show", "table-code"} <= found.keys()
    for name, source in found.items():
        compile(source, name, "exec")
    assert "size=32, channels=8" in found["model"] and "BATCH = 4" in found["fit-code"]
    assert "google/ddpm-ema-celebahq-256" in found["imports"]
    monkeypatch.setitem(bench.SMALLER, "STEPS = 12", "STEPS = 1")  # control: it says so no longer
    with pytest.raises(SystemExit, match="no longer says STEPS = 12"):
        list(bench.cells(AMOUNTS))


def test_runs_and_products_are_counted(bench: ModuleType) -> None:
    model, runs = hsem.tiny_unet(0), {"runs": 0, "products": 0}
    encode = hsem.HSpaceUNet.encode
    with bench.counted(runs):
        hsem.sample(model, range(3), steps=2, progress=False)
        assert runs == {"runs": 6, "products": 0}
        op = JacobianProducts(lambda h: 2 * h, torch.ones(1, 4))
        op.push(torch.ones(5, 1, 4))
        op.pull(torch.ones(2, 1, 4))
    assert runs == {"runs": 6, "products": 7}
    assert hsem.HSpaceUNet.encode is encode
    hsem.sample(model, [0], steps=2, progress=False)
    assert runs["runs"] == 6


MEMORY = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from celeba_cells import Peak
peak = Peak()
peak.start()
sizes = [peak.gigabytes()]
block = torch.ones(400_000_000 // 4)
sizes.append(peak.gigabytes())
del block
peak.start()
print(*sizes, peak.gigabytes(), int(peak.each), int(peak.gpu))
"""


def test_memory_is_of_the_cell() -> None:
    # A process of its own: where the largest size cannot be forgotten (`each` is False), what
    # ran before in this one would hide the block.
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(BENCHMARKS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    before, within, after, each, gpu = map(float, ran.stdout.split())
    assert not gpu
    assert within > before + 0.3
    if each:  # control: what was freed does not count
        assert after < before + 0.1
    else:  # and where that cannot be told, nothing is forgotten
        assert after >= within


def test_what_the_chapter_quotes_is_what_was_measured(bench: ModuleType) -> None:
    stored = json.loads((BENCHMARKS / "results/celeba_cells-2026-11-27.json").read_text())
    said = bench.published(stored, stored["rows"])
    assert said == stored["published"]
    row = next(r for r in stored["rows"] if r["cell"] == "jacobian-show")
    assert said["jacobian-show/runs"] == str(row["runs"])
    assert float(said["jacobian-show/s"]) == pytest.approx(row["seconds"], abs=0.5)
    # what fits on a T4 takes no more than the share that the chapter takes of it
    held = float(said["t4/pictures"]) * stored["run GB"]
    assert held <= 0.6 * (15 - stored["weights"] * 4e-9) < held + 2 * stored["run GB"]
