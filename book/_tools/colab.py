"""Do as a reader in Colab does, here: its versions, a chapter's first cell, a model, a slider.

    make colab PYTHON=python3.12

makes an environment with the versions of `colab.txt`, builds the wheel, and runs this with it. A
kernel that believes it is in Colab then runs the installing cell of a chapter (the wheel stands in
for the address, which may be out of reach), the imports of all chapters, `hsem.load()` with two
samples, and one slider, which it moves.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
IN_COLAB = """\
import sys, types

for name in ("google", "google.colab"):
    sys.modules[name] = types.ModuleType(name)"""
MODEL = """\
import hsem
from hsem import viz

model = hsem.load()
samples = hsem.sample(model, seeds=range(2), steps=5, progress=False)
assert samples.images.isfinite().all() and samples.h_seq.shape[:2] == (2, 5)"""
SLIDER = """\
import ipywidgets

v = hsem.Direction(samples.h_seq[0] - samples.h_seq[1], samples.schedule.timesteps)
frames = [
    hsem.sample(model, [0], steps=5, edit=hsem.add(v, g), record=(), progress=False).images
    for g in (-1, 0, 1)
]
import torch

film = viz.slider(torch.stack(frames), (-1, 0, 1), "g", alt="A portrait moved along a line")
shown = [c for c in film.children if isinstance(c, ipywidgets.HTML)][0]
before = shown.value
film.children[0].index = 2
if not hasattr(ipywidgets, "Stack"):  # Python swaps the frame
    assert "<img" in before and shown.value != before
display(film)"""


def installing(chapter: Path, wheel: Path) -> str:
    """The chapter's installing cell, with a wheel in the place of the address.

    Raises
    ------
    ValueError
        If there is no cell that installs from an address in Colab.
    """
    for cell in nbformat.read(chapter, 4).cells:
        source, found = re.subn(r'"hsem @ git\+[^"]+"', f'"{wheel}"', str(cell.source))
        if found and "google.colab" in source:
            return source
    raise ValueError(f"{chapter} has no cell that installs hsem in Colab")


def imports(chapters: list[Path]) -> str:
    """All import statements of the chapters' code, each once."""
    found: dict[str, None] = {}
    for chapter in chapters:
        for cell in nbformat.read(chapter, 4).cells:
            if cell.cell_type == "code" and "%pip" not in cell.source:
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, (ast.Import, ast.ImportFrom)):
                        found[ast.unparse(node)] = None
    return "\n".join(found)


def visit(chapters: list[Path], wheel: Path) -> NotebookNode:
    """What a reader would run, as a notebook."""
    sources = [IN_COLAB, installing(chapters[0], wheel), imports(chapters), MODEL, SLIDER]
    code = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=code)


def main() -> int:
    """Command line: the wheel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheel", type=Path)
    notebook = visit(CHAPTERS, parser.parse_args().wheel.resolve())
    folder = {"metadata": {"path": str(ROOT / "_build")}}  # not here: the wheel is to be imported
    try:
        NotebookClient(notebook, timeout=None, kernel_name="python3", resources=folder).execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Python {sys.version.split()[0]}: {len(CHAPTERS)} chapters' imports, a model, a slider")
    return 0


if __name__ == "__main__":
    sys.exit(main())
