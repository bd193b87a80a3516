"""Train the denoiser `portraits-64`: resumable, on a GPU or on two CPU cores.

    python -m portraits.train --data DATA --out RUN --level 2 --minutes 30   # 16x16 pictures
    python -m portraits.train --data DATA --out RUN --level 1 --minutes 30   # 32x32
    python -m portraits.train --data DATA --out RUN --minutes 60             # 64x64
    python -m portraits.train --data DATA --out RUN --minutes 20 --cool 1    # land it
    python -m portraits.train.export RUN hsem/data/portraits-64              # ship it

The inner levels learn small pictures first (portraits/train/levels.py): most of what a face is
fits in 16x16 pixels, and there a picture costs a fifth of the time. A GPU needs no such help.
Every number a run depends on is in its `config.json`; every line of `log.jsonl` is one measurement.
The same command, given again after a run was cut off, goes on from its last checkpoint, whatever
machine wrote it; after a run has ended, a command trains it on.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from .loop import train
from .settings import Settings


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True, help="train_*.npz, or a folder of them")
    p.add_argument("--out", type=Path, required=True, help="folder of the run")
    p.add_argument("--minutes", type=float, help="default: 60, or no limit with --steps")
    p.add_argument("--steps", type=int, help="stop at this step of the run")
    cool = p.add_mutually_exclusive_group()
    cool.add_argument("--cool", type=float, help="last share, learning rate to zero")
    cool.add_argument("--cooldown", type=float, help="the same in minutes")
    p.add_argument("--batch", type=int, default=Settings.batch)
    p.add_argument("--optimizer", choices=("adamw", "muon"), default=Settings.optimizer)
    p.add_argument(
        "--lr", type=float, default=Settings.lr, help="of Muon (AdamW part: a twentieth of it)"
    )
    p.add_argument("--ema", type=float, default=Settings.ema, help="decay of the weights' average")
    p.add_argument(
        "--level", type=int, default=Settings.level, help="2: 16x16 pictures, 1: 32x32, 0: 64x64"
    )
    p.add_argument(
        "--hold", type=int, default=Settings.hold,
        help="steps a level just grown learns before the inner ones move",
    )  # fmt: skip
    p.add_argument("--channels", type=int, nargs="+", default=Settings.channels)
    p.add_argument(
        "--attention", type=int, default=Settings.attention, help="at how many inmost levels"
    )
    skips = p.add_mutually_exclusive_group()
    skips.add_argument(
        "--skip-dropout", type=float, default=0.0, help="share of skip connections cut off"
    )
    skips.add_argument(
        "--skip-exchange", type=float, default=0.0,
        help="share taken from another picture of the same noise, in three pairs of four",
    )  # fmt: skip
    p.add_argument(
        "--loose", action="store_true", help="shift, turn and scale each portrait at random"
    )
    p.add_argument(
        "--timesteps", type=float, nargs=3, metavar=("SHARE", "CENTRE", "WIDTH"),
        help="share of uniform timesteps, and where the others lie before a sigmoid",
    )  # fmt: skip
    p.add_argument(
        "--init", type=Path, help="what a new run starts from: a model's folder or weights"
    )
    p.add_argument("--device", help="cuda or cpu; default: cuda where there is one")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--log-every", type=int, default=Settings.log_every)
    p.add_argument(
        "--save-every", type=int, default=Settings.save_every,
        help="steps; a checkpoint is never older than a minute",
    )  # fmt: skip
    p.add_argument("--grid-every", type=int, default=Settings.grid_every)
    p.add_argument(
        "--compile", action=argparse.BooleanOptionalAction,
        help="default: where bfloat16 is fast; checked against the gradient without it",
    )  # fmt: skip
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def main(arguments: list[str] | None = None) -> None:
    p = parser()
    chosen = vars(p.parse_args(arguments))
    for name in ("channels", "timesteps"):
        chosen[name] = chosen[name] and tuple(chosen[name])
    try:
        settings = Settings(**chosen)
    except ValueError as error:
        p.error(str(error))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.backends.cudnn.benchmark = True  # one shape all along: worth a search
    train(settings)


if __name__ == "__main__":
    main()
