"""The board on the page "The model on this page", for browsers that cannot run the model.

    python book/_tools/board.py

One person (seed 7, 16 steps, eta 0, as the page begins), one named direction a row, five strengths.
The picture keeps the fingerprint of the weights that drew it; a test asks whether they are still
those of the package.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

import hsem
from hsem import viz
from hsem.files import replacing
from hsem.viz.picture import sheet

OUT = Path(__file__).resolve().parents[1] / "_pictures" / "playground.webp"
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SEED, STEPS = 7, 16
DESCRIPTION = 0x010E  # EXIF's ImageDescription


def drawn(model: hsem.HSpaceUNet, direction: hsem.Direction) -> torch.Tensor:
    """The person under each strength, (5, 3, H, W)."""
    along = direction.resampled(model.schedule(STEPS))
    return torch.cat([
        hsem.sample(
            model, [SEED], steps=STEPS, eta=0.0, edit=hsem.add(along, strength), record=(),
            progress=False,
        ).images
        for strength in STRENGTHS
    ])  # fmt: skip


def main() -> None:
    """Draw and write it."""
    model = hsem.load(device="cpu")
    directions = hsem.results.load("named", model).directions
    images = torch.cat([drawn(model, direction) for direction in directions.values()])
    board = sheet(
        viz.to_uint8(images), len(STRENGTHS), zoom=2, width=88,
        col_labels=["−1", "−½", "0", "+½", "+1"],
        row_labels=[name.replace("_", " ") for name in directions],
    )  # fmt: skip
    about = Image.Exif()
    about[DESCRIPTION] = model.fingerprint
    with replacing(OUT) as part:
        board.save(part, "webp", quality=82, method=6, exif=about)


if __name__ == "__main__":
    main()
