"""Every chapter runs with another model: one line names it, and everything else follows.

The model here is a tiny network of random weights in the layout of google/ddpm-ema-celebahq-256,
with a tiny random CLIP as its judge. That each cell runs is what is tested; what the cells then say
means nothing, and their pictures carry the words "random weights".
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

import hsem
from hsem import results, viz
from tests import random_models

pytest.importorskip("transformers", reason="the optional package of hsem[hub]")

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
OWN = {"portraits"}  # about one model by its nature: its data, its judges, its training
FIRST_LINES = sorted({p.stem for p in CHAPTERS} - OWN - {"celeba"})  # which asks in its own way
SIDE = 64  # pixels of a picture on the first page
SIZES = {
    "named": {"n": 24, "count": 4, "people": 2},
    "named-mouth": {"n": 24, "count": 4, "people": 2},
    "principal": {"n": 24, "m": 2, "batch_size": 8},
    "asyrp": {"people": 2, "images": 2, "rank": 2},
    "steps": {"people": 2, "images": 2},
    "detector": {"n": 8},
    "expressions": {"people": 18},
    "factors": {"n": 24, "m": 2, "k": 3, "people": 2, "draws": 2},
    "arithmetic": {"people": 2, "pairs": 2},
    "learning": {"n": 24, "pairs": 8, "draws": 2, "people": 2},
    "pairs": {"pairs": 4, "people": 2, "draws": 2},
    "real_faces": {"faces": 2, "people": 2},
    "given": {"faces": 2},
    "regions": {"m": 2, "rank": 2},
    "transfer": {"owners": 2, "people": 2, "rank": 2},
    "moments": {"m": 2},
    "sequence": {"people": 2},
    "swap": {"n": 3},
    "ages": {"n": 16, "count": 3, "people": 2},
    "table_one": {"n": 2, "repeats": 2},
    "table_one-half": {"n": 2, "repeats": 2},
    "table_one-more": {"n": 2, "repeats": 2},
    "table_one-double": {"n": 2, "repeats": 2},
    "controls": {"n": 2, "repeats": 2},
    "untangling": {"people": 2},
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Where a chapter finds the model, CLIP, and results of the smallest size."""
    folder = tmp_path_factory.mktemp("other")
    path = random_models.celebahq(folder / "random-celebahq", layers=1)
    found = {
        "HSEM_MODEL": str(path),
        "HSEM_CLIP": str(random_models.clip(folder / "clip")),
        "HSEM_CACHE": str(folder / "cache"),
        "HSEM_OUT": str(folder / "figures"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in found.items():
            patch.setenv(key, value)
        model = hsem.load(path, device="cpu")
        for name, sizes in SIZES.items():
            results.load_or_make(name, model, **sizes)
        yield found


def executed(path: Path, settings: dict[str, str]) -> NotebookNode:
    """The chapter with its outputs; an exception in any cell is one here."""
    nb = nbformat.read(path, 4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        NotebookClient(
            nb, timeout=600, kernel_name="python3", extra_arguments=["--log-level=40"],
            resources={"metadata": {"path": str(ROOT / "book")}},
        ).execute()  # fmt: skip
    return nb


def pictures(nb: NotebookNode) -> list[np.ndarray]:
    """The pictures that GitHub would show, as arrays of grey values."""
    found = [o.get("data", {}) for c in nb.cells for o in c.get("outputs", [])]
    kept = [base64.b64decode(data["image/jpeg"]) for data in found if "image/jpeg" in data]
    return [np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32) for data in kept]


def likeness(image: np.ndarray, letters: np.ndarray) -> float:
    """The largest correlation of the letters with any place at the lower edge of the image."""
    lower = image[-len(letters) - 4 :]
    windows = np.lib.stride_tricks.sliding_window_view(lower, letters.shape)
    places = windows.reshape(-1, letters.size)
    return max(float(np.corrcoef(place, letters.ravel())[0, 1]) for place in places)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_with_another_model(path: Path, settings: dict[str, str]) -> None:
    nb = executed(path, settings)
    texts = [str(o) for c in nb.cells for o in c.get("outputs", [])]
    named = any("random-celebahq" in text for text in texts)
    assert named == (path.stem not in OWN)  # captions say whose pictures they are


@pytest.mark.parametrize("name", FIRST_LINES)
def test_a_chapter_takes_its_model_from_one_line(name: str) -> None:
    cells = nbformat.read(ROOT / "book" / f"{name}.ipynb", 4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    assert code.count('os.environ.get("HSEM_MODEL"') == 1
    assert '# @param {type: "string"}' in code
    loaded = set(re.findall(r"hsem\.load\(([^,)]*)", code))
    assert "MODEL" in loaded
    assert loaded <= {"MODEL", "name", '"portraits-64-obeys"'}
    assert "classifier.load(" not in code and "datasets.portraits(" not in code
    of_portraits = r'results\.load\("[\w-]+", (twin|check=False)\)'  # shown beside, by name
    assert "results.load(" not in re.sub(of_portraits, "", code)
    assert "viz = viz.of(model)" in code


def test_pictures_are_stamped(settings: dict[str, str]) -> None:
    """White letters on black at the lower edge of what the first page shows."""
    stamped = viz.stamp(torch.zeros(1, 3, SIDE, SIDE), "random weights")
    letters = stamped[0].mean(0).numpy()[-SIDE // 8 :]
    found = pictures(executed(ROOT / "book" / "intro.ipynb", settings))
    assert found
    for image in found:
        assert likeness(image, letters) > 0.8
        noise = np.random.default_rng(0).choice([0.0, 255.0], image.shape)
        assert likeness(noise, letters) < 0.5  # the control: samples of such a network
