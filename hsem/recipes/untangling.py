"""Results for "Untangling" (Fig. 9): what a projection takes out of directions that are entangled.

Every ordered pair of the five directions of Table I whose cosine is beyond a quarter: the first as
it was found, and with the second projected out, at equal length, on new people. Then the paper's
own example, glasses without age and gender, read in two ways, and with two random directions
projected out instead. About 25,000 runs of the network. Needs the directions of `named.py`.

    python -m hsem.recipes.untangling
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
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .command import run
from .parts import Parts
from .reference import judges_of
from .table_one import ATTRIBUTES

FIRST = FIRST_SEED + 50_000  # people that no other chapter looks at
LEAST = 0.25  # of the cosine, to call two directions entangled
VARIANTS: dict[str, dict[str, Any]] = {"untangling": {}}
SMALL = {"people": 4}
EXACT = False


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--people", type=int, default=64, help="new samples, with every edit")
    parser.add_argument("--directions", default="named", help="stored results to take them from")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs: unedited, five directions, a dozen projections or so."""
    return int(20 * args.people * (1 + len(ATTRIBUTES) + 14))


def projections(directions: dict[str, hsem.Direction]) -> dict[str, hsem.Direction]:
    """Each projection by its name, as "hat ⊥ gender", stretched to the length of the original."""
    found = {}
    for a, v in directions.items():
        for b, other in directions.items():
            if a != b and abs(v.cosine(other)) > LEAST:
                found[f"{a} ⊥ {b}"] = hsem.project_out(v, [other])
    glasses, age, gender = (directions[name] for name in ("glasses", "age", "gender"))
    draw = torch.Generator().manual_seed(0)
    noise = [hsem.random_like(v, draw) for v in (age, gender)]
    found["glasses ⊥ age, gender"] = hsem.project_out(glasses, [age, gender])
    found["glasses ⊥ age, gender, by step"] = hsem.project_out(
        glasses, [age, gender], per_step=True
    )
    found["glasses ⊥ two random"] = hsem.project_out(glasses, noise)
    return {
        name: v * (directions[name.split(" ⊥ ")[0]].norm() / v.norm()) for name, v in found.items()
    }


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of all people with each edit."""
    judge = judges_of(model)[1]  # chose no example
    named = results.load_or_make(args.directions, model)
    directions = {name: named.directions[name] for name in ATTRIBUTES}
    edits = {**directions, **projections(directions)}
    parts = Parts(args.output, model, **vars(args), directions_of=named.provenance["date"])
    eta, grid = named.provenance["eta"], directions[ATTRIBUTES[0]].timesteps
    people = range(FIRST, FIRST + args.people)

    def scores(v: hsem.Direction | None) -> Tensor:
        edit = None if v is None else hsem.add(v)
        return edited_scores(model, judge, people, grid, edit, eta=eta)

    tensors = {"plain": parts("plain", lambda: scores(None))}
    found = [
        parts(f"edit/{k}", lambda v=v: scores(v))  # type: ignore[misc]
        for k, v in enumerate(tqdm(edits.values(), unit="edit"))
    ]
    tensors["scores"] = torch.stack(found)  # (edits, people, attributes)
    path = results.save(
        args.output, model, tensors, edits=list(edits), columns=list(judge.names),
        people=args.people, first_seed=FIRST, least=LEAST, eta=eta,
        steps=named.provenance["steps"], directions_of=named.provenance["date"],
        measured_by="the second judge", command=command.said("untangling", args),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
