"""Results for Fig. 8b: several edits one after the other, in every order.

The sum of directions does not know the order in which they were added, so all orders of k edits
pass through the same 2^k sets of them. Each set is drawn once, on the same people. About 20,000
runs of the network.

    python -m hsem.recipes.sequence
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .parts import FLOAT, WHOLE, Parts
from .reference import judges_of

EDITS = ("smile", "yaw", "age", "glasses")  # in the order of the paper's figure
FIRST = FIRST_SEED + 20_000  # people that no other chapter looks at
SMALL = {"people": 6}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, people=(64, "new samples behind each mean"), strength=(1.6, "gamma of each edit"),
        directions=("named", "stored results to take them from"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(20 * args.people * 2 ** len(EDITS))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of all people with each set of the edits, and without any."""
    judge = judges_of(model)[1]  # chose no example
    named = results.load_or_make(args.directions, model)
    parts = Parts(args.output, model, **vars(args))
    edits = [name for name in EDITS if name in named.directions]
    people, grid = range(FIRST, FIRST + args.people), named.directions[edits[0]].timesteps
    sets = torch.tensor(
        [[bool(k >> j & 1) for j in range(len(edits))] for k in range(2 ** len(edits))],
        **WHOLE,
    )

    def scores(row: Tensor) -> Tensor:
        chosen = [named.directions[n] for n, there in zip(edits, row, strict=True) if there]
        edit = hsem.add(sum(chosen[1:], chosen[0]), args.strength) if chosen else None
        return edited_scores(model, judge, people, grid, edit, eta=named.provenance["eta"]).cpu()

    found = [parts(f"set/{k}", scores, row) for k, row in enumerate(tqdm(sets, unit="set"))]
    return parts.finish(
        "sequence", args,
        {"sets": sets, "scores": torch.stack(found).to(**FLOAT)},  # (sets, people, attributes)
        edits=edits, attributes=list(judge.names), strength=args.strength, people=args.people,
        first_seed=FIRST, eta=named.provenance["eta"], steps=named.provenance["steps"],
        measured_by="the second judge",
    )  # fmt: skip


def jumps(value: Mapping[frozenset[int], Tensor], k: int) -> tuple[list[tuple[int, ...]], Tensor]:
    """What each of k edits adds when its turn comes, in every order.

    Parameters
    ----------
    value : (...), what was measured with each set of edits; the empty set is there, too

    Returns
    -------
    orders : all k! of them, as tuples of edits
    jumps : (k!, k, ...), of edit j in the order i, wherever it stands. Over all orders their mean
        is the Shapley value of the edit, and their sum over the edits is the same in each order.
    """
    orders = list(permutations(range(k)))
    rows = []
    for order in orders:
        row, before = {}, frozenset[int]()
        for j in order:
            after = before | {j}
            row[j] = value[after] - value[before]
            before = after
        rows.append(torch.stack([row[j] for j in range(k)]))
    return orders, torch.stack(rows)


if __name__ == "__main__":
    command.run(__name__)
