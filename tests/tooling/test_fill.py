"""Numbers are written into the text from what the run published, and from nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from execute import run
from fill import MIME, Fill, published
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hsem.viz.published import MIME as OURS

TOOL = Path(__file__).resolve().parents[2] / "book/_tools/fill.py"


def chapter(text: str, *texts: dict[str, str]) -> Any:
    cells = [new_markdown_cell(text, id="text")]
    for k, values in enumerate(texts):
        code = new_code_cell("publish", id=f"code-{k}")
        code.outputs = [new_output("display_data", data={MIME: values, "text/plain": "x"})]
        cells.append(code)
    return new_notebook(cells=cells)


def test_both_sides_mean_the_same_kind() -> None:
    assert MIME == OURS


def test_marks_are_filled_and_the_rest_is_left(tmp_path: Path) -> None:
    text = 'It is <data value="a/b"></data>, then <data value="c">old\nnumber</data>. $a<b$ stays.'
    nb = chapter(text, {"a/b": "2.94 (2.71 to 3.20)"}, {"c": "holds", "unused": "7"})
    fill = Fill(tmp_path)
    fill.notebook(nb)
    assert nb.cells[0].source == (
        'It is <data value="a/b">2.94 (2.71 to 3.20)</data>, then <data value="c">holds</data>. '
        "$a<b$ stays."
    )
    assert fill.missing == []
    again = json.loads(json.dumps(nb))
    fill.notebook(again)
    assert again == json.loads(json.dumps(nb))  # filling twice changes nothing


def test_another_chapters_number(tmp_path: Path) -> None:
    nbformat.write(chapter("", {"removed": "29%"}), tmp_path / "one.ipynb")
    fill = Fill(tmp_path)
    text = '<data value="one:removed"></data> <data value="one:kept">?</data>'
    assert fill.text(text, {"removed": "no"}) == (
        '<data value="one:removed">29%</data> <data value="one:kept">?</data>'
    )
    assert fill.missing == ["one:kept"]


LINES = """
| it says | verdict | measured | chapter |
|:--|:--|:--|:--|
| 1 | <data value="one/verdict" title="one is more">?</data> | <data value="n"></data> | [A](a.md) |
| 2 | <data value="two/verdict" title="two is less">?</data> | – | [A](a.ipynb), {numref}`tab-x` |
| 3 | <data value="b:verdict" title="three elsewhere"></data> | – | [B](b.ipynb) |
| no claim | <data value="four/verdict">holds</data> | – | [B](b.ipynb) |

<data value="rows/a/holds"></data>; <data value="rows/does-not-hold"></data>
"""


def test_lines_are_listed_by_page_and_verdict(tmp_path: Path) -> None:
    nbformat.write(chapter("", {"verdict": "does not hold"}), tmp_path / "b.ipynb")
    texts = {"one/verdict": "holds", "two/verdict": "holds", "four/verdict": "holds", "n": "8"}
    nbformat.write(chapter(LINES, texts), tmp_path / "lines.ipynb")
    fill = Fill(tmp_path)
    found = fill.chapter("lines")
    assert {name: text for name, text in found.items() if name.startswith("rows/")} == {
        "rows/holds": "2", "rows/in-part": "0", "rows/does-not-hold": "1", "rows/not-tested": "0",
        "rows/all/holds": "one is more; two is less", "rows/all/in-part": "–",
        "rows/all/does-not-hold": "three elsewhere", "rows/all/not-tested": "–",
        "rows/a/holds": "one is more; two is less", "rows/a/in-part": "–",
        "rows/a/does-not-hold": "–", "rows/a/not-tested": "–",
        "rows/b/holds": "–", "rows/b/in-part": "–",
        "rows/b/does-not-hold": "three elsewhere", "rows/b/not-tested": "–",
    }  # fmt: skip
    own = nbformat.read(tmp_path / "lines.ipynb", 4)
    fill.notebook(own)
    text = own.cells[0].source
    assert '<data value="rows/a/holds">one is more; two is less</data>; ' in text
    assert '<data value="one/verdict" title="one is more">holds</data>' in text
    page = '<data value="lines:rows/b/holds"></data><data value="lines:rows/c/holds"></data>'
    assert fill.text(page, {}).startswith('<data value="lines:rows/b/holds">–</data>')
    assert fill.missing == ["lines:rows/c/holds"]  # no line leads there


def test_the_last_run_of_a_benchmark(tmp_path: Path) -> None:
    results = tmp_path / "benchmarks/results"
    results.mkdir(parents=True)
    for day, time in (("2026-01-09", "3 s"), ("2026-01-10", "2 s")):
        stored = {"rows": [], "published": {"time": time}}
        (results / f"speed-{day}.json").write_text(json.dumps(stored))
    (results / "silent-2026-01-09.json").write_text('{"rows": []}')
    fill = Fill(tmp_path / "book")
    text = '<data value="benchmarks/speed:time"></data>'
    assert fill.text(text, {}) == text.replace("><", ">2 s<")
    assert fill.missing == []
    for name in ("silent", "none"):
        fill.text(f'<data value="benchmarks/{name}:time"></data>', {})
    assert fill.missing == ["benchmarks/silent:time", "benchmarks/none:time"]


def test_one_name_with_two_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="'a' is published twice: '1' and '2'"):
        published(chapter("", {"a": "1"}, {"a": "2"}))
    assert published(chapter("", {"a": "1"}, {"a": "1"})) == {"a": "1"}


def test_a_name_that_nobody_publishes_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.ipynb"
    nb = new_notebook(cells=[new_markdown_cell('<data value="gone"></data>', id="text")])
    nbformat.write(nb, path)
    before = path.read_bytes()
    said = run(path, path, timeout=60)
    assert said is not None and "['gone'], which no cell publishes" in said
    assert path.read_bytes() == before


def test_running_a_chapter_fills_it(tmp_path: Path) -> None:
    path = tmp_path / "one.ipynb"
    code = "from hsem import viz\nviz.publish(n=20, share=f'{0.294:.0%}')"
    text = new_markdown_cell('<data value="share"></data> of <data value="n"></data>', id="text")
    nbformat.write(new_notebook(cells=[text, new_code_cell(code, id="code")]), path)
    assert run(path, path, timeout=120) is None
    stored = nbformat.read(path, 4)
    assert stored.cells[0].source == '<data value="share">29%</data> of <data value="n">20</data>'


def test_the_command_checks_and_fills(tmp_path: Path) -> None:
    path = tmp_path / "one.ipynb"
    nbformat.write(chapter('<data value="a"></data>', {"a": "2.94"}), path)

    def tool(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, TOOL, *more, path], capture_output=True, text=True)

    assert tool("--check").returncode == 1 and "make numbers" in tool("--check").stderr
    assert tool().returncode == 0
    assert tool("--check").returncode == 0
    assert nbformat.read(path, 4).cells[0].source == '<data value="a">2.94</data>'
    nbformat.write(chapter('<data value="b"></data>', {"a": "2.94"}), path)
    assert tool().returncode == 1 and "nobody publishes 'b'" in tool().stderr
