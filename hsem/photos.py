"""Pictures from files, cropped and aligned, to be inverted and edited (SM F).

Alignment matters: a model has seen faces in one place and size, and reads others as something else.
Nothing here finds a face. Say where the eyes are, or bring pictures that are aligned already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from filecmp import cmp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .callers import tell
from .counts import whole_number
from .reading import opened_picture

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
    path : any format that Pillow reads; turned upright as its EXIF says. Transparency is laid on
        white, grey of 16 bits is brought to 8, and of an animation the first picture is taken.
    size : side length of the result in pixels, such as `model.image_shape[1]`; at most 4096
    eyes : pixel coordinates (x, y) of the two eyes, in either order, in the *upright* picture: as
        a viewer shows it, after EXIF has turned it. The picture is then turned, scaled and moved
        so that they lie at `eyes_at`, and what was outside the file repeats its edge. The eye
        further left in the picture goes to the left (of two that are one above the other, the
        first), so turn a photo that stands on its head before. Without `eyes`: the largest square
        in the middle.
    eyes_at : fractions of the side, from 0 to 1

    Returns
    -------
    (3, size, size) in [-1, 1]

    Raises
    ------
    OSError
        If the file is missing, damaged, no picture, larger than Pillow allows (179 megapixels),
        or of a mode whose black and white are not known, such as floating point.
    ValueError
        If the eyes are not two places in the picture, at least a pixel apart.

    Notes
    -----
    Takes about 4 bytes a pixel of the file, twice that where it is turned, has 16 bits or is no
    RGB, and up to four times where it is transparent or WebP; and what the result takes.
    """
    if whole_number("size", size) > LARGEST:
        raise ValueError(
            f"size must be a side length in pixels that a model may have, at most {LARGEST}, got "
            f"{size}; of a larger picture, read the file with Pillow and take parts"
        )
    picture = opened_picture(path)
    if eyes is None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    else:
        seen = _two_places("eyes", eyes, "pixels of the upright picture", picture.size, apart=1.0)
        picture = _aligned(picture, size, seen, _two_places("eyes_at", eyes_at, "fractions"))
    pixels = np.array(picture, dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1).div_(127.5).sub_(1)


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
    read : path -> (3, size, size), in place of `read_photo`: the place for your own alignment. A
        file for which it raises OSError is left out.

    Notes
    -----
    The two-letter codes of BU3DFE become words ("HA" is "happy"). BU3DFE itself has to be asked
    for at its owners; nothing of it comes with this package.

    Links to folders are followed. What is hidden, and what systems put beside pictures, is passed
    over. "Copy of X", "X copy" and "X (1)" are left out where X is there as well, and so is a file
    of the same person, expression and intensity that holds the same as another, byte for byte.

    Raises
    ------
    OSError
        If there is no such folder.
    ValueError
        If the layout is unknown, nothing in the folder is named like that, or no file that is
        can be read.
    TypeError
        If `read` returns something else than a picture.

    Warns
    -----
    UserWarning
        Once, with the files that are named like pictures and were left out: copies, and what is
        damaged or no picture; and with the folders that may not be read.
    """
    pattern = _checked_layout(layout)
    root = Path(folder)
    if not os.path.isdir(root):
        raise NotADirectoryError(f"folder must be one that exists, got {str(folder)!r}")
    left_out: list[str] = []
    files = list(_files_below(root, left_out))
    names = [path.relative_to(root).as_posix() for path in files]
    present, named = set(names), len(left_out)
    images: list[Tensor] = []
    found: list[re.Match[str]] = []
    intensity: list[float] = []
    kept: dict[tuple[Any, ...], list[Path]] = {}  # by what it shows, and its size
    for path, name in zip(files, names, strict=True):
        match = pattern.search(name)
        if match is None:
            continue
        named += 1
        original = COPY.sub("", name)
        try:
            if original != name and original in present:
                raise OSError("a copy")
            what = (*match.group("subject", "expression", "intensity"), path.stat().st_size)
            for other in kept.get(what, []):
                if cmp(other, path, shallow=False):
                    raise OSError(f"a copy of {other.relative_to(root).as_posix()}")
            image = read(path) if read else read_photo(path, size)
        except OSError as error:
            left_out.append(f"{name} ({error})")
            continue
        if not isinstance(image, Tensor) or image.ndim != 3 or len(image) != 3:
            raise TypeError(
                f"read must return a torch tensor (3, size, size), got {type(image).__name__} of "
                f"shape {tuple(getattr(image, 'shape', ()))} for {str(path)!r}"
            )
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"read must return pictures of one shape, got {tuple(images[0].shape)} and then "
                f"{tuple(image.shape)} for {str(path)!r}"
            )
        intensity.append(_number(match))
        kept.setdefault(what, []).append(path)
        images.append(image)
        found.append(match)
    if not named:
        example = f", such as {names[0]}" if names else ""
        raise ValueError(
            f"none of the {len(files)} files in {str(folder)!r}{example} is named as the layout "
            f"{layout!r} asks; give a regular expression that fits"
        )
    listed = "; ".join(left_out[:10]) + ("; ..." if len(left_out) > 10 else "")
    if not images:
        raise ValueError(f"none of the {named} pictures in {str(folder)!r} can be read: {listed}")
    if left_out:
        tell(f"left out {len(left_out)} of {named} files in {str(folder)!r}: {listed}")
    return ExpressionPictures(
        torch.stack(images),
        tuple(match["subject"] for match in found),
        tuple(BU3DFE.get(match["expression"], match["expression"]) for match in found),
        tuple(intensity),
    )


# ------------------------------------------------------------------------------------- details

COPY = re.compile(
    r"(?<![^/])(Copy of )+|( - Copy| copy( \d+)?| \(\d+\))+(?=$|/|\.\w+$)", re.IGNORECASE
)
"""What Windows, macOS and browsers add to the name of a copy."""

LARGEST = 4096  # side length of a result: more would take gigabytes before anything is seen
FINEST = 1024  # side length up to which a picture is computed larger than wanted
OVERSAMPLING = 2  # and how often a pixel is at least sampled along a side, if the file has as many


def _checked_layout(layout: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(LAYOUTS.get(layout, layout))
        lacking = sorted({"subject", "expression", "intensity"} - set(pattern.groupindex))
        fault = f"lacks {lacking}" if lacking else ""
    except re.error as error:
        fault = f"is no regular expression ({error})"
    if fault:
        raise ValueError(
            f"layout must be one of {', '.join(LAYOUTS)}, or a regular expression with groups "
            f"named subject, expression and intensity; {layout!r} {fault}"
        )
    return pattern


COMPANIONS = {
    "__macosx", "thumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "lost+found",
}  # fmt: skip


def _files_below(folder: Path, left_out: list[str], above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All files in order, also behind links to other folders, unless they lead back.

    Without what systems put beside pictures (._a.png, .DS_Store, __MACOSX/, Thumbs.db), and
    without folders that may not be read, which are added to `left_out`.
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    try:
        inside = [
            (x, x.is_dir(), x.is_file())
            for x in sorted(folder.iterdir())
            if not (x.name.startswith(".") or x.name.lower() in COMPANIONS)
        ]
    except OSError as error:
        if not above:
            raise
        left_out.append(f"{folder} ({error.strerror})")
        return
    for path, is_folder, is_file in inside:
        if is_folder:
            yield from _files_below(path, left_out, (*above, here))
        elif is_file:
            yield path


def _number(match: re.Match[str]) -> float:
    try:
        return float(match["intensity"])
    except (TypeError, ValueError):  # of a group that may be left out: None
        raise ValueError(
            f"intensity must be a number, but the layout finds {match['intensity']!r} in "
            f"{match.string!r}; give a regular expression that fits"
        ) from None


def _two_places(
    name: str,
    given: Iterable[Iterable[float]],
    unit: str,
    inside: tuple[int, int] = (1, 1),
    apart: float = 1e-3,
) -> list[complex]:
    """Two points as complex numbers, the left one first, if that is what they are."""
    try:
        points = [complex(float(x), float(y)) for x, y in given]
    except (TypeError, ValueError, OverflowError):
        points = []
    width, height = inside
    # written so that NaN fails
    if len(points) != 2 or not all(0 <= z.real <= width and 0 <= z.imag <= height for z in points):
        raise ValueError(
            f"{name} must be two points (x, y) in {unit}, from (0, 0) to {inside}, got {given}"
        )
    if abs(points[0] - points[1]) < apart:
        raise ValueError(
            f"{name} must be two different places (x, y) in {unit}, at least {apart:g} apart, got "
            f"{given}"
        )
    return sorted(points, key=lambda z: z.real)


def _aligned(
    picture: Image.Image, size: int, seen: list[complex], at: list[complex]
) -> Image.Image:
    """Turn, scale and move a picture so that the eyes lie where they should."""
    # A similarity is z -> turn * z + shift in the complex plane; from the result to the file,
    # since Pillow asks where each pixel comes from.
    wanted = [z * size for z in at]
    turn = (seen[1] - seen[0]) / (wanted[1] - wanted[0])
    shift = seen[0] - turn * wanted[0]
    # Only what the result shows is kept, and shrunk first where it is much finer: what follows
    # then takes memory by the size of the result, not of the file.
    shrink = max(1, int(abs(turn) / max(OVERSAMPLING, FINEST / size)))
    turn, shift = turn / shrink, shift / shrink
    corners = [shift + turn * z for z in (0, size, size * 1j, size + size * 1j)]
    box, outside, origin = [], [], []
    for axis, side in zip(("real", "imag"), picture.size, strict=True):
        end = -(-side // shrink)
        low = int(min(getattr(z, axis) for z in corners) // 1) - 2
        high = int(max(getattr(z, axis) for z in corners) // 1) + 3
        box.append((max(low, 0) * shrink, min(high * shrink, side)))
        outside.append((max(-low, 0), max(high - end, 0)))
        origin.append(low)
    (left, right), (top, bottom) = box
    part = picture.reduce(shrink, (left, top, right, bottom))
    # Pillow fills what lies outside with black, so the part first gets an edge of its own.
    padded = np.pad(np.asarray(part), (outside[1], outside[0], (0, 0)), mode="edge")
    shift -= complex(*origin)
    fine = max(1, round(abs(turn)))  # compute larger and shrink, or fine detail turns into dots
    turn, side = turn / fine, size * fine
    matrix = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    moved = Image.fromarray(padded).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return moved.resize((size, size), Image.Resampling.BOX)
