"""The package as a stranger gets it: built, installed alone, and used in an empty folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

USE = """
import hsem, pathlib, sys
assert pathlib.Path(hsem.__file__).is_relative_to(sys.argv[1]), hsem.__file__
model = hsem.load()
twin = hsem.load("portraits-64-obeys")
run, other = (hsem.sample(m, seeds=[3, 4], steps=3, progress=False) for m in (model, twin))
assert twin.fingerprint != model.fingerprint and not run.images.equal(other.images)
assert other.images.isfinite().all() and other.h_seq.shape == run.h_seq.shape
scores = hsem.classifier.load()(run.images)
assert scores.shape == (2, len(hsem.classifier.load().names)) and scores.isfinite().all()
assert len(hsem.datasets.portraits()) > 100 and len(hsem.datasets.expressions()) > 100
assert hsem.masks.region("mouth", model).sum() > 0
print("used", model.name, "and", twin.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "hsem", source / "hsem", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", source / "out", source], check=True, capture_output=True)
    (built,) = (source / "out").glob("*.whl")
    return built


def use(folder: Path, empty: Path) -> subprocess.CompletedProcess[str]:
    """Run USE in an empty folder with the installed package in front of the editable one."""
    return subprocess.run(
        [sys.executable, "-c", USE, str(folder)],
        cwd=empty,
        env={"PYTHONPATH": str(folder), "PATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_installed_package_loads_samples_and_classifies(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    done = use(installed, empty)
    assert done.returncode == 0, done.stderr
    assert "used portraits-64 and portraits-64-obeys" in done.stdout
    assert list(empty.iterdir()) == []  # nothing is written unasked
    # controls: without the twin, or without its data, the package cannot do this
    shutil.rmtree(installed / "hsem" / "data" / "portraits-64-obeys")
    assert use(installed, empty).returncode != 0
    shutil.rmtree(installed / "hsem" / "data")
    assert use(installed, empty).returncode != 0


def test_the_wheel_is_small_enough(wheel: Path) -> None:
    assert wheel.stat().st_size < 60e6
