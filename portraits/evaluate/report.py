"""Every target, and what each network reached; as text, or as Markdown for the model card.

    python -m portraits.evaluate.report      # of what is stored; measures nothing

The rule is `hsem.evaluation.targets`, which the chapter uses, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hsem.evaluation.targets import (
    TARGETS,
    Value,
    earlier,
    evaluation,
    of_samples,
    quality,
)

Column = Mapping[str, Value]
NETWORKS = ("portraits-64", "portraits-64-obeys")


def cells(columns: Iterable[Column], halves: Column | None = None) -> list[list[str]]:
    """Rows of text: name, target, each column with "short" where it missed, two halves of real."""
    rows = []
    for key, target in TARGETS.items():
        row = [target.words, target.asked]
        for reached in columns:
            value = reached.get(key)
            row.append(target.said(value) + (", short" if target.short(value) else ""))
        rows.append(row + ([target.said(halves.get(key))] if halves else []))
    return rows


def table(columns: Mapping[str, Column], halves: Column | None = None) -> str:
    """For a screen."""
    head = ["", "target", *columns, *(["halves of real"] if halves else [])]
    rows = [head, *cells(columns.values(), halves)]
    wide = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        line = [first.ljust(wide[0])]
        line += [cell.rjust(w) for cell, w in zip(others, wide[1:], strict=True)]
        lines.append("  ".join(line))
    return "\n".join(lines)


def markdown(columns: Mapping[str, Column], halves: Column) -> str:
    """For the model card."""
    head = ["", "target", *columns, "two halves of real portraits"]
    rows = [head, [":--", *["--:"] * (len(head) - 1)], *cells(columns.values(), halves)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def stored() -> tuple[dict[str, Column], Column]:
    """All networks whose numbers are in the package, and two halves of real portraits."""
    columns: dict[str, Column] = dict(earlier())
    columns |= {name: quality(name) for name in NETWORKS}
    return columns, of_samples(evaluation(NETWORKS[0]), halves=True)


if __name__ == "__main__":
    print(markdown(*stored()))
