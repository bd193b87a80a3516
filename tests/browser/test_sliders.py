"""Every kind of slider, in a small book of one page; and that the checks can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import build
from tests.browser.visit import visit

STATE = "application/vnd.jupyter.widget-state+json"


def test_sliders_and_boards_move_without_kernel_and_network(
    browser: Browser, small_page: Path
) -> None:
    with visit(browser, small_page) as seen:
        films = seen.films()
        sliders = [len(f.query_selector_all(".widget-slider")) for f in films]
        assert sliders == [1, 2, 2, 6]  # slider, live slider, board of two, live board of three
        assert seen.move_all() == []
        assert seen.outside == []
        assert seen.errors == []
        assert seen.images_without_text() == []


def test_every_combination_of_a_board_is_another_picture(
    browser: Browser, small_page: Path
) -> None:
    with visit(browser, small_page) as seen:
        board = seen.films()[3]
        handles = board.query_selector_all(".noUi-handle")[:3]
        for handle in handles:
            handle.press("ArrowLeft")  # from the middle of three to the first
        seen_alts = set()
        for _ in range(3):
            for _ in range(3):
                for _ in range(3):
                    seen.page.wait_for_timeout(30)
                    (frame,) = board.evaluate(
                        "f => [...f.querySelectorAll('img.hsem-frame')]"
                        ".filter(i => i.getBoundingClientRect().width > 0).map(i => i.alt + i.src)"
                    )
                    seen_alts.add(frame)
                    handles[2].press("ArrowRight")
                for _ in range(2):
                    handles[2].press("ArrowLeft")
                handles[1].press("ArrowRight")
            for _ in range(2):
                handles[1].press("ArrowLeft")
            handles[0].press("ArrowRight")
        assert len(seen_alts) == 27


def test_dragging_with_the_mouse_moves_the_picture(browser: Browser, small_page: Path) -> None:
    with visit(browser, small_page) as seen:
        film = seen.films()[0]
        handle = film.query_selector(".noUi-handle")
        assert handle is not None
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = handle.get_attribute("aria-valuetext")
        seen.page.mouse.move(x, y)
        seen.page.mouse.down()
        seen.page.mouse.move(x + 400, y, steps=8)
        seen.page.mouse.up()
        assert before == "0"
        assert handle.get_attribute("aria-valuetext") == "+1"
        alt = film.evaluate(
            "f => [...f.querySelectorAll('img.hsem-frame')]"
            ".find(i => i.getBoundingClientRect().width > 0).alt"
        )
        assert alt == "three slanted shades; red +1"


def test_a_slider_with_a_name_is_a_numbered_figure(browser: Browser, small_page: Path) -> None:
    with visit(browser, small_page) as seen:
        seen.films()
        figure = seen.page.locator("figure#fig-slider")
        assert figure.locator(".hsem-film .noUi-handle").count() == 1
        assert figure.locator(".hsem-labelled:visible span:visible").all_inner_texts() == [
            "one",
            "two",
            "three",
        ]
        shown = figure.locator("figcaption:visible")  # once, though the film has its own
        assert shown.all_inner_texts() == ["Figure 1 A slider."]
        assert "Figure 1 is a slider" in seen.page.inner_text("article")


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_keep_their_colours(browser: Browser, small_page: Path, dark: bool) -> None:
    with visit(browser, small_page, dark=dark) as seen:
        seen.films()
        assert seen.page.evaluate("document.documentElement.dataset.theme") == (
            "dark" if dark else "light"
        )
        filters = seen.page.evaluate(
            "[...document.querySelectorAll('img.hsem-frame')].map(i => getComputedStyle(i).filter)"
        )
        assert len(filters) == 6  # a grid, a figure, and one frame of each of four films
        assert set(filters) == {"none"}


def test_negative_control_a_slider_without_its_link_is_reported(
    browser: Browser, executed: Path, tmp_path: Path
) -> None:
    nb = json.loads(executed.read_text())
    state = nb["metadata"]["widgets"][STATE]["state"]
    (slider,) = (
        k
        for k, m in state.items()
        if m["state"].get("description") == "red to green"
        and m["model_name"] == "SelectionSliderModel"
    )
    links = [k for k, m in state.items() if m["model_name"] == "LinkModel" and slider in str(m)]
    for link in links:
        del state[link]
    broken = tmp_path / "sliders.ipynb"
    broken.write_text(json.dumps(nb))
    with visit(browser, build(tmp_path / "source", broken)) as seen:
        faults = seen.move_all()
    assert faults == [
        "slider 'red to green': the picture did not change",
        "slider 'red to green': the alternative text did not change",
    ]


def test_negative_control_outside_requests_errors_and_missing_texts_are_reported(
    browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<img src='https://example.org/a.png'><img alt='../_images/1234.png'>"
        "<img alt='a sentence about a picture'><script>undefinedFunction()</script>"
    )
    with visit(browser, page) as seen:
        assert seen.outside == ["https://example.org/a.png"]
        assert any("undefinedFunction" in error for error in seen.errors)
        assert len(seen.images_without_text()) == 2
