"""The Makefile in a folder with a space, and on a machine that is slow; no chapter is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from execute import main, run
from nbformat.v4 import new_code_cell, new_notebook

from hsem.recipes.command import find, variants

ROOT = Path(__file__).resolve().parents[2]
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> log
while [ $# -gt 0 ]; do [ "$1" = --output ] && touch "$2"; shift; done
true
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small book under our Makefile; programs write down how they were called."""
    folder = tmp_path / "a folder" / "hsem"
    needed = [
        path.relative_to(ROOT)
        for room in ("hsem", "book/_tools", "book/_static")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    for name in (*needed, "_config.yml", "_toc.yml", "constraints.txt", "pyproject.toml",
                 "book/a.ipynb", "book/b.md", "book/_static/vendor/NOTICE.txt",
                 ".venv/axe/axe.min.js"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n", encoding="utf-8")
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("python", "jupyter-book", "ruff", "mypy"):
        program = folder / ".venv" / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(STUB)
        program.chmod(0o755)
    return folder


def make(folder: Path, *arguments: str) -> str:
    """What `make` says; without the settings of a `make` that runs this test."""
    settings = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    settings.pop("CELL_TIMEOUT", None)
    done = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env=settings
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
def test_a_book_in_a_folder_with_a_space(checkout: Path) -> None:
    said = make(checkout, "book")
    assert f"The book is at {checkout}/_build/html/index.html" in said
    executed = checkout / "_build" / "executed"
    assert (executed / "book" / "a.ipynb").is_file()  # by the stub of execute.py
    assert (executed / "book" / "b.md").read_text() == "book/b.md\n"
    for name in ("_tools", "_static"):
        link = executed / "book" / name
        assert link.is_symlink() and link.resolve() == checkout / "book" / name
        assert not os.path.isabs(os.readlink(link))
    (checkout / "log").unlink()
    make(checkout, "book")  # once more: links are replaced, chapters are not run again
    assert "execute.py" not in (checkout / "log").read_text()
    assert not (checkout / "book" / "_static" / "_static").exists()


@needs_make
def test_an_absolute_link_would_not_have_worked(checkout: Path) -> None:
    """Control: how it was, in the same folder."""
    text = (checkout / "Makefile").read_text()
    assert "../../../$(@:$(RUN)/%=%)" in text
    old = text.replace("../../../$(@:$(RUN)/%=%)", "$(abspath $(@:$(RUN)/%=%))")
    (checkout / "Makefile").write_text(old)
    with pytest.raises(AssertionError, match="ln:"):
        make(checkout, "book")


@needs_make
@pytest.mark.parametrize("target", ["help", "html", "notebooks", "lint", "clean"])
def test_other_targets_there(checkout: Path, target: str) -> None:
    make(checkout, target)


@needs_make
def test_readers_have_no_limit_and_tests_have_one(checkout: Path) -> None:
    for target in ("book", "notebooks"):
        assert "--timeout" not in make(checkout, "--dry-run", target)
        assert "--timeout 77" in make(checkout, "--dry-run", target, "CELL_TIMEOUT=77")
    assert "--nbval-cell-timeout=300" in make(checkout, "--dry-run", "test")
    assert "--nbval-cell-timeout=77" in make(checkout, "--dry-run", "test", "CELL_TIMEOUT=77")


def test_execute_waits_unless_it_is_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int | None] = []
    monkeypatch.setattr("execute.run", lambda source, target, timeout: given.append(timeout))
    for arguments in ([], ["--timeout", "300"]):
        monkeypatch.setattr("sys.argv", ["execute.py", "a.ipynb", *arguments])
        assert main() == 0
    assert given == [None, 300]
    monkeypatch.undo()
    path = tmp_path / "slow.ipynb"
    cell = new_code_cell("import time\ntime.sleep(4)", id="wait")
    nbformat.write(new_notebook(cells=[cell]), path)
    assert "timed out" in str(run(path, path, timeout=2))
    assert run(path, path, timeout=None) is None


@needs_make
def test_the_book_of_another_model_lies_beside_this_one(checkout: Path) -> None:
    said = make(checkout, "--dry-run", "book", "HSEM_MODEL=owner/name")
    assert "_build/executed-owner-name/book/a.ipynb" in said
    assert "_build/executed/book" not in said
    (checkout / "runs" / "mine").mkdir(parents=True)
    rule = "\nshow:\n\t@echo $$HSEM_MODEL\n"  # a folder here is meant from book/ as well
    (checkout / "Makefile").write_text((checkout / "Makefile").read_text() + rule)
    said = make(checkout, "show", "HSEM_MODEL=runs/mine")
    assert said.strip().endswith(f"{checkout}/runs/mine")


@needs_make
def test_colab_has_an_environment_of_its_own(checkout: Path) -> None:
    said = make(checkout, "--dry-run", "colab", "PYTHON=python3.12")
    lines = [line for line in said.splitlines() if line]
    assert lines[0] == "python3.12 -m venv --clear _build/colab"
    assert [line.split()[-1] for line in lines[1:]] == [
        "book/_tools/colab.txt",
        ".",
        "_build/wheel/hsem-*.whl",
    ]
    assert all("_build/colab/bin/python" in line for line in lines[1:])  # and never .venv
    assert ".venv" not in said


BREAKING = """#!/bin/sh
case "$2" in hsem.recipes.*) ;; *) exit 0 ;; esac
while [ $# -gt 1 ]; do shift; done
echo "$1 $TQDM_DESC $OMP_NUM_THREADS" >> log
[ "$1" != "$(cat broken)" ]
"""


@needs_make
def test_results_go_on_with_what_is_not_there(checkout: Path) -> None:
    (checkout / ".venv/bin/python").write_text(BREAKING)
    log, broken = checkout / "log", checkout / "broken"

    def started() -> list[str]:
        lines = log.read_text().splitlines()
        log.unlink()
        assert all(line.split()[1] == line.split()[0] for line in lines)  # bars have names
        return [line.split()[0] for line in lines]

    broken.write_text("principal")
    with pytest.raises(AssertionError):
        make(checkout, "results", "JOBS=1")
    first = started()
    assert first[-1] == "principal" and len(first) > 1
    broken.write_text("")
    make(checkout, "results", "JOBS=1")
    second = started()
    assert second[0] == "principal" and not set(first[:-1]) & set(second)
    make(checkout, "results", "JOBS=3")  # nothing was left unfinished: all of it anew
    assert sorted(started()) == sorted({*first, *second})

    broken.write_text("learning")
    with pytest.raises(AssertionError):
        make(checkout, "results", "JOBS=1")
    weights = next((checkout / "hsem/data/portraits-64/unet").iterdir())
    os.utime(weights, (2**31, 2**31))  # new weights: what is there is of the old ones
    broken.write_text("")
    started()
    make(checkout, "results", "JOBS=1")
    assert sorted(started()) == sorted({*first, *second})


@needs_make
def test_results_are_all_there_and_wait_for_each_other(checkout: Path) -> None:
    (checkout / ".venv/bin/python").write_text(BREAKING)
    (checkout / "broken").write_text("")
    make(checkout, "results", "JOBS=1")
    order = [line.split()[0] for line in (checkout / "log").read_text().splitlines()]
    stems = [p.stem for p in (ROOT / "hsem/recipes").glob("*.py") if "def fill(" in p.read_text()]
    every = {
        name: find(name)[1]
        for stem in stems
        for name in variants(import_module(f"hsem.recipes.{stem}"))
    }
    assert sorted(order) == sorted(every)
    said = make(checkout, "--dry-run", "--print-data-base", "results")
    for name, args in every.items():
        rule = re.findall(rf"^_build/results/{name}: (.*)$", said, re.MULTILINE)[0]
        for key in ("directions", "principal", "samples"):
            taken = getattr(args, key, None)
            assert taken is None or f"_build/results/{taken}" in rule.split(), (name, taken)
