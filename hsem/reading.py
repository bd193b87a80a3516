"""Files from anywhere: read, or refused with one clear error.

A file may be damaged, of another kind, or made to harm. Nothing here runs code from a file, and
nothing takes more memory than a file of its size can ask for.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
GREY = {"PNG", "TIFF", "PPM", "JPEG2000", "IM"}  # in these, 0 is black and the largest white
TURNS = {  # by the orientation of EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LARGE, RATIO = 100_000_000, 50  # bytes; arrays of ours shrink less than this when they are packed


def check_file(path: str | Path, what: str, remedy: str = "look at its spelling") -> None:
    """Raise FileNotFoundError unless a file is at `path`: no folder, and no pipe to wait for."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no {what} at {str(path)!r}; {remedy}")


@contextmanager
def refusing(path: str | Path, what: str, remedy: str, kind: type[Exception]) -> Iterator[None]:
    """Whatever fails in the block that reads `path` becomes one error that names it.

    A file from a stranger fails in a dozen ways: no zip, no JSON, a text where a number should be,
    tensors that do not fit together, NaN, objects that would run code.
    """
    try:
        yield
    except Exception as error:
        raise kind(
            f"{str(path)!r} is not {what} of this version, or damaged ({type(error).__name__}: "
            f"{error}); {remedy}"
        ) from error


def checked(
    name: str, array: Any, *shape: int | None, kinds: str = "f", finite: bool = True
) -> Any:
    """The array (of numpy or torch), if it has this shape, kind of numbers, and no NaN.

    Parameters
    ----------
    shape : None where any length will do
    kinds : letters of numpy's kinds: f floating, i and u integers, b booleans, U texts
    finite : False allows NaN, but not infinity
    """
    given, values = tuple(array.shape), np.asarray(array)
    fits = len(given) == len(shape) and all(
        n == wanted or wanted is None for n, wanted in zip(given, shape, strict=True)
    )
    if not fits or values.dtype.kind not in kinds:
        raise ValueError(
            f"{name} must have shape {shape} and numbers of kind {kinds!r}, got {given} of "
            f"{values.dtype}"
        )
    bad = np.isinf(values) | (np.isnan(values) & finite) if values.dtype.kind == "f" else []
    if np.any(bad):
        raise ValueError(f"{name} holds {np.sum(bad)} values that are NaN or infinite")
    return array


