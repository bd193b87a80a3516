"""`make colab` runs what a reader in Colab runs; here without the environment that it makes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import colab
import nbformat
import pytest
from packaging.requirements import Requirement

WHEEL = Path("/wheels/hsem-0.1.0-py3-none-any.whl")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("chapter", colab.CHAPTERS, ids=lambda path: path.stem)
def test_the_installing_cell_takes_the_wheel(chapter: Path) -> None:
    cell = colab.installing(chapter, WHEEL)
    assert f'%pip install -q --no-deps "{WHEEL}"' in cell and "git+" not in cell
    assert 'if "google.colab" in sys.modules' in cell


def test_imports_are_all_there_and_run() -> None:
    found = colab.imports(colab.CHAPTERS).splitlines()
    assert len(found) == len(set(found)) > 20
    assert {"import hsem", "from hsem import viz"} <= {*found, "from hsem import viz"}
    for chapter in colab.CHAPTERS:  # by another way: no line that begins with one is forgotten
        for cell in nbformat.read(chapter, 4).cells:
            if cell.cell_type == "code" and "%pip" not in cell.source:
                for name in re.findall(r"^(?:import|from) ([\w.]+)", cell.source, re.M):
                    assert any(name in line for line in found), name
    exec("\n".join(found), {})


def notebook(path: Path, source: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, id="x")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_an_import_that_colab_lacks_is_met(tmp_path: Path) -> None:
    path = notebook(tmp_path / "a.ipynb", "def f():\n    import no_such_package_here")
    with pytest.raises(ImportError, match="no_such_package_here"):
        exec(colab.imports([path]), {})
    with pytest.raises(ValueError, match="no cell that installs hsem"):
        colab.installing(path, WHEEL)


def test_the_model_and_the_slider_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    space = {"display": shown.append}
    exec(colab.MODEL.replace("hsem.load()", "hsem.tiny_unet(0)"), space)
    monkeypatch.delattr("ipywidgets.Stack", raising=False)  # as ipywidgets 7
    exec(colab.SLIDER, space)
    assert len(shown) == 1


def test_a_kernel_believes_it_is_in_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, sys)  # put back afterwards
    exec(colab.IN_COLAB, {})
    assert sys.modules["google.colab"].__name__ == "google.colab"
    cells = [c.source for c in colab.visit(colab.CHAPTERS, WHEEL).cells]
    assert cells[0] == colab.IN_COLAB and str(WHEEL) in cells[1] and len(cells) == 5


def test_versions_are_colabs() -> None:
    lines = (ROOT / "book" / "_tools" / "colab.txt").read_text().splitlines()
    wanted = {r.name: r.specifier for r in map(Requirement, filter(is_requirement, lines))}
    for name, version in {"torch": "2.11.0", "diffusers": "0.39.0", "ipywidgets": "7.7.1"}.items():
        assert version in wanted[name] and "9.9.9" not in wanted[name]


def is_requirement(line: str) -> bool:
    return bool(line) and not line.startswith("#")
