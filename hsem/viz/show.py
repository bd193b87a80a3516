"""Pictures of images: grids, labelled strips, figures, and sliders that also live in a page.

Everything here takes images as `(..., 3, H, W)` in [-1, 1] and asks for `alt`, the text that
tells what the picture shows to a reader who does not see it. Nothing else in the package draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..network.unet import HSpaceUNet
from ..numerals import signs
from . import anatomy as _anatomy
from .film import Film, film
from .picture import CELL, Picture, checked_alt, img_tag, labelled, sheet, tick, ticks, to_uint8

Images = Tensor | np.ndarray


def grid(
    images: Images,
    *,
    alt: str,
    cols: int | None = None,
    labels: Sequence[Any] | None = None,
    col_labels: Sequence[Any] | None = None,
    row_labels: Sequence[Any] | None = None,
    scale: float | None = None,
    caption: str = "",
    name: str = "",
    crisp: bool = False,
) -> Picture:
    """Images in rows.

    Parameters
    ----------
    images : (n, 3, H, W) in [-1, 1], or grey (n, 1, H, W)
    alt : what the picture shows, for a reader who does not see it
    cols : images per row; by default all in one row up to eight
    labels : n texts below the images
    col_labels, row_labels : texts above the columns and beside the rows
    scale : CSS pixels per pixel; by default small images are shown 128 pixels wide
    caption : text below the picture
    name : label for {numref}, such as "fig-swap"; the book's pages then number the picture
    crisp : enlarge pixels as squares (for maps and masks) instead of smoothly

    Returns
    -------
    A `Picture`, which a notebook displays; `.image` is the PIL image, `.save(path)` writes it.

    Raises
    ------
    ValueError
        If `alt` says nothing, a shape is wrong, or the number of labels does not fit.
    """
    array = to_uint8(_batch(images, "images", 4))
    cols = cols or min(len(array), 8)
    scale = _scale(array, scale)
    given = {"labels": labels, "col_labels": col_labels, "row_labels": row_labels}
    texts = {key: None if values is None else ticks(values) for key, values in given.items()}
    # letters need more pixels than a small image has; without them the browser enlarges
    zoom = max(1, round(scale)) if any(t is not None for t in texts.values()) else 1
    shown = int(array.shape[2] * scale)
    picture = sheet(array, cols, zoom=zoom, smooth=not crisp, width=shown, **texts)
    width = round(picture.width * scale / zoom)
    return Picture(picture, checked_alt(alt), width, caption, crisp=crisp, name=name)


def strip(
    images: Images,
    col_labels: Sequence[Any] | None = None,
    row_labels: Sequence[Any] | None = None,
    *,
    alt: str,
    **looks: Any,
) -> Picture:
    """Rows of images with labels above the columns and beside the rows, as in the paper's figures.

    Parameters
    ----------
    images : (rows, cols, 3, H, W) or one row (cols, 3, H, W), in [-1, 1]
    col_labels, row_labels : texts or numbers, one per column, one per row
    alt, looks (scale, caption, name, crisp) : as in `grid`
    """
    if images.ndim == 4:
        images = images[None]
    images = _batch(images, "images", 5)
    return grid(
        images.reshape(-1, *images.shape[2:]),
        alt=alt,
        cols=images.shape[1],
        col_labels=col_labels,
        row_labels=row_labels,
        **looks,
    )


def figure(drawing: Any, *, alt: str, caption: str = "", name: str = "") -> Picture:
    """A matplotlib figure or a PIL image, with the text that belongs to it.

    Parameters
    ----------
    drawing : matplotlib `Figure` (closed afterwards, so that it is not shown twice) or PIL image
    alt : what the drawing shows; of a plot: what is on the axes, and what is to be seen
    caption : text below the picture
    name : label for {numref}, such as "fig-swap"; the book's pages then number the picture
    """
    checked = checked_alt(alt)
    if isinstance(drawing, Image.Image):
        return Picture(drawing, checked, drawing.width, caption, lossless=True, name=name)
    import matplotlib.pyplot as plt  # late: a slider needs none of it

    _sign(drawing)
    buffer = BytesIO()
    drawing.savefig(buffer, format="png", dpi=200, bbox_inches="tight")
    plt.close(drawing)
    image = Image.open(buffer).convert("RGB")
    return Picture(image, checked, image.width // 2, caption, lossless=True, name=name)


def _sign(drawing: Any) -> None:
    """Minus signs in the texts of a matplotlib figure, as matplotlib itself writes at its ticks."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    def signed(given: Any) -> Any:
        return FuncFormatter(lambda value, at: signs(given(value, at)))

    for axes in drawing.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            if isinstance(ticks, (FixedFormatter, FuncFormatter)):  # names that somebody gave
                axis.set_major_formatter(signed(ticks))
    for text in drawing.findobj(Text):
        if text.get_text():
            text.set_text(signs(text.get_text()))


