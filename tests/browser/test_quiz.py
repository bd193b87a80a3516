"""Predictions and the blind test, played with the keyboard alone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page

from hsem import viz
from tests.browser.conftest import build
from tests.browser.test_accessibility import findings
from tests.browser.visit import visit

QUIZ = """<div class="hsem-quiz">

**Before you look.** What is $1 + 1$?

1. one, of `course`
2. two
3. many

<details><summary>Answer</summary>

**<data value="sum">2</data>.** Because 3 is more.

</details>
</div>"""


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("quiz")
    shades = torch.linspace(-1, 1, 8).reshape(8, 1, 1, 1).expand(8, 3, 16, 16)
    test = viz.blind_test(
        shades,
        [0, 0, 0, 0, 1, 1, 1, 1],
        ["dark", "light"],
        question="Is it dark or light?",
        alt="one shade of grey",
    )
    shown = new_code_cell("test", id="test", execution_count=1)
    data = {"text/html": test._repr_html_(), "text/plain": repr(test)}
    shown.outputs = [new_output("display_data", data=data)]
    text = new_markdown_cell("# Quiz\n\n" + QUIZ, id="quiz")
    nb = new_notebook(cells=[text, shown])
    nb.metadata.language_info = {"name": "python", "mimetype": "text/x-python"}
    path = source / "quiz.ipynb"
    nbformat.write(nb, path)
    return build(source / "book_source", path)


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def page(browser: Browser, page_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    with visit(browser, page_path, dark=request.param) as seen:
        yield seen.page
        assert seen.errors == [] and seen.outside == []
        assert findings(seen) == {}


def text_of(page: Page, what: str) -> str:
    return page.inner_text(what).strip()


def test_a_prediction_by_keyboard(page: Page) -> None:
    buttons = page.query_selector_all(".hsem-quiz button")
    assert [b.inner_text() for b in buttons] == ["one, of course", "two", "many"]
    assert page.query_selector(".hsem-quiz details[open]") is None
    buttons[0].focus()
    page.keyboard.press("Enter")
    assert "Not so" in text_of(page, ".hsem-quiz [role=status]")
    assert page.query_selector(".hsem-quiz details[open]") is not None
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert "right" in text_of(page, ".hsem-quiz [role=status]")
    assert [b.get_attribute("aria-pressed") for b in buttons] == ["false", "true", "false"]


@pytest.mark.parametrize(
    ("light", "said"),
    [
        (range(4, 8), "right in 8 of 8. Guessing gives 4 on average, and 8 or more with "
         "probability 0.0039: you can see it."),
        (range(4), "right in 0 of 8. Guessing gives 4 on average, and 0 or more with "
         "probability 1.00: no better than guessing."),
        ((0, 1, 4, 5), "right in 4 of 8. Guessing gives 4 on average, and 4 or more with "
         "probability 0.64: no better than guessing."),
    ],
)  # fmt: skip
def test_the_blind_test_by_keyboard(page: Page, light: range, said: str) -> None:
    assert not page.is_visible(".hsem-blind details")
    page.focus(".hsem-blind fieldset:not([hidden]) button")
    for trial in range(8):
        visible = page.query_selector_all(".hsem-blind fieldset:not([hidden])")
        assert len(visible) == 1
        assert text_of(page, ".hsem-blind [role=status]") == f"{trial + 1} of 8"
        if trial in light:
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    assert text_of(page, ".hsem-blind [role=status]").endswith(said)
    assert page.is_visible(".hsem-blind details")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "status"


def test_without_script_everything_is_there(browser: Browser, page_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    assert page.locator(".hsem-blind fieldset").count() == 8
    assert page.is_visible(".hsem-blind details summary")
    assert page.locator(".hsem-quiz li").count() == 3
    assert page.locator(".hsem-quiz button").count() == 0
    page.click(".hsem-quiz summary")
    assert page.is_visible(".hsem-quiz details p")
    context.close()
