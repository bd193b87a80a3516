"""A notebook with the playground, for `make live` and for Colab: the model there, a kernel here."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

TEXT = """# The model, live

The same controls as on the page *The model on this page*, for any model: put another one, and
directions found for it, in the cell below. Only what a change touches is computed again."""
CODE = """import hsem
from hsem import viz

model = hsem.load()
directions = hsem.results.load("named", model).directions
# the judge that did not choose the examples of these directions
judge = hsem.classifier.load(hsem.classifier.SECOND)
viz.playground(model, directions, scorer=judge)"""


def main() -> None:
    """Write it to the path in the first argument, unless the reader's own is there."""
    path = Path(sys.argv[1])
    if path.exists():
        return
    cells = [nbformat.v4.new_markdown_cell(TEXT), nbformat.v4.new_code_cell(CODE)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


if __name__ == "__main__":
    main()
