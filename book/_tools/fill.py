"""Write into the text the numbers that the chapters published (`hsem.viz.publish`).

A sentence of a chapter or page holds `<data value="NAME"></data>`; what a code cell published under
that name is written between the two marks. Elsewhere the name is `CHAPTER:NAME`, and a benchmark's
`benchmarks/BENCHMARK:NAME`, of its last run. So the stored
text can be read on GitHub, in Colab and in the book, and cannot differ from what the run found:
`--check`, and a test, say where it does.

Lines of tables can be listed elsewhere. If the mark of a verdict has a title, the name of the
claim, `rows/PAGE/VERDICT` gives the titles of all lines with that verdict that link to PAGE,
`rows/all/VERDICT` those of all pages, and `rows/VERDICT` their number.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MIME = "application/vnd.hsem.published+json"
MARK = re.compile(r'<data value="([^"]*)"((?: title="[^"]*")?)>(.*?)</data>', re.S)
LINE = re.compile(r'^\|.*<data value="([^"]*)" title="([^"]*)">.*\]\((\w+)\.(?:ipynb|md)\)', re.M)
VERDICTS = ("holds", "in part", "does not hold", "not tested")


def published(nb: Mapping[str, Any]) -> dict[str, str]:
    """What the code cells of a stored notebook published, by name."""
    texts: dict[str, str] = {}
    for cell in nb["cells"]:
        for output in cell.get("outputs", ()):
            for name, text in output.get("data", {}).get(MIME, {}).items():
                if texts.setdefault(name, text) != text:
                    raise ValueError(f"{name!r} is published twice: {texts[name]!r} and {text!r}")
    return texts


class Fill:
    """Fills texts from the stored chapters of a folder, and notes names that nobody published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, dict[str, str]] = {}
        self.missing: list[str] = []

    def chapter(self, name: str) -> dict[str, str]:
        """What a chapter, or the last run of a benchmark, published."""
        if name.startswith("benchmarks/") and name not in self.known:
            runs = self.folder.parent.glob(f"benchmarks/results/{Path(name).name}-*.json")
            last = max(runs, default=None)  # by their dates
            stored = json.loads(last.read_text("utf-8")) if last else {}
            self.known[name] = stored.get("published", {})
        if name not in self.known:
            path = self.folder / f"{name}.ipynb"
            stored = json.loads(path.read_text("utf-8")) if path.exists() else {"cells": []}
            self.known[name] = published(stored)
            self.known[name] |= self.rows(stored, self.known[name])
        return self.known[name]

    def rows(self, nb: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
        """The titled lines of its tables, by the page they link to and by their verdicts."""
        text = "\n".join(
            "".join(cell["source"]) for cell in nb["cells"] if cell["cell_type"] == "markdown"
        )
        lines = [(page, self.value(name, own), title) for name, title, page in LINE.findall(text)]
        found: dict[str, str] = {}
        for verdict in VERDICTS if lines else ():
            word = verdict.replace(" ", "-")
            found[f"rows/{word}"] = str(sum(said == verdict for _, said, _ in lines))
            for page in {"all", *(page for page, _, _ in lines)}:
                titles = [
                    title
                    for where, said, title in lines
                    if said == verdict and page in ("all", where)
                ]
                found[f"rows/{page}/{word}"] = "; ".join(titles) or "–"
        return found

    def value(self, name: str, own: Mapping[str, str]) -> str | None:
        """What was published under a name, here or in another chapter; None if nothing was."""
        chapter, _, short = name.rpartition(":")
        return (self.chapter(chapter) if chapter else own).get(short)

    def text(self, text: str, own: Mapping[str, str]) -> str:
        """The text with its marks filled."""

        def fill(match: re.Match[str]) -> str:
            found = self.value(match[1], own)
            if found is None:
                self.missing.append(match[1])
                return match[0]
            return f'<data value="{match[1]}"{match[2]}>{found}</data>'

        return MARK.sub(fill, text)

    def notebook(self, nb: Any) -> None:
        """Fill the Markdown cells of a notebook that has been run."""
        own = published(nb)
        own |= self.rows(nb, own)
        for cell in nb["cells"]:
            if cell["cell_type"] == "markdown":
                source = cell["source"]
                whole = source if isinstance(source, str) else "".join(source)
                filled = self.text(whole, own)
                if filled != whole:
                    is_text = isinstance(source, str)
                    cell["source"] = filled if is_text else filled.splitlines(keepends=True)

    def page(self, path: Path) -> str:
        """The whole text of a file, filled."""
        text = path.read_text("utf-8")
        if path.suffix != ".ipynb":
            return self.text(text, {})
        nb = json.loads(text)
        self.notebook(nb)
        return json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Command line: fill pages in place, or say which are not as they should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pages", nargs="*", type=Path, help="all of the book and README if none")
    parser.add_argument("--check", action="store_true", help="change nothing, only tell")
    args = parser.parse_args()
    book = ROOT / "book"
    pages = args.pages or [*sorted(book.glob("*.ipynb")), *sorted(book.glob("*.md"))]
    if not args.pages:
        pages.append(ROOT / "README.md")
    wrong = 0
    for path in pages:
        fill = Fill(book)
        filled = fill.page(path)
        for name in fill.missing:
            print(f"{path}: nobody publishes {name!r}", file=sys.stderr)
        stale = filled != path.read_text("utf-8")
        wrong += bool(fill.missing) or (args.check and stale)
        if stale and args.check:
            print(f"{path}: not as the chapters publish it; run `make numbers`", file=sys.stderr)
        elif stale:
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_text(filled, "utf-8")
            os.replace(unfinished, path)
            print(path)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
