"""Outputs with a name become numbered figures and tables of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from figures import MIME
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from hsem import viz
from hsem.viz.picture import NUMBERED

ROOT = Path(__file__).resolve().parents[2]
FOLDED = {"answer": ["hide-cell", "solution"], "plots": ["hide-input"]}
CAPTION = "One shade of $\\eta$, made by <nobody>"


def output(thing: Any) -> Any:
    return new_output("display_data", data=thing._repr_mimebundle_())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One chapter, built with the real configuration, every warning an error."""
    source = tmp_path_factory.mktemp("figures")
    (source / "book").mkdir()
    shutil.copy(ROOT / "_config.yml", source)
    for name in ("_static", "_tools", "references.bib"):
        (source / "book" / name).symlink_to(ROOT / "book" / name)
    (source / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    shade = viz.figure(
        Image.new("RGB", (9, 9)), alt="one dark shade", name="fig-shade", caption=CAPTION
    )
    plain = viz.figure(Image.new("RGB", (9, 9)), alt="another dark shade", caption="no number")
    made = viz.table({"a": [1.0]}, ["x"], caption="One number of one row", name="tab-one")
    markdown = new_output("display_data", data={"text/markdown": "| a | b |\n|--|--|\n| 1 | $x$ |"})
    code = new_code_cell("show", id="code", execution_count=1)
    code.outputs = [
        new_output("stream", name="stdout", text="words\n"),
        *(output(thing) for thing in (plain, shade, made)),
        markdown,
    ]
    text = (
        "# One\n\nSee {numref}`fig-shade` and {numref}`tab-one`, "
        '<data value="x">29% (25% to 32%)</data>.'
    )
    folded = [
        new_code_cell(f"{name} = 1", id=name, execution_count=k, metadata={"tags": tags})
        for k, (name, tags) in enumerate(FOLDED.items(), start=2)
    ]
    nb = new_notebook(cells=[new_markdown_cell(text, id="text"), code, *folded])
    nb.metadata.language_info = {"name": "python", "mimetype": "text/x-python"}
    nbformat.write(nb, source / "book/one.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source, "-q", "-W", "-n"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (source / "_build/html/book/one.html").read_text()


def test_both_sides_mean_the_same_kind() -> None:
    assert MIME == NUMBERED


def test_the_picture_is_a_figure_with_number_and_caption(page: str) -> None:
    (figure,) = re.findall(r'<figure class="[^"]*hsem-numbered[^"]*" id="fig-shade">', page)
    (caption,) = re.findall(r"<figcaption>\s*<p>(.*?)</p>\s*</figcaption>", page, re.S)
    assert '<span class="caption-number">Figure 1 </span>' in caption
    assert "&lt;nobody&gt;" in caption and "\\(\\eta\\)" in caption
    assert figure and 'alt="one dark shade"' in page


def test_the_number_of_a_table_stands_in_its_caption(page: str) -> None:
    assert '<div class="hsem-numbered" id="tab-one">' in page
    assert '<caption><span class="caption-number">Table 1 </span>One number' in page


def test_references_lead_there(page: str) -> None:
    assert re.search(r'href="#fig-shade"><span class="std std-numref">Figure 1<', page)
    assert re.search(r'href="#tab-one"><span class="std std-numref">Table 1<', page)


def test_what_has_no_name_has_no_number(page: str) -> None:
    assert "another dark shade" in page and "Figure 2" not in page


def test_markdown_outputs_may_hold_tables(page: str) -> None:
    assert "<p>1</p></td>" in page and "| a |" not in page


def test_published_text_is_in_the_sentence(page: str) -> None:
    assert '<data value="x">29% (25% to 32%)</data>.' in page


def test_folds_say_what_is_in_them(page: str) -> None:
    cells = re.findall(r'<div class="cell [^"]*">(.*?)<div class="highlight', page, re.S)
    prompts = [re.findall(r'admonition-title">([^<]*)<', cell) for cell in cells]
    assert [p for p in prompts if p] == [
        ["Show the solution", "Hide the solution"],
        ["Show the code", "Hide the code"],
    ]
