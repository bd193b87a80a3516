"""One headless Chromium for all browser tests, and the small book built from the fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import FLAGS, find_or_install

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests/notebooks/fixtures/sliders.ipynb"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        path = find_or_install()
    except FileNotFoundError as error:
        if os.environ.get("HSEM_ALLOW_NO_BROWSER") == "1":
            pytest.skip(str(error))
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def build(source: Path, notebook: Path) -> Path:
    """Build a book of one page with the real configuration; returns the page."""
    (source / "book").mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", source)
    for name in ("_static", "_tools", "references.bib"):
        (source / "book" / name).symlink_to(ROOT / "book" / name)
    (source / "_toc.yml").write_text("format: jb-book\nroot: book/sliders\n")
    shutil.copy(notebook, source / "book/sliders.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source, "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "_build/html/book/sliders.html"


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture notebook, run by the tool that runs the chapters."""
    target = tmp_path_factory.mktemp("executed") / "sliders.ipynb"
    command = [sys.executable, ROOT / "book/_tools/execute.py", "--output", target, FIXTURE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="session")
def small_page(executed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("small"), executed)
