"""Results for Table I: effects of the original and of the disentangled directions.

Needs the directions of `named.py`. About 4,400 runs of the network a repeat of 20 samples: a minute
on one core. Makes the two tables of the chapter, unless `--output` names one. What is there
already, made with the same settings, is kept, so a run may be stopped, and `--repeats 20` goes on
where ten were made. The paper's own size is `--n 100 --repeats 10`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, TableOne

ATTRIBUTES = ("smile", "glasses", "age", "gender", "hat")
FIRST = FIRST_SEED + 10_000  # samples that no other chapter looks at
TABLES: dict[str, dict[str, Any]] = {
    "table_one": {},
    "table_one-half": {"scale": 0.5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=20, help="samples in a repeat")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--scale", type=float, default=1.0, help="strength of all the edits")
    parser.add_argument("--per-step", action="store_true", help="project at each step by itself")
    parser.add_argument("--keep-norm", action="store_true", help="stretch the disentangled ones")
    parser.add_argument("--output", help="name or path of the file (default: both)")
    parser.add_argument("--directions", default="named", help="stored results to take them from")
    args = parser.parse_args()
    if args.output is None and (args.scale != 1 or args.per_step or args.keep_norm):
        parser.error("--scale, --per-step and --keep-norm describe one table: name it by --output")
    for output, flags in TABLES.items() if args.output is None else [(args.output, {})]:
        fill(argparse.Namespace(**{**vars(args), "output": output, **flags}))


def fill(args: argparse.Namespace) -> None:
    """Measure the repeats that are missing in one table."""
    model = hsem.load(dtype=hsem.fast_dtype())
    judge = hsem.classifier.load(hsem.classifier.SECOND, model.device)  # chose no example
    named = results.load(args.directions, model)
    directions = {name: named.directions[name] for name in ATTRIBUTES}
    settings = {
        "n": args.n, "scale": args.scale, "per_step": args.per_step, "keep_norm": args.keep_norm,
        "first_seed": FIRST, "measured_by": "the second judge",
        "eta": named.provenance["eta"], "directions_of": named.provenance["date"],
    }  # fmt: skip
    tensors = stored(args.output, model, settings)
    done = len(tensors["original/effects"]) if tensors else 0
    for r in range(done, args.repeats):
        table = hsem.table_one(
            model, directions, judge, per_step=args.per_step, keep_norm=args.keep_norm,
            scale=args.scale, n=args.n, repeats=1, first_seed=FIRST + r * args.n,
            eta=named.provenance["eta"],
        )  # fmt: skip
        tensors = joined(tensors, table, r)
        path = results.save(
            args.output, model, tensors, rows=list(ATTRIBUTES), columns=list(judge.names),
            repeats=r + 1, steps=named.provenance["steps"], **settings,
            command=shlex.join(["python", *sys.argv]),
        )  # fmt: skip
        print(f"{path}: repeat {r + 1} of {args.repeats}")


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
    main()
