"""Sliders over pictures computed beforehand, alive without a kernel.

Each slider's `index` is linked in the browser (jslink) to a `Stack` of `<img>` frames; a board of
two or three sliders nests the stacks. The state of the widgets is stored with the notebook, so
the static page moves as well. `widgets.Image` will not do: it has no alternative text.

ipywidgets 7 (Colab) has no `Stack`. There a kernel is always at hand, so one frame is shown and
Python swaps it (`observe`).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import ipywidgets as widgets

from .picture import Picture

Index = tuple[int, ...]
LOOKS = {"style": {"description_width": "initial"}, "layout": {"width": "min(100%, 32em)"}}


class Film(widgets.VBox):
    """Sliders above a picture; a viewer that draws no widgets shows `contact_sheet` instead."""

    contact_sheet: Picture

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **kwargs: Any) -> Any:
        parent = getattr(super(), "_repr_mimebundle_", None)
        if parent is None:  # ipywidgets 7 displays itself; there is a kernel to do so
            return {"text/plain": self.contact_sheet.alt}
        bundle = parent(include=include, exclude=exclude, **kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, None)
        extra = self.contact_sheet._repr_mimebundle_()
        del extra["text/html"]  # it would be preferred to the widget by some viewers
        data = dict(data or {}) | extra
        return data if metadata is None else (data, metadata)


def film(
    frame: Callable[[Index], str],
    options: Sequence[Sequence[str]],
    labels: Sequence[str],
    *,
    start: Index,
    contact_sheet: Picture,
    live: Callable[..., str] | None = None,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> Film:
    """Build the widget.

    Parameters
    ----------
    frame : gives the HTML of the picture at one index per slider
    options : what each slider shows at each position
    labels : the name of each slider
    start : the position of each slider at first
    contact_sheet : for viewers without widgets
    live : gives the HTML of the picture at any number per slider; needs a kernel
    ranges : lowest and highest number for each live slider
    """
    sliders = [
        widgets.SelectionSlider(options=list(texts), index=at, description=label, **LOOKS)
        for texts, label, at in zip(options, labels, start, strict=True)
    ]
    picture = _stacks if hasattr(widgets, "Stack") else _swapped
    children = [*sliders, picture(sliders, frame, start)]
    if contact_sheet.caption:
        children.append(
            widgets.HTML(f"<figcaption>{html.escape(contact_sheet.caption)}</figcaption>")
        )
    if live is not None and ranges is not None:
        children.append(_live(live, labels, ranges))
    box = Film(children)
    box.contact_sheet = contact_sheet
    box.add_class("hsem-film")
    return box


def _stacks(
    sliders: Sequence[widgets.SelectionSlider], frame: Callable[[Index], str], start: Index
) -> widgets.Widget:
    # One layout and one style for all: a board has over a hundred frames, and each object of
    # its own would be stored in the page.
    layout, style = widgets.Layout(), widgets.HTML().style

    def nest(index: Index) -> widgets.Widget:
        axis = len(index)
        if axis == len(sliders):
            return widgets.HTML(frame(index), layout=layout, style=style)
        children = [nest((*index, i)) for i in range(len(sliders[axis].options))]
        stack = widgets.Stack(children, selected_index=start[axis], layout=layout)
        widgets.jslink((sliders[axis], "index"), (stack, "selected_index"))
        return stack

    return nest(())


def _swapped(
    sliders: Sequence[widgets.SelectionSlider], frame: Callable[[Index], str], start: Index
) -> widgets.Widget:
    frames = {i: frame(i) for i in product(*(range(len(s.options)) for s in sliders))}
    shown = widgets.HTML(frames[tuple(start)])

    def show(_: Any) -> None:
        shown.value = frames[tuple(s.index for s in sliders)]

    for slider in sliders:
        slider.observe(show, names="index")
    return shown


def _live(
    live: Callable[..., str], labels: Sequence[str], ranges: Sequence[tuple[float, float]]
) -> widgets.Widget:
    """Sliders over all numbers, which ask the model when they are let go."""
    sliders = [
        widgets.FloatSlider(
            (low + high) / 2, min=low, max=high, step=(high - low) / 200, description=label,
            continuous_update=False, readout_format=".2f", **LOOKS,
        )
        for label, (low, high) in zip(labels, ranges, strict=True)
    ]  # fmt: skip
    title = widgets.HTML("Ask the model (needs a running kernel; computes when you let go):")
    shown = widgets.HTML()

    def ask(_: Any) -> None:
        shown.value = "<em>computing …</em>"
        try:
            shown.value = live(*(s.value for s in sliders))
        except Exception as error:  # a callback's traceback reaches no reader
            shown.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
            raise

    for slider in sliders:
        slider.observe(ask, names="value")
    box = widgets.VBox([title, *sliders, shown])
    box.add_class("hsem-live")  # hidden in the book, where no kernel is
    return box
