"""What the tests of the playground share: open the page, start it, read what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_book import HTML
from tests.browser.visit import Visit, visit

PAGE = HTML / "playground.html"
STATIC = HTML.parent / "_static"
ROOT = "document.getElementById('hsem-playground')"
# of 255; the browser multiplies matrices in another order, and bytes round
LEVELS = 2
SIDES = ("before", "after")


@contextmanager
def started(browser: Browser, link: str, width: int = 1280, dark: bool = False) -> Iterator[Visit]:
    """The page from disk with the network off, a link in its address, after its first picture."""
    with visit(browser, PAGE, dark=dark) as seen:
        seen.page.set_viewport_size({"width": width, "height": 900})
        seen.page.evaluate(f"location.hash = '{link}'")
        start(seen.page)
        yield seen


def start(page: Page) -> None:
    """Press start, and wait for the picture."""
    for name in ("model.js", "wasm.js"):
        if not (STATIC / "live" / name).exists():
            pytest.fail(f"live/{name} is missing: `make html` packs it", pytrace=False)
    page.get_by_role("button", name="Start").click()
    wait(page)


def wait(page: Page, seconds: int = 120) -> None:
    """Until the picture is there."""
    page.wait_for_function(
        f"['drawn', 'failed'].includes({ROOT}.dataset.state) || "
        f"/could not/.test({ROOT}.textContent)",
        timeout=1000 * seconds,
    )
    assert page.evaluate(f"{ROOT}.dataset.state") == "drawn", said(page)


def said(page: Page) -> str:
    """What the live region tells a screen reader."""
    return page.inner_text("#hsem-playground [role=status]")


def pixels(page: Page, which: str) -> np.ndarray:
    """(64, 64, 3) bytes of the picture before or after the edit."""
    index = SIDES.index(which)
    data = page.evaluate(
        "k => { const c = document.querySelectorAll('#hsem-playground canvas')[k];"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }",
        index,
    )
    return np.array(data, dtype=np.uint8).reshape(64, 64, 4)[..., :3]


def reading(page: Page, name: str) -> tuple[float, float]:
    """What the judge reads before and after."""
    row = page.locator(f"#hsem-playground tr[data-name={name}]")
    before, after = (float(row.get_attribute(f"data-{side}") or "nan") for side in SIDES)
    return before, after


def apart(a: np.ndarray, b: np.ndarray) -> int:
    """The largest difference of two pictures, in levels of 255."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())
