"""Open one built page with the network off, move its sliders, and note what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ElementHandle, Page

LOCAL = ("file:", "data:", "blob:", "about:")
# In one film: the frames that can be seen, each as [alt, loaded, source].
SEEN = """film => [...film.querySelectorAll('img.hsem-frame')]
    .filter(img => img.getBoundingClientRect().width > 0)
    .map(img => [img.alt, img.complete && img.naturalWidth > 0, img.src])"""


class Visit:
    """A page that was opened, and what it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.outside: list[str] = []
        self.errors: list[str] = []

    def films(self) -> list[ElementHandle]:
        """All sliders with their pictures, once as many are drawn as the page stores."""
        stored = self.page.locator(
            "script[type='application/vnd.jupyter.widget-view+json']"
        ).count()
        if stored:
            self.page.wait_for_function(
                "n => document.querySelectorAll('.hsem-film .noUi-handle').length > 0"
                " && document.querySelectorAll('.cell_output .widget-subarea > *,"
                " .cell_output .jupyter-widgets.hsem-film').length >= n",
                arg=stored,
                timeout=20_000,
            )
        return self.page.query_selector_all(".hsem-film")

    def move_all(self) -> list[str]:
        """Move every slider there and back with the keyboard; returns what did not work."""
        return [fault for film in self.films() for fault in self.move(film)]

    def move(self, film: ElementHandle) -> list[str]:
        """Move the sliders of one film."""
        faults = []
        for slider in film.query_selector_all(".widget-slider"):
            handle = slider.query_selector(".noUi-handle")
            if handle is None or handle.bounding_box() is None:
                continue  # the live slider, which a page without a kernel hides
            name = handle.get_attribute("aria-label")
            if not name:
                faults.append("a slider has no name (aria-label)")
            before = film.evaluate(SEEN)
            value = handle.get_attribute("aria-valuetext")
            # at the right end there is only one way to go
            there, back = "ArrowRight", "ArrowLeft"
            handle.press(there)
            self.page.wait_for_timeout(60)
            if handle.get_attribute("aria-valuetext") == value:
                there, back = back, there
                handle.press(there)
                self.page.wait_for_timeout(60)
            after = film.evaluate(SEEN)
            handle.press(back)
            self.page.wait_for_timeout(60)
            again = film.evaluate(SEEN)
            for when, seen in (("before", before), ("after", after)):
                if len(seen) != 1 or not seen[0][1]:
                    faults.append(f"slider {name!r}: {len(seen)} pictures {when} moving, not one")
            if [s[2] for s in after] == [s[2] for s in before]:
                faults.append(f"slider {name!r}: the picture did not change")
            if [s[0] for s in after] == [s[0] for s in before]:
                faults.append(f"slider {name!r}: the alternative text did not change")
            if again != before:
                faults.append(f"slider {name!r}: moving back did not restore the picture")
        return faults

    def images_without_text(self) -> list[str]:
        """Images whose alternative text is missing, empty, or the name of a file."""
        return list(
            self.page.evaluate(
                """() => [...document.querySelectorAll('img')]
                .filter(img => !(img.getAttribute('alt') || '').trim()
                        || /\\.(png|jpe?g|webp|svg)$/.test(img.alt))
                .map(img => img.src.slice(0, 100))"""
            )
        )


@contextmanager
def visit(browser: Browser, path: Path, dark: bool = False, width: int = 1280) -> Iterator[Visit]:
    """Open a file; every request that leaves the disk is stopped and noted."""
    context = browser.new_context(
        offline=True,
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    seen = Visit(page)

    def decide(route):  # type: ignore[no-untyped-def]
        if route.request.url.startswith(LOCAL):
            route.continue_()
        else:
            seen.outside.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
    page.on("requestfailed", lambda request: seen.errors.append(f"not found: {request.url}"))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.goto(path.resolve().as_uri(), wait_until="load")
    try:
        yield seen
    finally:
        context.close()
