"""Results for Table I: effects of the original and of the disentangled directions.

Needs the directions of `named.py`. Of the paper's own size, 10 repeats of 100 samples: 220,000 runs
of the network; fewer samples at three other strengths, 132,000.
Makes the four tables of the chapter, unless `--output` names one. What is there already, made with
the same settings, is kept, so a run may be stopped, and `--repeats 20` goes on where ten were made.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, TableOne

from . import command
from .reference import judges_of

ATTRIBUTES = ("smile", "glasses", "age", "gender", "hat")
FIRST = FIRST_SEED + 10_000  # samples that no other chapter looks at
VARIANTS: dict[str, dict[str, Any]] = {
    "table_one": {},
    "table_one-half": {"scale": 0.5, "n": 40},
    "table_one-more": {"scale": 1.5, "n": 10},
    "table_one-double": {"scale": 2.0, "n": 10},
}
SMALL = {"n": 4, "repeats": 2}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(100, "samples in a repeat"), repeats=(10, ""),
        scale=(1.0, "strength of all the edits"),
        per_step=(False, "project at each step by itself"),
        keep_norm=(False, "stretch the disentangled ones"),
        directions=("named", "stored results to take them from"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(20 * args.n * args.repeats * (2 * len(ATTRIBUTES) + 1))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Measure the repeats that are missing in one table."""
    usual = parser()
    flags = ("scale", "per_step", "keep_norm")
    if args.output == "table_one" and any(getattr(args, f) != usual.get_default(f) for f in flags):
        raise ValueError("--scale, --per-step and --keep-norm make other tables: name an --output")
    judge = judges_of(model)[1]  # chose no example
    named = results.load_or_make(args.directions, model)
    directions = {name: named.directions[name] for name in ATTRIBUTES}
    settings = {
        "n": args.n, "scale": args.scale, "per_step": args.per_step, "keep_norm": args.keep_norm,
        "first_seed": FIRST, "measured_by": "the second judge",
        "eta": named.provenance["eta"], "directions_of": named.provenance["date"],
    }  # fmt: skip
    tensors = stored(args.output, model, settings)
    done = len(tensors["original/effects"]) if tensors else 0
    path = results.path_of(args.output)
    for r in tqdm(range(done, args.repeats), unit="repeat"):
        table = hsem.table_one(
            model, directions, judge, per_step=args.per_step, keep_norm=args.keep_norm,
            scale=args.scale, n=args.n, repeats=1, first_seed=FIRST + r * args.n,
            eta=named.provenance["eta"],
        )  # fmt: skip
        tensors = joined(tensors, table, r)
        path = results.save(
            args.output, model, tensors, rows=list(ATTRIBUTES), columns=list(judge.names),
            repeats=r + 1, steps=named.provenance["steps"], **settings,
            command=command.said("table_one", args),
        )  # fmt: skip
    return path


def stored(output: str, model: hsem.HSpaceUNet, settings: dict[str, object]) -> dict[str, Tensor]:
    """What an earlier run with the same settings has measured; nothing if there is none."""
    try:
        before = results.load(output, model)
    except (OSError, ValueError):
        return {}
    same = all(before.provenance.get(key) == value for key, value in settings.items())
    return dict(before.tensors) if same else {}


def joined(tensors: dict[str, Tensor], table: TableOne, r: int) -> dict[str, Tensor]:
    """The repeats so far and one more: effects and sizes (repeats, rows, columns), spread."""
    out = {}
    for half in ("original", "disentangled"):
        for what in ("effects", "sizes"):
            new = getattr(getattr(table, half), what).float()
            key = f"{half}/{what}"
            out[key] = torch.cat([tensors[key], new]) if key in tensors else new
    # As it will be read again: a run that was stopped must end as one that was not.
    before = tensors["spread"].half().float().square() * r if tensors else 0
    out["spread"] = ((before + table.original.spread.float().square()) / (r + 1)).sqrt()
    return out


if __name__ == "__main__":
    command.run(__name__)
