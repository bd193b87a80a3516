"""Each page of the built book, opened from disk with the network off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.visit import visit

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html/book"
NAMES = re.findall(r"(?:file|root): (book/\S+)", (ROOT / "_toc.yml").read_text())


@pytest.fixture(params=NAMES)
def page(request: pytest.FixtureRequest) -> Path:
    path = ROOT / "_build/html" / f"{request.param}.html"
    if not path.exists():
        pytest.fail(f"{path} is missing: build the book first (`make html`)", pytrace=False)
    return path


def test_page_works_without_network(browser: Browser, page: Path) -> None:
    with visit(browser, page) as seen:
        films = seen.films()
        notebook = ROOT / "book" / f"{page.stem}.ipynb"
        if notebook.exists() and "hsem-film" in notebook.read_text():
            assert films, "the notebook stores sliders, but the page draws none"
        assert seen.move_all() == []
        assert seen.outside == []
        assert seen.errors == []
        assert seen.images_without_text() == []


def test_formulas_are_set(browser: Browser) -> None:
    """MathJax came from disk: no formula is left as source."""
    with visit(browser, HTML / "notation.html") as seen:
        seen.page.wait_for_selector("mjx-container", timeout=20_000)
        assert seen.page.locator("mjx-container").count() >= 20
        assert "\\mathbf" not in seen.page.inner_text("main")


def test_first_page_leads_into_the_book(browser: Browser) -> None:
    with visit(browser, ROOT / "_build/html/index.html") as seen:
        seen.page.wait_for_url("**/book/intro.html")
