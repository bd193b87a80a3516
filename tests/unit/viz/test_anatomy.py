"""The drawing of a U-Net: its texts keep apart, and no arrow runs through another thing."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.transforms import Bbox

import hsem
from hsem.viz.anatomy import draw, measure


@pytest.fixture(scope="module", params=["portraits-64", "celebahq"])
def drawn(request: pytest.FixtureRequest) -> Any:
    if request.param == "portraits-64":
        model = hsem.load("portraits-64")
    else:  # six levels
        model = hsem.random_network("celebahq", size=32)
    figure = draw(measure(model))
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def boxes(figure: Any) -> tuple[list[tuple[str, Bbox]], list[Bbox], list[Bbox]]:
    """Texts, blocks, and the straight pieces of the lines, all in pixels."""
    (axes,) = figure.axes
    ink = figure.canvas.get_renderer()
    texts = [(t.get_text(), t.get_window_extent(ink)) for t in axes.texts if t.get_text()]
    # an annotation's extent holds its arrow, too: of "h" the letter is meant
    texts = [
        (name, Bbox.from_bounds(b.x0, b.y1 - 18, b.width, 18) if name == "h" else b)
        for name, b in texts
    ]
    pieces = []
    for line in axes.lines:
        points = axes.transData.transform(line.get_xydata())
        pieces += [Bbox([a, b]) for a, b in pairwise(points)]
    return texts, [p.get_window_extent(ink) for p in axes.patches], pieces


def meet(a: Bbox, b: Bbox) -> bool:
    (left, right), (low, high) = (sorted(x) for x in (a.intervalx, a.intervaly))
    (from_x, to_x), (from_y, to_y) = (sorted(x) for x in (b.intervalx, b.intervaly))
    return left < to_x and from_x < right and low < to_y and from_y < high


def test_no_text_lies_on_another_or_on_a_block(drawn: Any) -> None:
    texts, blocks, _ = boxes(drawn)
    assert len(texts) > 30
    assert [(a[0], b[0]) for a, b in combinations(texts, 2) if meet(a[1], b[1])] == []
    assert [name for name, text in texts for b in blocks if meet(text, b)] == []


def test_no_skip_connection_crosses_a_text_or_a_block(drawn: Any) -> None:
    texts, blocks, pieces = boxes(drawn)
    assert len(pieces) >= 8
    for piece in pieces:
        assert [name for name, text in texts if meet(piece, text)] == []
        assert not any(meet(piece, block) for block in blocks)


def test_everything_is_on_the_page(drawn: Any) -> None:
    texts, blocks, pieces = boxes(drawn)
    page = drawn.bbox
    for box in [*(b for _, b in texts), *blocks, *pieces]:
        assert min(box.intervalx) >= 0 and max(box.intervalx) <= page.width
        assert min(box.intervaly) >= 0 and max(box.intervaly) <= page.height


def test_negative_control(drawn: Any) -> None:
    """The same checks notice a text that was moved onto its neighbour, and a line through h."""
    texts, _, _ = boxes(drawn)
    (axes,) = drawn.axes
    h = next(text for name, text in texts if name == "h")
    ends = axes.transData.inverted().transform([(h.x0 - 20, h.y1 - 9), (h.x1 + 20, h.y1 - 9.5)])
    (line,) = axes.plot(*ends.T)
    assert meet(boxes(drawn)[2][-1], h)
    line.remove()
    first = next(t for t in axes.texts if t.get_text() == "down 0")
    at = first.get_position()
    first.set_position((at[0] + 0.03, at[1]))
    texts, _, _ = boxes(drawn)
    assert [1 for a, b in combinations(texts, 2) if meet(a[1], b[1])]
    first.set_position(at)
