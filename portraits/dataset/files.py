"""Read portraits, from the shards that `portraits.dataset` draws or from packs, and make packs.

    python -m portraits.dataset.files DATA train_q95.npz --split train --quality 95

A pack is one file that travels: mosaics of 32 x 32 pictures in AVIF 4:4:4 (30,000 portraits at
quality 95 take 62 MB and lie 44 dB from the renders; at 91 they take 44 MB), or in lossless WebP
(`--quality 101`), with the labels. DATA is a folder of shards or packs named `train_*.npz` and
`held_*.npz`, or one file. A file is taken as it is: it holds training portraits, whatever its name,
unless that begins with "held"; the files of the other split then lie beside it, named as above.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hsem.files import save_arrays
from hsem.reading import checked, read_arrays, refusing

from ..renderer.factors import LABELS

REMEDY = "draw or pack it again, see portraits/README.md"
SIDE, ACROSS = 64, 32  # pixels of a picture, pictures in a row of a mosaic


def files_of(data: Path, split: str) -> list[Path]:
    """The files that hold a split, in order.

    Raises
    ------
    FileNotFoundError
        If `data` does not exist, or there are none.
    """
    remedy = "render some, see portraits/README.md"
    if not data.exists():
        raise FileNotFoundError(f"data={str(data)!r} does not exist; {remedy}")
    own = ("held" if data.name.startswith("held") else "train") if data.is_file() else None
    if own == split:
        return [data]
    found = sorted((data.parent if own else data).glob(f"{split}_*.npz"))
    if not found:
        told = f"is a file of {own} portraits, and beside it lies" if own else "holds"
        raise FileNotFoundError(f"data={str(data)!r} {told} no {split}_*.npz; {remedy}")
    return found


def read_images(data: Path, split: str = "train") -> np.ndarray:
    """All pictures of a split, uint8 (n, 64, 64, 3)."""
    return np.concatenate([part for path in files_of(data, split) for part in _pictures(path)])


def read_labels(data: Path, split: str = "train") -> np.ndarray:
    """All labels of a split, float32 (n, 37), columns as in `renderer.factors.LABELS`."""
    return np.concatenate([_labels(path) for path in files_of(data, split)])


def _labels(path: Path) -> np.ndarray:
    with refusing(path, "a file of portraits", REMEDY, OSError):
        (found,) = read_arrays(path, "labels")
        return checked("labels", found, None, len(LABELS))


def _pictures(path: Path) -> Iterator[np.ndarray]:
    """The pictures of a shard, or those of a pack, a mosaic at a time."""
    with refusing(path, "a file of portraits", REMEDY, OSError):
        try:
            (images,) = read_arrays(path, "images")
        except KeyError:
            yield from _unpacked(path)
        else:
            yield checked("images", images, None, SIDE, SIDE, 3, kinds="u")


def _unpacked(path: Path) -> Iterator[np.ndarray]:
    (count,) = read_arrays(path, "count")
    for first in range(0, int(count), ACROSS * ACROSS):
        (packed,) = read_arrays(path, f"m{first:06d}")
        mosaic = np.asarray(Image.open(io.BytesIO(packed.tobytes())).convert("RGB"))
        wanted = min(int(count) - first, ACROSS * ACROSS)
        yield checked("images", _cut(mosaic)[:wanted], wanted, SIDE, SIDE, 3, kinds="u")


def _cut(mosaic: np.ndarray) -> np.ndarray:
    """(rows * 64, 32 * 64, 3) to (rows * 32, 64, 64, 3)"""
    cells = mosaic.reshape(-1, SIDE, ACROSS, SIDE, 3)
    return cells.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)


def _mosaic(images: np.ndarray) -> np.ndarray:
    """The inverse of `_cut`; the last row is filled up with black."""
    fill = np.zeros((-len(images) % ACROSS, SIDE, SIDE, 3), np.uint8)
    cells = np.concatenate([images, fill]).reshape(-1, ACROSS, SIDE, SIDE, 3)
    return cells.transpose(0, 2, 1, 3, 4).reshape(-1, ACROSS * SIDE, 3)


def pack(data: Path, out: Path, split: str, quality: int, count: int | None = None) -> int:
    """Write a split, or its first `count` portraits, as one pack; return how many there are."""
    images, labels = read_images(data, split)[:count], read_labels(data, split)[:count]
    (names,) = read_arrays(files_of(data, split)[0], "names")
    content: dict[str, Any] = {"count": np.array(len(images)), "labels": labels, "names": names}
    for first in range(0, len(images), ACROSS * ACROSS):
        buffer = io.BytesIO()
        picture = Image.fromarray(_mosaic(images[first : first + ACROSS * ACROSS]))
        if quality > 100:
            picture.save(buffer, "WEBP", lossless=True, quality=80, method=4)
        else:
            picture.save(buffer, "AVIF", quality=quality, subsampling="4:4:4", speed=6)
        content[f"m{first:06d}"] = np.frombuffer(buffer.getvalue(), np.uint8)
    save_arrays(out, **content)
    return len(images)


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("data", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--split", choices=("train", "held"), default="train")
    p.add_argument("--count", type=int)
    p.add_argument("--quality", type=int, default=95, help="of AVIF; above 100: lossless WebP")
    args = p.parse_args()
    n = pack(args.data, args.out, args.split, args.quality, args.count)
    print(f"{args.out}: {n} portraits, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
