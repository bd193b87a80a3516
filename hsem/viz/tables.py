"""Tables that are tables: HTML with caption and scopes for pages, aligned text for terminals."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..evaluation.stability import Estimate
from ..numerals import numeral, signs
from .picture import numbered

NONE = "\N{EN DASH}"  # in a cell that has no value


@dataclass(frozen=True, eq=False)
class Table:
    """A table that a notebook shows; `str` gives it as text.

    head : of each column, the first being that of the names of the rows
    rows : the name of each row, then its cells, as text
    marked : (row, column) of the cells in bold, counted from 0 without head and names
    left : whether the cells of a column stand at the left, as words do
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[tuple[int, int]] = frozenset()
    left: tuple[bool, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        lines = [list(self.head)]
        for i, row in enumerate(self.rows):
            cells = [f"*{c}*" if (i, j) in self.marked else c for j, c in enumerate(row[1:])]
            lines.append([row[0], *cells])
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = (True, *self.left)
        text = [
            "  ".join(
                c.ljust(w) if at_left else c.rjust(w)
                for c, w, at_left in zip(line, wide, left, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption, "", text[0], "-" * max(map(len, text)), *text[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # Alignment stands in the cells: JupyterLab, Colab and GitHub do not have our style sheet.
        def align(j: int) -> str:
            return "left" if (True, *self.left)[j] else "right"

        def cell(i: int, j: int, text: str) -> str:
            text = html.escape(text)
            text = f"<strong>{text}</strong>" if (i, j) in self.marked else text
            return f'<td style="text-align:{align(j + 1)}">{text}</td>'

        head = "".join(
            f'<th scope="col" style="text-align:{align(j)}">{html.escape(text)}</th>'
            if text
            else "<td></td>"  # a head that says nothing is announced as nothing
            for j, text in enumerate(self.head)
        )
        body = "\n".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(row[0])}</th>'
            + "".join(cell(i, j, text) for j, text in enumerate(row[1:]))
            + "</tr>"
            for i, row in enumerate(self.rows)
        )
        label = html.escape(self.caption)
        return (
            f'<div class="hsem-table" role="region" tabindex="0" aria-label="{label}" '
            f'style="overflow-x:auto">\n<table><caption>{label}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        more = numbered("table", self.name, self.caption)
        return {"text/html": self._repr_html_(), "text/plain": str(self)} | more


def table(
    rows: Mapping[str, Any],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    *,
    caption: str,
    corner: str = "",
    formats: str | Mapping[str, str] = ".2f",
    marks: Collection[tuple[str, str]] = (),
    name: str = "",
) -> Table:
    """A table with one row per entry of `rows`.

    Parameters
    ----------
    rows : {name of the row: cells}, the cells in the order of the columns, or a mapping from
        column to cell. A cell is a number, an `Estimate` (shown with its interval), a text, or
        None; NaN and None are shown as a dash.
    columns : names, or {name: what the head shows}, where the unit belongs: {"age": "age, years"}.
        May be left out if the rows are mappings.
    caption : what the table shows, of which model and how many people; what bold means
    corner : head of the first column, the names of the rows
    formats : of numbers, such as ".2f", "+.1f" or ".0%"; for all, or {column: format}. Whole
        numbers (int) are shown as they are unless their column is named here.
    marks : (row, column) of the cells to set in bold
    name : label for {numref}, such as "tab-effects"; the page then numbers the table

    Raises
    ------
    ValueError
        If the caption says nothing, a row has another number of cells, or a name does not exist.
    """
    if not isinstance(caption, str) or len(caption.strip()) < 10:
        raise ValueError(f"caption must be a sentence that says what is shown, got {caption!r}")
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    if columns is None:
        first = next(iter(rows.values()))
        if not isinstance(first, Mapping):
            raise ValueError("columns must be named unless each row is a mapping")
        columns = list(first)
    heads = dict(columns) if isinstance(columns, Mapping) else {c: c for c in columns}
    cells = {row: _cells(row, values, list(heads)) for row, values in rows.items()}
    for row, column in marks:
        if row not in cells or column not in heads:
            raise ValueError(f"marks names {(row, column)}, which is no cell of this table")
    spec = dict.fromkeys(heads, formats) if isinstance(formats, str) else dict(formats)
    if not set(spec) <= set(heads):
        raise ValueError(f"formats names {sorted(set(spec) - set(heads))}, which are no columns")
    explicit = set() if isinstance(formats, str) else set(spec)
    order, places = list(cells).index, list(heads).index
    return Table(
        caption=" ".join(caption.split()),
        head=(corner, *heads.values()),
        rows=tuple(
            (row, *(_text(v, spec.get(c, ".2f"), c in explicit) for c, v in line.items()))
            for row, line in cells.items()
        ),
        marked=frozenset((order(r), places(c)) for r, c in marks),
        left=tuple(any(_is_word(line[c]) for line in cells.values()) for c in heads),
        name=name,
    )


def _cells(row: str, values: Any, columns: list[str]) -> dict[str, Any]:
    if isinstance(values, Mapping):
        wrong = set(values) ^ set(columns)
        if wrong:
            raise ValueError(f"row {row!r} and the columns differ in {sorted(wrong)}")
        return {c: values[c] for c in columns}
    if isinstance(values, (str, Estimate)) or not hasattr(values, "__len__"):
        values = [values]  # a table of one column
    if len(values) != len(columns):
        raise ValueError(f"row {row!r} must hold {len(columns)} cells, got {len(values)}")
    return dict(zip(columns, values, strict=True))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and not re.match(r"[-+±\N{MINUS SIGN}]?\d", value)


def _text(value: Any, spec: str, explicit: bool) -> str:
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, str):
        return signs(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and not explicit:
        return numeral(value, "d")
    return format(value, spec) if isinstance(value, Estimate) else numeral(value, spec)
