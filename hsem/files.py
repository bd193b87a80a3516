"""Files appear whole or not at all, and what was read from one is ours to change.

The only place in the package that writes. A file is written under another name in the same folder
and then put in its place: a reader sees the old one or the new one, and a full disk or a killed
process cannot damage what was there.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from .reading import check_file, refuse_foreign


@contextmanager
def replacing(path: str | Path, name: str = "path") -> Iterator[Path]:
    """Give another name to write to within the block, and put that file at `path` at its end.

    Parameters
    ----------
    path : of the file to make or to replace; links are followed
    name : how the caller's argument is called, for messages

    Raises
    ------
    OSError
        If the folder is missing or read-only, something other than a file is at `path`, or the
        disk is full. What was at `path` is untouched then, and nothing else is left behind.

    Notes
    -----
    The new file has the permissions of the old one, or those that any new file would get. Only a
    process that is killed while it writes leaves something behind, `.NAME.DIGITS.part`.
    """
    path = Path(path)
    part = _start(path, name)
    try:
        try:
            mode = part.stat().st_mode
            yield part
            part.chmod(mode)  # some libraries write for the owner alone
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, os.path.realpath(path))
        except (OSError, SafetensorError) as error:
            raise _refused(path, name, error) from error
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: str | Path, name: str = "path") -> None:
    """Raise OSError now if `path` could not be written later; leaves nothing behind.

    For work that takes hours before it saves for the first time. Tries to write, because what a
    system says about permissions is not always what it does.
    """
    _start(path, name).unlink()


def prepare(path: str | Path, name: str = "path") -> Path:
    """Make the folder of a file to be written later; raise OSError now if it could not be."""
    make_folder(Path(path).parent, name)
    check_writable(path, name)
    return Path(path)


def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; errors as for `replacing`."""
    ready = {key: x.detach().cpu().contiguous() for key, x in tensors.items()}
    with replacing(path) as part:
        save_file(ready, part, metadata=dict(metadata))


def save_arrays(path: str | Path, *, packed: bool = False, **arrays: Any) -> None:
    """Write an npz file, compressed if `packed`; errors as for `replacing`."""
    with replacing(path) as part, part.open("wb") as file:
        (np.savez_compressed if packed else np.savez)(file, **arrays)


def read_tensors(
    path: str | Path, form: str | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, by name in order, and metadata of a safetensors file; else an OSError or its own.

    The format keeps no order: unsorted, one file would give its names in another order each time.
    The file is read rather than mapped: windows on a file change with it, and a process dies of
    them when another program shortens the file meanwhile.
    """
    check_file(path, "safetensors file")
    refuse_foreign(Path(path))
    content = Path(path).read_bytes()
    tensors = dict(sorted(load(content).items()))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = header.get("__metadata__") or {}
    if form is not None and about.get("format") != form:
        raise ValueError(f"its header says format={about.get('format')!r}, expected {form!r}")
    return tensors, about


def as_json(value: Any, **how: Any) -> str:
    """JSON, in which numbers and arrays of numpy and torch are plain ones."""

    def plain(other: Any) -> Any:
        if not hasattr(other, "tolist"):
            raise TypeError(f"{other!r:.60} ({type(other).__name__}) cannot be kept as JSON")
        return other.tolist()

    return json.dumps(value, default=plain, **how)


def make_folder(path: str | Path, name: str = "path") -> Path:
    """The folder at `path`, made with all above it; OSError if it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _refused(path, name, error) from error
    return Path(path)


# ------------------------------------------------------------------------------------- details


def _start(path: str | Path, name: str) -> Path:
    """An empty file of a new name, beside the one that `path` leads to."""
    try:
        target = Path(os.path.realpath(path))
        there = target.exists()
    except (OSError, ValueError) as error:  # too long a name, or a null character in it
        raise _refused(path, name, error) from error
    if target.is_dir():
        raise IsADirectoryError(f"{name}={str(path)!r} is a folder; give the name of a file in it")
    if there and not target.is_file():
        raise OSError(f"{name}={str(path)!r} is a device or a pipe; give the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{name}={str(path)!r} cannot be written: there is no folder {str(target.parent)!r}; "
            "make it first, or give another place"
        )
    mode = target.stat().st_mode if there else None
    if mode is not None and not mode & 0o222:
        raise PermissionError(f"{name}={str(path)!r} is write-protected; give another name")
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        if mode is not None:
            part.chmod(mode)
    except BaseException as error:  # also Ctrl-C
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(path, name, error) from error
        raise
    return part


def _refused(path: str | Path, name: str, error: Exception) -> OSError:
    code, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
    message = (
        f"{name}={str(path)!r} cannot be written: {reason}; free some space, or give another "
        "place or name. What was there before is untouched"
    )
    return OSError(message) if code is None else OSError(code, message)
