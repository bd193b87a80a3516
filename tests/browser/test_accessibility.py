"""axe-core on every page, in light and dark: nothing of ours may be found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.test_book import NAMES, ROOT
from tests.browser.visit import Visit, visit

AXE = Path(sys.prefix) / "axe" / "axe.min.js"
# of the theme and of the bibliography's extension; not ours to mend
KNOWN = {
    "region",
    "label-content-name-mismatch",
    "aria-allowed-role",
    "aria-deprecated-role",
    "aria-required-children",
}


def findings(seen: Visit) -> dict[str, list[str]]:
    """Rule -> elements that break it."""
    if not AXE.exists():
        pytest.fail(f"{AXE} is missing: `make setup-test` fetches it", pytrace=False)
    seen.page.evaluate(AXE.read_text())
    result = seen.page.evaluate("axe.run()")
    return {
        v["id"]: [node["html"][:150] for node in v["nodes"]]
        for v in result["violations"]
        if v["id"] not in KNOWN
    }


# what scrolls on a telephone must be reached by keyboard there
LOOKS = {
    "light": (False, 1280),
    "dark": (True, 1280),
    "telephone": (False, 390),
    "telephone, dark": (True, 390),
}


@pytest.mark.parametrize(("dark", "width"), LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_page(browser: Browser, name: str, dark: bool, width: int) -> None:
    with visit(browser, ROOT / "_build/html" / f"{name}.html", dark=dark, width=width) as seen:
        seen.films()
        assert findings(seen) == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_sliders_boards_and_pictures(browser: Browser, small_page: Path, dark: bool) -> None:
    with visit(browser, small_page, dark=dark) as seen:
        assert seen.films()
        assert findings(seen) == {}


def test_negative_control(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<p style='color:#ccc'>hardly to be read</p><img src='data:image/png,'>")
    with visit(browser, page) as seen:
        assert {"color-contrast", "image-alt"} <= set(findings(seen))
