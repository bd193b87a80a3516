"""Pictures from files, cropped and aligned, to be inverted and edited (SM F).

Alignment matters: a model has seen faces in one place and size, and reads others as something else.
Nothing here finds a face. Say where the eyes are, or bring pictures that are aligned already.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

Point = tuple[float, float]

EYES_AT: tuple[Point, Point] = ((0.345, 0.45), (0.65, 0.45))
"""Where the eyes of a portrait that looks ahead are in the pictures of `portraits-64`: (x, y) as
fractions of the side, the eye on the left of the picture first. Other models, other places."""

LAYOUTS = {
    "bu3dfe": r"(?P<subject>[FM]\d{4})_(?P<expression>[A-Z]{2})(?P<intensity>\d{2})\w*_F2D\.\w+$",
    "folders": r"(?P<subject>[^/]+)/(?P<expression>[^/]+)/(?P<intensity>\d+(\.\d+)?)\.\w+$",
}
"""How file names tell who makes which face: those of BU3DFE (Yin et al., 2006), such as
F0001/F0001_HA04WH_F2D.bmp, or folders such as anna/happy/0.5.png."""

BU3DFE = {
    "NE": "neutral", "AN": "angry", "DI": "disgusted", "FE": "afraid", "HA": "happy",
    "SA": "sad", "SU": "surprised",
}  # fmt: skip


class ExpressionPictures(NamedTuple):
    """Pictures of people making faces.

    images : (n, 3, size, size) in [-1, 1]
    subject, expression : n names each
    intensity : n numbers
    """

    images: Tensor
    subject: tuple[str, ...]
    expression: tuple[str, ...]
    intensity: tuple[float, ...]


def read_photo(
    path: str | Path,
    size: int = 64,
    *,
    eyes: tuple[Point, Point] | None = None,
    eyes_at: tuple[Point, Point] = EYES_AT,
) -> Tensor:
    """A picture file as the model wants it.

    Parameters
    ----------
    path : any format that Pillow reads; turned upright as its EXIF says, transparency on white
    size : side length of the result in pixels, such as `model.image_shape[1]`
    eyes : pixel coordinates (x, y) of the two eyes in the file, the one on the left of the picture
        first. The picture is then turned, scaled and moved so that they lie at `eyes_at`, and
        what was outside the file repeats its edge. Without them: the largest square in the
        middle.
    eyes_at : fractions of the side

    Returns
    -------
    (3, size, size) in [-1, 1]

    Raises
    ------
    OSError
        If the file is missing or no picture.
    ValueError
        If the two eyes are in one place.
    """
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file).convert("RGBA")
    except OSError as error:
        raise OSError(f"cannot read a picture from {str(path)!r} ({error})") from error
    picture = Image.new("RGB", upright.size, "white")
    picture.paste(upright, mask=upright.getchannel("A"))
    if eyes is None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    else:
        picture = _aligned(picture, size, eyes, eyes_at)
    pixels = np.array(picture, dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


def read_expressions(
    folder: str | Path,
    *,
    layout: str = "bu3dfe",
    size: int = 64,
    read: Callable[[Path], Tensor] | None = None,
) -> ExpressionPictures:
    """All pictures of a folder whose names say who makes which face, and how intensely.

    Parameters
    ----------
    layout : "bu3dfe", "folders", or a regular expression with groups named subject, expression
        and intensity, searched for in the path below `folder` (with forward slashes)
    size : side length in pixels
    read : path -> (3, size, size), in place of `read_photo`: the place for your own alignment

    Notes
    -----
    The two-letter codes of BU3DFE become words ("HA" is "happy"). BU3DFE itself has to be asked
    for at its owners; nothing of it comes with this package.

    Raises
    ------
    ValueError
        If the layout is unknown, or nothing in the folder is named like that.
    """
    pattern = re.compile(LAYOUTS.get(layout, layout))
    lacking = {"subject", "expression", "intensity"} - set(pattern.groupindex)
    if lacking:
        raise ValueError(
            f"layout must be one of {', '.join(LAYOUTS)}, or a regular expression with groups "
            f"named subject, expression and intensity; {layout!r} lacks {sorted(lacking)}"
        )
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    found = [(path, pattern.search(path.relative_to(root).as_posix())) for path in files]
    named = [(path, match) for path, match in found if match]
    if not named:
        example = f", such as {files[0].relative_to(root).as_posix()}" if files else ""
        raise ValueError(
            f"none of the {len(files)} files in {str(folder)!r}{example} is named as the layout "
            f"{layout!r} asks; give a regular expression that fits"
        )
    images = [read(path) if read else read_photo(path, size) for path, _ in named]
    return ExpressionPictures(
        torch.stack(images),
        tuple(match["subject"] for _, match in named),
        tuple(BU3DFE.get(match["expression"], match["expression"]) for _, match in named),
        tuple(float(match["intensity"]) for _, match in named),
    )


# ------------------------------------------------------------------------------------- details


def _aligned(
    picture: Image.Image, size: int, eyes: tuple[Point, Point], eyes_at: tuple[Point, Point]
) -> Image.Image:
    """Turn, scale and move a picture so that the eyes lie where they should."""
    seen = [complex(*eye) for eye in eyes]
    wanted = [complex(*eye) * size for eye in eyes_at]
    if seen[0] == seen[1] or wanted[0] == wanted[1]:
        raise ValueError(f"eyes must be two different places (x, y) in pixels, got {eyes}")
    # A similarity is z -> turn * z + shift in the complex plane; from the result to the file,
    # since Pillow asks where each pixel comes from.
    turn = (seen[1] - seen[0]) / (wanted[1] - wanted[0])
    fine = max(1, round(abs(turn)))  # compute larger and shrink, or fine detail turns into dots
    turn, side = turn / fine, size * fine
    shift = seen[0] - turn * wanted[0] * fine
    # Pillow fills what lies outside with black, so the file first gets a broad edge of its own.
    edge = int(max(picture.size)) + side
    padded = np.pad(np.array(picture), ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    matrix = (turn.real, -turn.imag, shift.real + edge, turn.imag, turn.real, shift.imag + edge)
    moved = Image.fromarray(padded).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return moved.resize((size, size), Image.Resampling.BOX)
