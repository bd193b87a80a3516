"""Tables: what a browser's reader, a terminal and a screen reader get."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import torch

from hsem import viz
from hsem.evaluation.stability import Estimate

ROWS = {"smile": [0.364, -0.2, 3], "a < b": [Estimate(0.82, 0.71, 0.93, 20), None, float("nan")]}
COLUMNS = {"yaw": "yaw, degrees", "hat": "hat", "n": "people"}
CAPTION = "Effects of two edits on portraits-64"


class Cells(HTMLParser):
    """The cells of the one table, as (tag, attributes, text), and the caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, dict[str, str | None], str]] = []
        self.caption, self.inside, self.bold = "", "", []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"td", "th"}:
            self.cells.append((tag, dict(attrs), ""))
        if tag != "strong":
            self.inside = tag
        else:
            self.bold.append(len(self.cells) - 1)

    def handle_data(self, data: str) -> None:
        if self.inside == "caption":
            self.caption += data
        elif self.inside in {"td", "th"} and data.strip():
            tag, attributes, text = self.cells[-1]
            self.cells[-1] = (tag, attributes, text + data)


def test_html_has_caption_scopes_and_numbers_at_the_right() -> None:
    made = viz.table(ROWS, COLUMNS, caption=CAPTION, corner="edit", marks=[("smile", "hat")])
    seen = Cells(made._repr_html_())
    assert seen.caption.strip() == CAPTION
    texts = [text for _, _, text in seen.cells]
    assert texts == [
        *("edit", "yaw, degrees", "hat", "people"),
        *("smile", "0.36", "−0.20", "3"),
        *("a < b", "0.82 (0.71 to 0.93)", "–", "–"),
    ]
    scopes = [attributes.get("scope") for _, attributes, _ in seen.cells]
    assert scopes == ["col"] * 4 + ["row", None, None, None] * 2
    numbers = [attributes["style"] for tag, attributes, _ in seen.cells if tag == "td"]
    assert set(numbers) == {"text-align:right"}
    assert [texts[k] for k in seen.bold] == ["−0.20"]


def test_it_scrolls_by_keyboard_in_a_box_with_a_name() -> None:
    text = viz.table(ROWS, COLUMNS, caption="Effects of <two> edits")._repr_html_()
    assert 'role="region" tabindex="0" aria-label="Effects of &lt;two&gt; edits"' in text
    assert "overflow-x:auto" in text and "<two>" not in text


def test_text_for_terminals_stands_in_columns() -> None:
    made = viz.table(ROWS, COLUMNS, caption=CAPTION, marks=[("smile", "yaw")])
    caption, _, head, rule, *rows = str(made).splitlines()
    assert caption == CAPTION and set(rule) == {"-"}
    assert head.endswith("people") and rows[0].endswith("3")
    assert len(head) == len(rows[0]) == len(rows[1])
    assert "*0.36*" in rows[0]
    assert made._repr_mimebundle_()["text/plain"] == str(made)


def test_formats_words_and_mappings() -> None:
    rows = {
        "a": {"share": 0.294, "verdict": "in part", "n": 1200, "text": "0.3 ± 0.1"},
        "b": {"share": -0.001, "verdict": "holds", "n": True, "text": "−1"},
    }
    made = viz.table(rows, caption=CAPTION, formats={"share": ".0%"})
    assert made.rows == (
        ("a", "29%", "in part", "1200", "0.3 ± 0.1"),
        ("b", "0%", "holds", "yes", "−1"),
    )
    assert made.left == (False, True, False, False)
    none = Estimate(-0.001, -0.014, -0.0, 20)
    signs = {"a": [none, -0.0, "-0.00 ± 0.01"], "b": [f"{none:.0%}", "-5", "2026-11-27"]}
    assert viz.table(signs, ["x", "y", "z"], caption=CAPTION, formats="+.2f").rows == (
        ("a", "0.00 (−0.01 to 0.00)", "0.00", "0.00 ± 0.01"),
        ("b", "0% (−1% to 0%)", "−5", "2026-11-27"),
    )
    assert viz.table({"a": torch.tensor([0.5, -1.0])}, ["x", "y"], caption=CAPTION).rows == (
        ("a", "0.50", "−1.00"),
    )
    one = viz.table(
        {"a": 2, "b": Estimate(1, 1, 1, 2)}, ["x"], caption=CAPTION, formats={"x": ".1f"}
    )
    assert [row[1] for row in one.rows] == ["2.0", "1.0 (1.0 to 1.0)"]


def test_a_name_makes_it_a_numbered_table() -> None:
    kind = "application/vnd.hsem.numbered+json"
    made = viz.table(ROWS, COLUMNS, caption=CAPTION, name="tab-x")._repr_mimebundle_()
    assert made[kind] == {"kind": "table", "name": "tab-x", "caption": CAPTION}
    assert kind not in viz.table(ROWS, COLUMNS, caption=CAPTION)._repr_mimebundle_()
    with pytest.raises(ValueError, match="small letters"):
        viz.table(ROWS, COLUMNS, caption=CAPTION, name="Table X")._repr_mimebundle_()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"caption": ""}, "caption must be a sentence"),
        ({"rows": {}}, "at least one row"),
        ({"columns": None}, "columns must be named"),
        ({"columns": ["yaw"]}, "must hold 1 cells, got 3"),
        ({"marks": [("smile", "nose")]}, "no cell of this table"),
        ({"formats": {"nose": ".1f"}}, r"\['nose'\], which are no columns"),
        ({"rows": {"a": {"yaw": 1}}}, "differ in"),
    ],
)
def test_errors(arguments: dict, match: str) -> None:
    good = {"rows": ROWS, "columns": COLUMNS, "caption": CAPTION}
    with pytest.raises(ValueError, match=match):
        viz.table(**{**good, **arguments})
