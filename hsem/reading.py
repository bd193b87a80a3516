"""Files from anywhere: read, or refused with one clear error.

A file may be damaged, of another kind, or made to harm. Nothing here runs code from a file, and
nothing takes more memory than a file of its size can ask for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors import safe_open
from torch import Tensor

SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
LARGE, RATIO = 100_000_000, 50  # bytes; arrays of ours shrink less than this when they are packed


def read_tensors(path: str | Path, what: str) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """All tensors of a safetensors file, as copies, and the texts of its header.

    Parameters
    ----------
    what : the file should hold, for the message

    Raises
    ------
    OSError
        If the file is missing, a folder, damaged, or of another kind.
    """
    _check_there(path, what)
    try:
        with safe_open(path, framework="pt") as file:
            # Copies: a view would change, or end the process, when the file does.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except Exception as error:  # SafetensorError, and what torch says to shapes that overflow
        raise OSError(
            f"cannot read {what} from {str(path)!r}: damaged, or no safetensors file ({error})"
        ) from error


def read_arrays(path: str | Path, keys: Sequence[str], what: str) -> list[np.ndarray]:
    """Arrays of an npz file by name.

    Raises
    ------
    OSError
        If the file is missing, a folder, damaged, of another kind, lacks one of the arrays, holds
        objects (pickled code), or would unpack to far more than its size.
    """
    _check_there(path, what)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > max(LARGE, RATIO * Path(path).stat().st_size):
            raise ValueError(f"it would unpack to {unpacked / 1e9:.1f} GB")
        with np.load(path, allow_pickle=False) as file:
            return [file[key] for key in keys]
    except Exception as error:  # zlib, zipfile, numpy and tokenize all have errors of their own
        raise OSError(
            f"cannot read {what} from {str(path)!r}: damaged, or no npz file with "
            f"{', '.join(keys)} ({type(error).__name__}: {error})"
        ) from error


def _check_there(path: str | Path, what: str) -> None:
    if Path(path).is_dir():
        raise IsADirectoryError(f"cannot read {what} from {str(path)!r}: it is a folder")
    if not Path(path).is_file():
        raise FileNotFoundError(f"cannot read {what} from {str(path)!r}: there is no such file")


def opened_picture(path: str | Path) -> Image.Image:
    """The picture upright, in RGB, on white; OSError with the file's name for all that fails."""
    try:
        with Image.open(path) as file:
            ImageOps.exif_transpose(file, in_place=True)
            return _on_white(file)
    except Exception as error:  # damaged files raise a dozen types, SyntaxError among them
        remedy = ""
        if isinstance(error, Image.DecompressionBombError):
            remedy = "; shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
        raise OSError(
            f"cannot read a picture from {str(path)!r} ({type(error).__name__}: {error}){remedy}"
        ) from error


def _on_white(file: Image.Image) -> Image.Image:
    # Older versions of Pillow say "I" for the 16 bits of PNG and PGM too, in the same range.
    if file.mode in SIXTEEN_BITS or (file.mode == "I" and file.format in ("PNG", "PPM")):
        bits = getattr(file, "tag_v2", {}).get(258, (16,))[0]  # TIFF has 12 as well
        grey = np.multiply(np.asarray(file), 255 / (2**bits - 1), dtype=np.float32)
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if file.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are {'whole' if file.mode == 'I' else 'floating-point'} numbers of 32 "
            "bits, which do not say what is black and what is white; save it with 8 or 16 bits"
        )
    if not file.has_transparency_data:
        file.load()
        return file if file.mode == "RGB" else file.convert("RGB")
    above = file.convert("RGBA")
    picture = Image.new("RGB", above.size, "white")
    picture.paste(above, mask=above.getchannel("A"))
    return picture
