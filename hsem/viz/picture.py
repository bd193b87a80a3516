"""Images as arrays, sheets of images with labels, and the picture object a notebook shows."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..files import replacing
from ..numerals import numeral, signs
from ..reading import on_white
from .fonts import broken, height_of, warn_of_missing, width_of, write

# Grey that can be read on white and, in the dark theme, on black (contrast 4.5 and 4.6; hsem.css
# lays black behind pictures there): labels are drawn on a transparent ground so that one picture
# serves both.
INK = (118, 118, 118, 255)
GAP = 2  # pixels between images
CELL = 128  # an image smaller than this is shown enlarged, in CSS pixels
NUMBERED = "application/vnd.hsem.numbered+json"  # read by book/_tools/figures.py
LONGEST = 200  # characters of a label
PAGE = 720  # width of a page of the book in CSS pixels; wider pictures are shown shrunk


def to_uint8(images: Tensor | np.ndarray) -> np.ndarray:
    """Turn images in [-1, 1] into bytes, channels last.

    Parameters
    ----------
    images : (..., 3, H, W) or, for grey, (..., 1, H, W); values outside [-1, 1] are clipped,
        uint8 is passed on unchanged

    Returns
    -------
    uint8 array of shape (..., H, W, 3)

    Raises
    ------
    ValueError
        If the shape is another one, or a value is not finite.
    """
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        if images.is_floating_point():  # numpy knows no bfloat16
            images = images.float()
    array = np.asarray(images)
    if array.ndim < 3 or array.shape[-3] not in (1, 3):
        raise ValueError(
            f"images must have shape (..., 3, H, W) or (..., 1, H, W), got {tuple(array.shape)}; "
            "move the channels to the third axis from the end"
        )
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise ValueError("images must be finite, got NaN or infinity; look where they arose")
        array = np.round((np.clip(array, -1, 1) + 1) * 127.5).astype(np.uint8)
    array = np.moveaxis(array, -3, -1)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def checked_alt(alt: str) -> str:
    """The alternative text, if it can serve a reader who does not see the picture."""
    if not isinstance(alt, str) or len(alt.strip()) < 10:
        raise ValueError(
            f"alt must be a sentence that says what the picture shows, got {alt!r}; "
            'for example alt="eight samples; the faces turn from left to right"'
        )
    return " ".join(alt.split())


def tick(value: Any, signed: bool = False) -> str:
    """A number as short text (1.0 -> '1', 0.30000000000000004 -> '0.3'); other things by str."""
    if not _is_number(value):
        return signs(str(value))
    value = round(float(value), 6)
    return numeral(value, "+.3g" if signed else ".3g")


def ticks(values: Sequence[Any]) -> list[str]:
    """Texts for the positions of a slider or the rows of a strip, with signs if one is negative."""
    signed = any(_is_number(v) and v < 0 for v in values)
    return [tick(v, signed) for v in values]


def _is_number(value: Any) -> bool:
    return bool(np.isscalar(value)) and not isinstance(value, str)


def sheet(
    images: np.ndarray,
    cols: int,
    *,
    labels: Sequence[str] | None = None,
    col_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    zoom: int = 1,
    smooth: bool = True,
    width: int | None = None,
) -> Image.Image:
    """Lay images out in rows of `cols`, with labels below each, above columns, beside rows.

    Parameters
    ----------
    images : (n, H, W, 3) uint8
    zoom : pixels of the sheet per pixel of an image; letters need more than small images do
    width : CSS pixels at which one image will be seen, from which the size of letters follows

    Returns
    -------
    An RGBA image, transparent where there is neither image nor letter.

    Warns
    -----
    UserWarning
        Once, if no font of this machine has all characters of the labels.
    """
    n, h, w = images.shape[:3]
    rows = -(-n // cols)
    labels, col_labels, row_labels = map(_checked_lines, (labels, col_labels, row_labels))
    for name, texts, expected in (
        ("labels", labels, n),
        ("col_labels", col_labels, cols),
        ("row_labels", row_labels, rows),
    ):
        if texts is not None and len(texts) != expected:
            raise ValueError(f"{name} must hold {expected} texts, got {len(texts)}")
    written = [text for given in (labels, col_labels, row_labels) for text in given or ()]
    warn_of_missing(written)
    h, w = h * zoom, w * zoom
    # names of rows go on in a second line rather than take room from the pictures
    row_labels = row_labels and [broken(t, 20, 11 * 20) for t in row_labels]
    beside = max(width_of(t, 20) for t in row_labels) / 20 + 0.5 if row_labels else 0.0
    # letters of 13 CSS pixels after a sheet wider than the page was shrunk to it
    css = width or w
    shrink = max(1.0, cols * css / (PAGE - 13 * min(beside, 25.0)))
    size = max(8, round(13 * shrink * w / css))
    step_x = w + GAP * zoom
    labels, col_labels = (
        texts and [broken(t, size, step_x) for t in texts] for texts in (labels, col_labels)
    )
    line = height_of(written, size) + size // 4

    def depth(texts: Sequence[str] | None) -> int:
        return line * max(t.count("\n") + 1 for t in texts) if texts else 0

    left = max(width_of(t, size) for t in row_labels) + size // 2 if row_labels else 0
    top, below = depth(col_labels), depth(labels)
    step_y = h + below + GAP * zoom
    canvas = Image.new(
        "RGBA", (left + cols * step_x - GAP * zoom, top + rows * step_y - GAP * zoom), (0, 0, 0, 0)
    )
    pen = ImageDraw.Draw(canvas)

    def fitted(text: str, x: float, y: float, room: int, anchor: str) -> None:
        fitting = size
        while fitting > size // 2 and width_of(text, fitting) > room:
            fitting -= 1
        write(pen, (x, y), text, fitting, INK, anchor)

    # Not bicubic: it draws edges brighter and darker than either side, which no pixel was.
    kernel = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    for i, image in enumerate(images):
        x, y = left + i % cols * step_x, top + i // cols * step_y
        canvas.paste(Image.fromarray(image).resize((w, h), kernel), (x, y))
        if labels:
            fitted(labels[i], x + w / 2, y + h + size // 8, step_x, "ma")
    for j, text in enumerate(col_labels or ()):
        fitted(text, left + j * step_x + w / 2, 0, step_x, "ma")
    for r, text in enumerate(row_labels or ()):
        fitted(text, left - size // 2, top + r * step_y + h / 2, left, "rm")
    return canvas


def _checked_lines(texts: Sequence[str] | None) -> list[str] | None:
    """Labels with one kind of line break, if they are short enough to be drawn."""
    for text in texts or ():
        if len(text) > LONGEST:
            raise ValueError(
                f"a label must have at most {LONGEST} characters, got {len(text)} in "
                f"{text[:20]!r}...; say more in the caption"
            )
    return None if texts is None else ["\n".join(text.splitlines()) for text in texts]


def encode(image: Image.Image, fmt: str, **options: Any) -> str:
    """The image file as base64 text. WebP keeps transparency, JPEG gets a white ground."""
    if fmt == "JPEG":
        image = on_white(image)
        # not optimize=True: it needs the whole file in one buffer, which noise outgrows
        options = {"quality": 88, "subsampling": 0} | options
    elif fmt == "WEBP":
        options = {"quality": 85, "method": 6} | options
        if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
            image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def img_tag(
    image: Image.Image, alt: str, width: int, *, crisp: bool = False, lossless: bool = False,
    **options: Any,
) -> str:  # fmt: skip
    """An `<img>` that carries its picture with it, at most as wide as the page."""
    options |= {"lossless": True} if lossless else {}
    data = encode(image, "WEBP", **options)
    rendering = ";image-rendering:pixelated" if crisp else ""
    return (
        f'<img class="hsem-frame" alt="{html.escape(alt)}" width="{width}" '
        f'style="max-width:100%;height:auto{rendering}" src="data:image/webp;base64,{data}">'
    )


def labelled(tag: str, width: int, cols: Sequence[str] | None, rows: Sequence[str] | None) -> str:
    """The `<img>` with names above its columns and beside its rows, as text."""

    def names(axis: str, texts: Sequence[str], more: str) -> str:
        cells = "".join(f"<span>{html.escape(t)}</span>" for t in texts)
        tracks = f"grid-template-{axis}:repeat({len(texts)},minmax(0,1fr))"
        return f'<div style="display:grid;{tracks};{more}">{cells}</div>'

    if not cols and not rows:
        return tag
    above = names("columns", cols, "text-align:center;overflow-wrap:anywhere") if cols else ""
    beside = names("rows", rows, "align-items:center;text-align:right") if rows else ""
    corner = "<span></span>" if cols and rows else ""
    tracks = f"{'auto ' if rows else ''}minmax(0,{width}px)"
    return (
        f'<div class="hsem-labelled" style="display:grid;grid-template-columns:{tracks};'
        f'gap:0.2em 0.5em;font-size:0.85em;line-height:1.2">{corner}{above}{beside}{tag}</div>'
    )


def numbered(kind: str, name: str, caption: str) -> dict[str, Any]:
    """What tells the book's pages to number a figure or a table, if it has a name."""
    if not name:
        return {}
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"name must be small letters, digits and hyphens, got {name!r}")
    if not caption:
        raise ValueError(f"{kind} {name!r} is numbered, so it needs a caption")
    return {NUMBERED: {"kind": kind, "name": name, "caption": caption}}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that a notebook shows together with its alternative text.

    Attributes
    ----------
    image : PIL image
    alt : what the picture shows, for a reader who does not see it
    width : CSS pixels
    caption : text below the picture, or empty
    crisp : enlarge pixels as squares
    lossless : for drawings, whose thin lines suffer from lossy compression
    name : label for {numref}; the book's pages then number the picture
    """

    image: Image.Image
    alt: str
    width: int
    caption: str = ""
    crisp: bool = False
    lossless: bool = False
    name: str = ""

    def __repr__(self) -> str:
        return f"Picture({self.alt!r})"

    def _repr_html_(self) -> str:
        tag = img_tag(self.image, self.alt, self.width, crisp=self.crisp, lossless=self.lossless)
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="hsem-figure">{tag}{caption}</figure>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # The book, JupyterLab and Colab take the HTML; viewers that strip it take the image.
        kind, fmt = ("image/png", "PNG") if self.lossless else ("image/jpeg", "JPEG")
        fallback = {kind: encode(on_white(self.image), fmt)}
        more = fallback | numbered("figure", self.name, self.caption)
        return {"text/html": self._repr_html_(), "text/plain": self.alt} | more

    def save(self, path: str | Path) -> None:
        """Write the picture to a file; the ending chooses the format."""
        fmt = Image.registered_extensions().get(Path(path).suffix.lower())
        if fmt is None:
            raise ValueError(
                f"path={str(path)!r} has no ending that names a format, such as .png or .jpg"
            )
        buffer = io.BytesIO()  # PIL writes JPEG to a full disk without a word
        (on_white(self.image) if fmt == "JPEG" else self.image).save(buffer, fmt)
        with replacing(path) as part:
            part.write_bytes(buffer.getvalue())