def anatomy(model: HSpaceUNet, *, caption: str = "", name: str = "") -> Picture:
    """The model's U-Net as a drawing, from its module tree and the shapes that flow (fig. 10).

    Height is resolution, width is channels, numbers are (C, h, w) and millions of parameters;
    dashed arrows are skip connections.
    """
    blocks = _anatomy.measure(model)
    drawing, alt = _anatomy.draw(blocks), _anatomy.describe(model, blocks)
    return figure(drawing, alt=alt, caption=caption, name=name)


def slider(
    frames: Images,
    values: Sequence[Any],
    label: str,
    *,
    alt: str,
    start: int | None = None,
    live: Callable[[float], Images] | None = None,
    **looks: Any,
) -> Film:
    """A slider over frames computed beforehand; it also moves in a page without a kernel.

    Parameters
    ----------
    frames : (n_frames, n_images, 3, H, W) or, one image each, (n_frames, 3, H, W)
    values : n_frames numbers or texts, shown by the slider
    label : name of the slider
    alt : what the picture shows; label and value are added for each frame
    start : frame shown first; by default the value nearest to zero, else the first
    live : function of one number giving (n_images, 3, H, W); with a kernel a second slider
        over the same range calls it when let go
    looks (cols, col_labels, row_labels, scale, caption, name, crisp) : as in `board`

    Returns
    -------
    A widget. Where widgets are not drawn (GitHub) it is a contact sheet of the frames.
    """
    frames = frames[:, None] if frames.ndim == 4 else frames
    first = None if start is None else [start]
    return board(frames, [values], [label], alt=alt, start=first, live=live, **looks)


