"""Chapters can be read; and the checks notice when one cannot."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from execute import read
from figures import MIME as NUMBERED
from nbformat import NotebookNode
from nbformat.v4 import new_output

from tests.notebooks.reading import (
    BOOK,
    CHAPTERS,
    PAGES,
    TAUGHT,
    columns,
    faults,
    page_faults,
    stale,
    typed,
    wide,
    words,
)

GOOD = BOOK / "table_one.ipynb"


def where(page: str) -> Path:
    return BOOK.parent / page if page == "README.md" else BOOK / page


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_can_be_read(name: str) -> None:
    assert faults(BOOK / f"{name}.ipynb") == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_typed_result(name: str) -> None:
    assert page_faults(where(name)) == []


@pytest.mark.parametrize("name", [*(f"{c}.ipynb" for c in CHAPTERS), *PAGES])
def test_the_text_says_what_the_run_published(name: str) -> None:
    assert stale(where(name)) == []


ORDER = [
    Path(found).name
    for found in re.findall(r"(?:root|file): (book/\S+)", (BOOK.parent / "_toc.yml").read_text())
]


def leads_to(page: str) -> str | None:
    """The page that `**Next:**` at the end of a page names, if it does."""
    path = next(p for p in BOOK.glob(f"{page}.*") if p.suffix in {".ipynb", ".md"})
    text = words(read(path)) if path.suffix == ".ipynb" else path.read_text("utf-8")
    found = re.findall(r"^\*\*Next:?\*\*:? .*?(?:\{doc\}`(?:[^`<]*<)?|\]\()([\w]+)", text, re.M)
    return found[-1] if found else None


# the first page has doors instead
@pytest.mark.parametrize("page", sorted({*CHAPTERS, *(Path(t).stem for t in TAUGHT)} - {"intro"}))
def test_next_is_what_the_navigation_has(page: str) -> None:
    assert leads_to(page) == ORDER[ORDER.index(page) + 1]


# -- what is a typed result, and what is not -----------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "It removes 29 % of the side effects.",
        "about **2.94** standard deviations",
        "a gain of .83",
        "the cosine is 0.99 (0.98 to 1.00)",
        "10 repeats of 20 people",
        "keeps nearly nine tenths of it",
        "three times what shortening would",
        "- a list item with 12 people",
        ":::{admonition} Note\nIt removes 44 of them.\n:::",
        "```{note}\nIt removes 44 of them.\n```",
        "````{note}\n```python\nx = 3\n```\nIt removes 44.\n````",
        "```python\nx = 3\n```\nIt removes 44.\n```python\ny = 3\n```",
        "| smile | 0.36 |",
        "see [the 40 people](x.md)",
        "as equation 12 says, 40 people",
        "<!-- typed: -->It removes 29 %.",  # no reason is given
    ],
)
def test_a_typed_result_is_found(text: str) -> None:
    assert typed(text)


@pytest.mark.parametrize(
    "text",
    [
        'It removes <data value="removed">29% (25% to\n33%)</data> of them.',
        "the paper prints $0.66 \\pm 0.04$; $\\eta = 1$",
        "`n=100` and `hsem.load()[0]`",
        "Fig. 3, figs. 4 and 8a, Table 1, equations 1, 3 and 4, eqs. 6–10, eq. (12), step 20",
        "pictures of 64 pixels, 64x64, 3×64×64, 8 bits, 12 MB, in 2024",
        "DDPM-256, `x`, ViT-L/14, CC0, portraits-64, a 3-D model",
        "**1.** ★ How many?\n\n2. second",
        "# Chapter 3\n\ntext",
        "```python\nx = 3\n\ny = 4\n```",
        "$$\nx = 3\n\n+ 4\n$$",
        ":::{figure} a.png\n:width: 300\nA face.\n:::",
        "<!-- typed: the paper's numbers --> The paper has 29 % and 44 %.",
        "{cite:t}`haas2024` and [a link](https://example.org/2024/10)",
        "two of them, once or twice",
    ],
)
def test_what_is_defined_or_published_is_not_a_typed_result(text: str) -> None:
    assert typed(text) == []


def test_a_mark_covers_its_own_paragraph_only() -> None:
    text = "<!-- typed: paper --> They say 29.\n\nWe say 44.\n- <!-- typed: paper --> 3\n- x 7"
    assert typed(text) == ["We say 44.", "- x 7"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a     0.1  0.2\nb     0.3  0.4\nc     0.5  0.6\n", True),
        ("smile          0.94\nglasses        1.00\nage            0.65\n", True),
        ("one line: 0.1  0.2\nanother: 3\n", False),
        ("computed on 2026-11-26\nwith 20 people\nin 3 s\n", False),
    ],
)
def test_printed_columns(text: str, found: bool) -> None:
    assert columns(text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\n" + "x" * 81 + "\n```", 1),
        ("- item\n\n  ```bash\n  " + "x" * 80 + "\n  ```\n", 1),
        ("````{note}\n" + "x" * 81 + "\n````", 0),
        ("```python\n" + "x" * 80 + "\n```\n" + "y" * 81, 0),
    ],
)
def test_code_in_prose_that_is_cut_off(text: str, found: int) -> None:
    assert len(wide(text)) == found


# -- negative controls: the pattern chapter, spoilt ----------------------------------------------


def cell(nb: NotebookNode, name: str) -> NotebookNode:
    return next(c for c in nb.cells if c.id == name)


def _typed(nb: NotebookNode) -> None:
    cell(nb, "score").source += "\nIt is 0.29."


def _much_code(nb: NotebookNode) -> None:
    for c in nb.cells:
        c.metadata.tags = [t for t in c.metadata.get("tags", []) if t != "hide-input"]


def _wide_code(nb: NotebookNode) -> None:
    cell(nb, "how-code").source += "\n# " + "x" * 80


def _columns(nb: NotebookNode) -> None:
    text = "a   1  2\nb   3  4\nc   5  6\n"
    cell(nb, "how-code").outputs = [new_output("stream", name="stdout", text=text)]


def _wide_print(nb: NotebookNode) -> None:
    cell(nb, "how-code").outputs = [new_output("stream", name="stdout", text="x" * 81)]


def _unchecked(nb: NotebookNode) -> None:
    cell(nb, "tables").metadata.tags = []


def _nothing_checked(nb: NotebookNode) -> None:
    for c in nb.cells:
        c.metadata.tags = [t for t in c.metadata.get("tags", []) if "nbval" not in t]


def _wide_prose(nb: NotebookNode) -> None:
    cell(nb, "score").source += f"\n```python\n{'x' * 81}\n```\n"


def _no_time(nb: NotebookNode) -> None:
    title = cell(nb, "title")
    title.source = title.source.replace("minute", "while")


def _two_goals(nb: NotebookNode) -> None:
    title = cell(nb, "title")
    title.source = title.source.replace("\n3. ", "\n")


def _unchecked_goal(nb: NotebookNode) -> None:
    title = cell(nb, "title")
    title.source = title.source.replace("(the first prediction)", "")


def _lost_exercise(nb: NotebookNode) -> None:
    cell(nb, "ex3").source = "Nothing to do."


def _no_reference(nb: NotebookNode) -> None:
    cell(nb, "paper").source = "Beside."


def _no_number(nb: NotebookNode) -> None:
    picture = {"text/html": '<img alt="a face in the dark">', "text/plain": "x"}
    cell(nb, "how-code").outputs = [new_output("display_data", data=picture)]


def _caption(old: str, new: str) -> Callable[[NotebookNode], None]:
    def spoil(nb: NotebookNode) -> None:
        for output in (o for c in nb.cells for o in c.get("outputs", ())):
            data = output.get("data", {})
            if NUMBERED in data:
                data[NUMBERED]["caption"] = data[NUMBERED]["caption"].replace(old, new)
            if "text/html" in data:
                data["text/html"] = data["text/html"].replace(old, new)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_caption("portraits-64", "our model"), "tab-sd: the caption names no model"),
        (_caption("10 repeats of 100 people", "many people"), "tab-sd: the caption says neither"),
        (_caption("second judge", "scores"), "cell tables: a table in sd whose caption"),
        (_typed, "It is 0.29"),
        (_much_code, "more than two screens"),
        (_wide_code, "longer than 80 signs"),
        (_wide_prose, "cell score: longer than 80 signs"),
        (_no_time, "with the running time"),
        (_two_goals, "2 goals stand after"),
        (_unchecked_goal, "goal without a check"),
        (_lost_exercise, "exercise 3, which is not there"),
        (_columns, "prints columns"),
        (_wide_print, "prints a line longer"),
        (_unchecked, "needs the tag nbval-check-output"),
        (_nothing_checked, "nothing is compared"),
        (_no_reference, "no sentence refers to {numref}`fig-beside`"),
        (_no_number, "without name= and caption="),
    ],
)
def test_a_spoilt_chapter_is_noticed(
    tmp_path: Path, spoil: Callable[[NotebookNode], None], fault: str
) -> None:
    nb = copy.deepcopy(read(GOOD))
    spoil(nb)
    path = tmp_path / "good.ipynb"
    path.write_text(nbformat.v4.writes_json(nb))
    assert any(fault in f for f in faults(path))


def test_a_changed_or_unknown_number_in_the_text_is_noticed(tmp_path: Path) -> None:
    text = GOOD.read_text("utf-8")
    path = tmp_path / "good.ipynb"
    path.write_text(text.replace('removed\\">', 'removed\\">1'), "utf-8")
    assert any("'removed' is not what" in f for f in stale(path))
    path.write_text(text.replace('value=\\"removed\\"', 'value=\\"gone\\"'), "utf-8")
    assert "nobody publishes 'gone'" in stale(path)


# -- nbval compares numbers with a tolerance -----------------------------------------------------

STORED = "removed = 0.28 (−0.20 to 0.30)\nn = 20\nverdict = in part\nshare = 29%"
NOW = [
    (STORED, True),
    (STORED.replace("0.28", "0.29"), True),  # the last digit
    (STORED.replace("29%", "30%"), True),
    (STORED.replace("−0.20", "−0.19").replace("0.28", "0.27"), True),
    (STORED.replace("0.28", "0.30"), False),
    (STORED.replace("0.28", "0.281"), False),  # another number of digits
    (STORED.replace("−0.20", "0.20"), False),
    (STORED.replace("20\n", "21\n"), False),  # a count
    (STORED.replace("in part", "holds"), False),
    (STORED.replace("29%", "31%"), False),
]


def test_nbval_compares_to_the_last_digit(tmp_path: Path) -> None:
    cells = []
    for k, (now, _) in enumerate(NOW):
        code = f"from IPython.display import display\ndisplay({{'text/plain': {now!r}}}, raw=True)"
        new = nbformat.v4.new_code_cell(code, id=f"cell-{k}", execution_count=k + 1)
        new.outputs = [new_output("display_data", data={"text/plain": STORED})]
        new.metadata.tags = ["nbval-check-output"]
        cells.append(new)
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (tmp_path / "conftest.py").write_text((BOOK / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--nbval-lax", "--nbval-current-env"]
    done = subprocess.run([*command, path], cwd=tmp_path, capture_output=True, text=True)
    for k, (now, passes) in enumerate(NOW):
        outcome = "PASSED" if passes else "FAILED"
        assert f"{outcome} chapter.ipynb::Cell {k}" in done.stdout, (now, done.stdout[-3000:])
