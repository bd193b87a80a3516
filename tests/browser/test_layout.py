"""What a page shows can be seen: at the width of a laptop and of a telephone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from hsem.viz.picture import INK
from tests.browser.test_book import NAMES, ROOT
from tests.browser.visit import Visit, visit

MAX_BYTES = 6_000_000
# in a wide typeface tables need more room than in ours
LOOKS = {
    "laptop": (1280, False, ""),
    "laptop, dark": (1280, True, ""),
    "laptop, wide letters": (1280, False, ".bd-content table { letter-spacing: 0.03em }"),
    "telephone": (390, False, ""),
    "telephone, dark": (390, True, ""),
}

# Everything in the article that is wider than the room it has: by how many pixels, what it is, and
# whether it, or a box around it, scrolls (and can be reached by keyboard).
WIDER = """() => {
  const article = document.querySelector('article') || document.body;
  const found = [];
  const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  const seen = e => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
  const name = e => e.tagName.toLowerCase() + (e.className ? '.' + e.className : '') + ': '
    + e.textContent.trim().slice(0, 40).replace(/\\s+/g, ' ');
  const kinds = 'table, pre, img, mjx-container[display], .widget-subarea';
  for (const e of article.querySelectorAll(kinds)) {
    if (!seen(e)) continue;
    let box = e;  // where it would scroll
    while (box !== article && !scrolls(box)) box = box.parentElement;
    const hidden = scrolls(box) ? box.scrollWidth - box.clientWidth : 0;
    const wide = e.closest('.full-width');  // takes the margin, too
    const has = e.getBoundingClientRect();
    const room = (wide ? document.documentElement : article).getBoundingClientRect();
    const over = Math.max(has.right - room.right, room.left - has.left);
    const fits = !!e.closest('.cell_output') || e.tagName === 'TABLE';  // or should, on a laptop
    if (hidden > 1) found.push(['scrolls', hidden, name(e), fits]);
    else if (over > 1) found.push(['cut off', over, name(e), fits]);
  }
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1)
    found.push(['page scrolls', root.scrollWidth - root.clientWidth, 'the whole page', false]);
  return found;
}"""
PIPES = """() => {
  const article = document.querySelector('article') || document.body;
  const walk = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const rows = [];
  while (walk.nextNode()) {
    if (walk.currentNode.parentElement.closest('.cell_input, script, style')) continue;
    for (const line of walk.currentNode.textContent.split('\\n'))
      if (/^\\s*\\|.*\\|\\s*$/.test(line)) rows.push(line.trim());
  }
  return rows;
}"""


def faults(seen: Visit, width: int) -> Iterator[str]:
    """What cannot be seen, or only by scrolling where a laptop should not have to."""
    for row in seen.page.evaluate(PIPES):
        yield f"raw table: {row[:60]}"
    for how, pixels, what, fits in seen.page.evaluate(WIDER):
        if how != "scrolls" or (fits and width >= 1280):
            yield f"{how} by {pixels:.0f} px at {width}: {what}"


@pytest.mark.parametrize(("width", "dark", "style"), LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_everything_can_be_seen(
    browser: Browser, name: str, width: int, dark: bool, style: str
) -> None:
    path = ROOT / "_build/html" / f"{name}.html"
    with visit(browser, path, dark=dark, width=width) as seen:
        seen.films()
        if style:
            seen.page.add_style_tag(content=style)
            seen.page.evaluate("window.dispatchEvent(new Event('resize'))")
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        seen.page.wait_for_timeout(50)  # the event of a fold comes a moment later
        assert list(faults(seen, width)) == []


# The ground behind each picture with labels: its own, or that of the nearest box with one.
GROUNDS = """() => [...document.querySelectorAll('img.hsem-frame')].map(img => {
  let box = img, colour;
  do { colour = getComputedStyle(box).backgroundColor; box = box.parentElement; }
  while (box && colour === 'rgba(0, 0, 0, 0)');
  return colour;
})"""


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """As WCAG 2 defines it: 1 for equal colours, 21 for black on white."""

    def luminance(colour: tuple[int, ...]) -> float:
        parts = [c / 255 for c in colour[:3]]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_labels_in_pictures_stand_out(browser: Browser, small_page: Path, dark: bool) -> None:
    with visit(browser, small_page, dark=dark) as seen:
        assert seen.films()
        grounds = seen.page.evaluate(GROUNDS)
    assert grounds
    for ground in set(grounds):
        colour = tuple(map(int, re.findall(r"\d+", ground)))[:3]
        assert contrast(INK, colour) >= 4.5, ground


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.005)
    assert contrast(INK, (18, 18, 18)) < 4.5  # negative control: the theme's own dark ground


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_not_heavy(name: str) -> None:
    page = ROOT / "_build/html" / f"{name}.html"
    images = {*_sources(page.read_text("utf-8"))}
    weight = page.stat().st_size + sum((page.parent / i).resolve().stat().st_size for i in images)
    assert weight < MAX_BYTES, f"{weight / 1e6:.1f} MB"


def _sources(text: str) -> Iterator[str]:
    for part in text.split("<img ")[1:]:
        source = part.partition('src="')[2].partition('"')[0]
        if source.startswith("../_images/"):
            yield source


# Height of the letters in each picture, in pixels (`hsem.viz` draws 13 for a page 720 wide), and
# whether a picture that scrolls can be reached by keyboard.
LETTERS = """() => [...document.querySelectorAll('.hsem-figure')]
  .map(figure => [figure, figure.querySelector('img.hsem-frame')])
  .filter(([figure, img]) => img && img.getClientRects().length)
  .map(([figure, img]) => [
    13 * img.getBoundingClientRect().width / Math.min(720, Number(img.getAttribute('width'))),
    figure.scrollWidth <= figure.clientWidth + 1 || figure.tabIndex === 0, img.alt.slice(0, 60)])"""


def unreadable(seen: Visit) -> list[str]:
    """Pictures whose letters are tiny, or whose right side a keyboard cannot reach."""
    return [
        f"{alt}: letters of {size:.1f} px" if size < 9 else f"{alt}: no way to its right side"
        for size, reached, alt in seen.page.evaluate(LETTERS)
        if size < 9 or not reached
    ]


@pytest.mark.parametrize("name", NAMES)
def test_letters_in_pictures_can_be_read_on_a_telephone(browser: Browser, name: str) -> None:
    with visit(browser, ROOT / "_build/html" / f"{name}.html", width=390) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        seen.page.wait_for_timeout(50)  # the event of a fold comes a moment later
        assert unreadable(seen) == []


# Boxes that scroll sideways, and boxes that say so above their content.
SAID = """() => ['.bd-content figure, .hsem-figure, .hsem-table', '.hsem-more'].map(kinds =>
  [...document.querySelectorAll(kinds)]
    .filter(e => e.matches('.hsem-more') || (getComputedStyle(e).overflowX === 'auto'
      && e.scrollWidth > e.clientWidth + 1)).filter(e => e.getClientRects().length)
    .map(e => e.textContent.trim().slice(0, 40)))"""


@pytest.mark.parametrize("name", ["book/named", "book/regions", "book/table_one"])
def test_what_goes_on_beyond_the_edge_says_so(browser: Browser, name: str) -> None:
    for width in (390, 1280):
        with visit(browser, ROOT / "_build/html" / f"{name}.html", width=width) as seen:
            seen.page.evaluate(
                "document.querySelectorAll('details').forEach(d => { d.open = true })"
            )
            seen.page.wait_for_timeout(200)
            scrolling, told = seen.page.evaluate(SAID)
            assert set(scrolling) <= set(told)
            assert bool(told) == (width == 390)  # and nothing is said where all can be seen


def test_tiny_letters_are_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "tiny.html"
    dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    img = f'<img class="hsem-frame" alt="{{}}" width="{{}}" style="{{}}" src="{dot}">'
    tiny = img.format("tiny", 720, "width:300px;height:9px")
    large = img.format("out of reach", 720, "width:720px;height:9px")
    figure = '<figure class="hsem-figure" style="overflow-x:auto;margin:0">{}</figure>'
    page.write_text("<!doctype html>" + figure.format(tiny) + figure.format(large))
    with visit(browser, page, width=390) as seen:
        assert unreadable(seen) == [
            "tiny: letters of 5.4 px",
            "out of reach: no way to its right side",
        ]


BAD = """<article style="width:300px;overflow:hidden"><p>| a | b |</p>
<div class="cell_output"><div style="overflow-x:auto">{table}</div></div>{table}</article>"""


def test_negative_control(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(BAD.format(table=f"<table><tr><td>{'x' * 100}</table>"))
    with visit(browser, page) as seen:
        found = list(faults(seen, 1280))
        assert [f.split(" by ")[0] for f in found] == ["raw table: | a | b |", "scrolls", "cut off"]
        on_a_phone = list(faults(seen, 390))
        assert [f.split(" by ")[0] for f in on_a_phone] == ["raw table: | a | b |", "cut off"]
    table = f"<div style='overflow-x:auto;width:300px'><table><tr><td>{'x' * 100}</table></div>"
    page.write_text(f"<article>{table}</article>")  # of Markdown, not of a cell
    with visit(browser, page) as seen:
        assert [f.split(" by ")[0] for f in faults(seen, 1280)] == ["scrolls"]
        assert list(faults(seen, 390)) == []
    page.write_text("<article><p>a | b</p><pre>short</pre></article><p style='width:2000px'>x</p>")
    with visit(browser, page) as seen:
        assert [f.split(" by ")[0] for f in faults(seen, 1280)] == ["page scrolls"]


@pytest.mark.parametrize("box", ["hsem-table", "pst-scrollable-table-container"])
def test_a_table_that_is_too_wide_gets_smaller_letters_down_to_a_size(
    browser: Browser, tmp_path: Path, box: str
) -> None:
    page = tmp_path / "wide.html"
    static = (ROOT / "book/_static").as_uri()

    def shown(columns: int, width: int) -> tuple[float, bool]:
        cells = "".join(f"<td style='white-space:nowrap'>0.{k:04}</td>" for k in range(columns))
        page.write_text(
            f"<!doctype html><link rel=stylesheet href={static}/hsem.css>"
            f"<script src={static}/hsem.js></script><body style='font-size:16px'>"
            f"<article class=bd-content style='width:600px'><div class={box} "
            f"style='overflow-x:auto'><table><tr>{cells}</table></div></article>"
        )
        with visit(browser, page, width=width) as seen:
            size, over = seen.page.evaluate(
                "() => { const t = document.querySelector('table'), b = t.parentElement;"
                "return [parseFloat(getComputedStyle(t).fontSize), b.scrollWidth > b.clientWidth] }"
            )
        return size, over

    sizes = [shown(columns, 1280) for columns in range(6, 24, 3)]
    assert sizes[0] == (pytest.approx(14.4), False)  # one that fits is left alone
    fitted = [size for size, over in sizes if not over]
    assert min(fitted) < 13 and fitted == sorted(fitted, reverse=True)
    assert all(size <= 11.4 for size, over in sizes if over) and sizes[-1][1]  # then it scrolls
    assert shown(10, 390) == (pytest.approx(14.4), shown(10, 390)[1])  # a telephone's never shrink
