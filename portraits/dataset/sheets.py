"""Contact sheets: many small pictures in one file.

python -m portraits.sheets hsem/data/portraits/held_out.npz docs/portraits/sheet.webp
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hsem.files import replacing


def sheet(pictures: Sequence[np.ndarray], columns: int, gap: int = 2) -> np.ndarray:
    """Pictures (H, W, 3) of bytes, row by row on white."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    page = np.full(shape, 255, np.uint8)
    for k, picture in enumerate(pictures):
        row, column = divmod(k, columns)
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        page[y : y + height, x : x + width] = picture
    return page


def with_row_names(page: np.ndarray, names: Sequence[str], width: int = 110) -> np.ndarray:
    """The page with a name to the left of each of its rows."""
    wide = Image.new("RGB", (page.shape[1] + width, page.shape[0]), "white")
    wide.paste(Image.fromarray(page), (width, 0))
    draw, height = ImageDraw.Draw(wide), page.shape[0] / len(names)
    for row, name in enumerate(names):  # letters that can still be read in a column of text
        place, words = (width - 8, (row + 0.5) * height), name.replace("_", "\n")
        draw.text(place, words, "black", anchor="rm", align="right", font_size=20)
    return np.asarray(wide)


def save(page: np.ndarray | Image.Image, path: Path, quality: int = 85) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = Image.registered_extensions()[path.suffix.lower()]
    with replacing(path) as part:
        Image.fromarray(np.asarray(page)).save(part, form, quality=quality, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="an npz with images")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--columns", type=int, default=12)
    args = parser.parse_args()
    with np.load(args.data) as file:
        pictures = file["images"][: args.count]
    save(sheet(list(pictures), args.columns), args.out)


if __name__ == "__main__":
    main()