def check_there(path: Path, what: str, hint: str) -> None:
    """Raise OSError unless a file is at `path`, and not what a failed download leaves there."""
    if path.is_dir():
        raise OSError(f"{path} is a folder, where a {what} is expected; {hint}")
    if path.is_symlink() and not path.is_file():
        raise FileNotFoundError(
            f"{path} is a link to {path.readlink()}, where nothing is: a cache of the hub that was "
            "copied without its blobs? Copy it with what its links lead to (`cp -rL`)"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {hint}")
    refuse_foreign(path)


def refuse_foreign(path: Path) -> None:
    """Raise OSError for what a failed download leaves in place of a file."""
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if not head:
        raise OSError(f"{path} is empty; download it again")
    if head.startswith(b"version https://git-lfs"):
        raise OSError(
            f"{path} is a Git LFS pointer, not the file itself: the repository was cloned without "
            "Git LFS; install it and run `git lfs pull` there"
        )
    if head.startswith(b"<") and b"\0" not in head:  # a length in binary may begin so as well
        raise OSError(
            f"{path} is an HTML page: the page about the file was saved in its place; on the "
            "hub, the file itself is under .../resolve/main/..., not .../blob/main/..."
        )


def read_json(
    path: Path, hint: str = "look at its spelling", *, finite: bool = True
) -> dict[str, Any]:
    """The mapping in a JSON file, or one error with the path, what is wrong, and the remedy.

    JSON knows no NaN and no infinity, though Python reads and writes them: refused if `finite`.
    """
    number = _finite if finite else float
    check_there(path, "JSON file", hint)
    try:  # with or without a BOM
        content = json.loads(
            path.read_bytes().decode("utf-8-sig"), parse_float=number, parse_constant=number
        )
    except UnicodeDecodeError as error:
        raise OSError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise OSError(f"{path} is damaged: no valid JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise OSError(f"{path} holds a {kind}, not a mapping {{...}}: another file of this name?")
    return content


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"it holds the number {text}")
    return number


def read_arrays(path: str | Path, *keys: str) -> list[np.ndarray]:
    """Arrays of an npz file by name, and no objects, which are pickled code.

    Raises
    ------
    Exception
        Of many kinds, see `refusing`; ValueError if it would unpack to far more than its size.
    """
    check_file(path, "npz file")
    refuse_foreign(Path(path))
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > max(LARGE, RATIO * Path(path).stat().st_size):
        raise ValueError(f"it would unpack to {unpacked / 1e9:.1f} GB, far more than its size")
    with np.load(path, allow_pickle=False) as file:
        return [file[key] for key in keys]


def opened_picture(path: str | Path) -> Image.Image:
    """The picture upright, in RGB, on white; OSError with the file's name for all that fails."""
    try:
        check_file(path, "picture")
        # Opened here: of a name, Pillow maps the file, and dies of it when the file is shortened.
        with open(path, "rb") as stream, Image.open(stream) as file:
            if file.format == "EPS":
                raise ValueError("PostScript is a program; save it as PNG, or as another picture")
            file.load()
            picture, turn = _of_eight_bits(file), TURNS.get(_orientation(file))
            return picture if turn is None else picture.transpose(turn)
    except Exception as error:  # damaged files raise a dozen types, SyntaxError among them
        remedy = ""
        if isinstance(error, Image.DecompressionBombError):
            remedy = "; shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
        raise OSError(
            f"cannot read a picture from {str(path)!r} ({type(error).__name__}: {error}){remedy}"
        ) from error


def _orientation(file: Image.Image) -> Any:
    """What the EXIF of a picture says about its upright side; None if it is damaged."""
    try:
        return file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of a dozen types; the pixels are as good as ever
        return None


def _of_eight_bits(file: Image.Image) -> Image.Image:
    tags = getattr(file, "tag_v2", {})
    # Older versions of Pillow say "I" for the 16 bits of PNG and PGM too, in the same range.
    if (file.mode in SIXTEEN_BITS and file.format in GREY) or (
        file.mode == "I" and file.format in ("PNG", "PPM")
    ):
        top = 2 ** tags.get(258, (16,))[0] - 1  # TIFF has 12 bits as well
        negative, clear = tags.get(262) == 0, file.info.get("transparency")
        deep = np.asarray(file)
        grey = np.empty(deep.shape, np.uint8)
        for row, values in zip(grey, deep, strict=True):  # all at once would take ten times more
            row[:] = (values * np.float32(255 / top)).round().clip(0, 255)
            if negative:  # TIFF may count from white to black
                row[:] = 255 - row
            if clear is not None:  # PNG may call one value transparent
                row[values == clear] = 255
        return Image.fromarray(grey).convert("RGB")
    signed = 2 in tags.get(339, ())  # the SampleFormat of TIFF, which Pillow reads as unsigned
    if file.mode[0] in "IF" or signed:
        raise ValueError(
            f"its pixels are {'floating-point' if file.mode == 'F' else 'whole'} numbers of "
            f"{'either sign' if signed else '16 or 32 bits'}, which in a {file.format} do not say "
            "what is black and what is white; save it with 8 or 16 bits, as PNG"
        )
    return on_white(file)


def on_white(image: Image.Image) -> Image.Image:
    """The picture in RGB; what is transparent is white."""
    if not image.has_transparency_data:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    above = image if image.mode == "RGBA" else image.convert("RGBA")
    picture = Image.new("RGB", above.size, "white")
    picture.paste(above, mask=above.getchannel("A"))
    return picture