def board(
    frames: Images,
    values: Sequence[Sequence[Any]],
    labels: Sequence[str],
    *,
    alt: str,
    cols: int | None = None,
    col_labels: Sequence[Any] | None = None,
    row_labels: Sequence[Any] | None = None,
    start: Sequence[int] | None = None,
    scale: float | None = None,
    caption: str = "",
    name: str = "",
    crisp: bool = False,
    live: Callable[..., Images] | None = None,
) -> Film:
    """A mixing board: two or three sliders over all combinations, computed beforehand.

    Parameters
    ----------
    frames : (n_1, ..., n_k, n_images, 3, H, W) for k sliders. Each combination is stored in the
        page: 5 x 5 x 5 rows of eight portraits of 64 pixels take about 1.5 MB.
    values : for each slider the numbers or texts of its positions
    labels : name of each slider
    alt : what the picture shows; labels and values are added for each frame
    cols, scale, caption, name, crisp : as in `grid`
    col_labels, row_labels : names of the columns and rows of each frame
    start : for each slider the first position; by default the value nearest to zero
    live : function of k numbers giving (n_images, 3, H, W), called when a kernel is there

    Raises
    ------
    ValueError
        If `frames`, `values` and `labels` do not fit together.
    """
    alt = checked_alt(alt)
    k = len(values)
    frames = _batch(frames, "frames", k + 4)
    expected = tuple(len(v) for v in values)
    if tuple(frames.shape[:k]) != expected or len(labels) != k:
        raise ValueError(
            f"frames must be {expected} + (n_images, 3, H, W) to fit the values of {k} slider(s), "
            f"with one label each; got shape {tuple(frames.shape)} and {len(labels)} label(s)"
        )
    array = to_uint8(frames)
    cols = cols or min(array.shape[k], 8)
    scale = _scale(array, scale)
    options = [ticks(v) for v in values]
    first = tuple(_nearest_zero(v) for v in values) if start is None else tuple(start)
    if len(first) != k or not all(0 <= i < n for i, n in zip(first, expected, strict=True)):
        raise ValueError(f"start must hold one position per slider, below {expected}, got {first}")

    names = [None if given is None else ticks(given) for given in (col_labels, row_labels)]
    for axis, texts, fits in zip(
        ("col", "row"), names, (cols, -(-array.shape[k] // cols)), strict=True
    ):
        if texts is not None and len(texts) != fits:
            raise ValueError(f"{axis}_labels must hold {fits} texts, got {len(texts)}")

    def tag(images: np.ndarray, at: Sequence[str]) -> str:
        picture = sheet(images, cols)
        where = ", ".join(f"{label} {text}" for label, text in zip(labels, at, strict=True))
        width = round(picture.width * scale)
        return labelled(img_tag(picture, f"{alt}; {where}", width, crisp=crisp), width, *names)

    def frame(index: tuple[int, ...]) -> str:
        return tag(array[index], [texts[i] for texts, i in zip(options, index, strict=True)])

    def ask(*numbers: float) -> str:
        assert live is not None
        return tag(to_uint8(_batch(live(*numbers), "live(value)", 4)), [tick(n) for n in numbers])

    return film(
        frame,
        options,
        list(labels),
        start=first,
        contact_sheet=_contact_sheet(array, options, labels, first, alt, caption, name),
        live=None if live is None else ask,
        ranges=None if live is None else [(float(min(v)), float(max(v))) for v in values],
    )


def _contact_sheet(
    array: np.ndarray,
    options: Sequence[Sequence[str]],
    labels: Sequence[str],
    start: tuple[int, ...],
    alt: str,
    caption: str,
    name: str,
) -> Picture:
    """The frames as one still picture: of a slider every row, of a board its first image."""
    if len(options) == 1:
        rows = np.unique(np.linspace(0, len(array) - 1, min(len(array), 11)).round().astype(int))
        images, across = array[rows], None
        down = [f"{labels[0]} {options[0][i]}" for i in rows]
    else:  # two sliders as rows and columns; a third one stays where it starts
        images = array[:, :]
        for position in (*start[2:], 0):
            images = images[:, :, position]
        down = [f"{labels[0]} {text}" for text in options[0]]
        across = [f"{labels[1]} {text}" for text in options[1]]
    picture = sheet(
        images.reshape(-1, *images.shape[2:]),
        images.shape[1],
        col_labels=across,
        row_labels=down,
        width=max(images.shape[3], CELL // 2),
    )
    names = " and ".join(labels)
    return Picture(picture, f"{alt}; contact sheet over {names}", picture.width, caption, name=name)


def _batch(images: Images, name: str, ndim: int) -> Images:
    if images.ndim != ndim or min(images.shape) == 0:
        raise ValueError(
            f"{name} must have {ndim} axes, the last three (3, H, W), and not be empty; "
            f"got shape {tuple(images.shape)}"
        )
    return images


def _scale(array: np.ndarray, scale: float | None) -> float:
    """CSS pixels per pixel of (..., H, W, 3)."""
    if scale is None:
        return float(max(1, CELL // array.shape[-2]))
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    return float(scale)


def _nearest_zero(values: Sequence[Any]) -> int:
    if any(isinstance(v, str) for v in values):
        return 0
    return int(np.argmin(np.abs(np.asarray(values, dtype=float))))
