"""The stored chapters are well kept; and the checks notice when one is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from address import address
from execute import STATE, VIEW, normalise
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.checks import faults

ROOT = Path(__file__).resolve().parents[2]
URL = address()
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_well_kept(path: Path) -> None:
    assert faults(path, URL) == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"(?:file|root): book/(\S+)", (ROOT / "_toc.yml").read_text())
    there = [p.stem for p in (ROOT / "book").iterdir() if p.suffix in {".ipynb", ".md"}]
    assert sorted(listed) == sorted(there)


# -- negative controls: a good notebook, spoilt in one way at a time --------------------------

SLIDER, LINK, LAYOUT = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def good() -> NotebookNode:
    owner_name = URL.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{owner_name}/blob/main/book/good.ipynb"
    badge = new_markdown_cell(
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})",
        id="colab-badge",
        metadata={"tags": ["remove-cell"]},
    )
    setup = new_code_cell(
        'import sys\n\nif "google.colab" in sys.modules:\n'
        f'    %pip install -q --no-deps "hsem @ git+{URL}@main"',
        id="setup",
        metadata={"tags": ["remove-cell"]},
        execution_count=1,
    )
    data = {VIEW: {"model_id": SLIDER, "version_major": 2, "version_minor": 0}, "text/plain": "x"}
    shown = new_code_cell("slider", id="slider", execution_count=2)
    shown.outputs = [new_output("execute_result", data=data, execution_count=2)]
    picture = {"image/png": "AAAA", "text/html": '<img alt="a face">', "text/plain": "a face"}
    drawn = new_code_cell("picture", id="picture", execution_count=3)
    drawn.outputs = [new_output("execute_result", data=picture, execution_count=3)]
    nb = new_notebook(cells=[badge, setup, new_markdown_cell("# Title", id="title"), shown, drawn])
    ref = f"IPY_MODEL_{SLIDER}"
    nb.metadata.widgets = {
        STATE: {
            "version_major": 2,
            "version_minor": 0,
            "state": {
                SLIDER: {
                    "model_name": "SelectionSliderModel",
                    "state": {"layout": f"IPY_MODEL_{LAYOUT}"},
                },
                LINK: {"model_name": "LinkModel", "state": {"source": [ref, "index"]}},
                LAYOUT: {"model_name": "LayoutModel", "state": {}},
            },
        }
    }
    normalise(nb, "good")
    return nb


def found(nb: NotebookNode, folder: Path) -> list[str]:
    path = folder / "good.ipynb"
    path.write_text(nbformat.v4.writes_json(nb))  # as it is, with faults
    return faults(path, URL)


def test_the_good_notebook_is_good(good: NotebookNode, tmp_path: Path) -> None:
    assert found(good, tmp_path) == []


def _badge(nb: NotebookNode) -> None:
    nb.cells[0].source = nb.cells[0].source.replace("good.ipynb", "other.ipynb")


def _shown_badge(nb: NotebookNode) -> None:
    nb.cells[0].metadata = NotebookNode()


def _unguarded(nb: NotebookNode) -> None:
    nb.cells[1].source = "%pip install hsem"


def _fork(nb: NotebookNode) -> None:
    nb.cells[1].source = nb.cells[1].source.replace(URL, "https://github.com/a/fork")


def _no_title(nb: NotebookNode) -> None:
    nb.cells[2].source = "Once upon a time"


def _twice(nb: NotebookNode) -> None:
    nb.cells[4].id = nb.cells[3].id


def _random_id(nb: NotebookNode) -> None:
    nb.cells[4].id = "0f3c9a1e"


def _not_run(nb: NotebookNode) -> None:
    nb.cells[4].execution_count = None
    nb.cells[4].outputs[0].execution_count = None


def _error(nb: NotebookNode) -> None:
    nb.cells[4].outputs = [new_output("error", ename="ValueError", evalue="no", traceback=[])]


def _path(nb: NotebookNode) -> None:
    nb.cells[4].outputs = [new_output("stream", name="stdout", text="/home/ada/hsem/book")]


def _from_colab(nb: NotebookNode) -> None:
    del nb.metadata.widgets[STATE]["state"]


def _lost_state(nb: NotebookNode) -> None:
    state = nb.metadata.widgets[STATE]["state"]
    del state[next(k for k, v in state.items() if v["model_name"] == "SelectionSliderModel")]


def _lost_layout(nb: NotebookNode) -> None:
    state = nb.metadata.widgets[STATE]["state"]
    del state[next(k for k, v in state.items() if v["model_name"] == "LayoutModel")]


def _bare_image(nb: NotebookNode) -> None:
    del nb.cells[4].outputs[0].data["text/html"]


def _empty_alt(nb: NotebookNode) -> None:
    nb.cells[4].outputs[0].data["text/html"] = "<img src='data:'>"


def _markdown_image(nb: NotebookNode) -> None:
    nb.cells[2].source = "# Title\n![](face.png)"


def _stderr(nb: NotebookNode) -> None:
    nb.cells[4].outputs.append(new_output("stream", name="stderr", text="UserWarning"))


def _times(nb: NotebookNode) -> None:
    nb.cells[4].metadata["execution"] = {"iopub.status.busy": "2026-11-23T20:00:00Z"}


def _huge(nb: NotebookNode) -> None:
    nb.cells[4].outputs[0].data["text/plain"] = "x" * 3_000_001


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_badge, "Colab badge"),
        (_shown_badge, "first cell needs the tag"),
        (_unguarded, "second cell must hold"),
        (_fork, "second cell must install"),
        (_no_title, "title"),
        (_twice, "occurs 2 times"),
        (_random_id, "is random"),
        (_not_run, "run once each"),
        (_error, "stored an error"),
        (_path, "folder of one machine"),
        (_from_colab, "holds no state"),
        (_lost_state, "state is not stored"),
        (_lost_layout, "not stored"),
        (_bare_image, "bare image"),
        (_empty_alt, "without alternative text"),
        (_markdown_image, "without alternative text"),
        (_stderr, "make notebooks"),
        (_times, "make notebooks"),
        (_huge, "more than 3 MB"),
    ],
)
def test_a_spoilt_notebook_is_noticed(
    good: NotebookNode, tmp_path: Path, spoil: Callable[[NotebookNode], None], fault: str
) -> None:
    spoil(good)
    assert any(fault in f for f in found(good, tmp_path))
