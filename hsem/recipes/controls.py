"""Results for Table I: what does it do to take away *anything*? Controls of the projection.

The rows of the table four times more, on people of their own: each direction without random
directions, without one random direction at the angle of the real ones, and without directions whose
examples had their labels shuffled. What is random is drawn anew for each repeat, so that the spread
of the repeats is that of the draws, too. Both judges look at every sample. Needs the directions of
`named.py`; 84,000 runs of the network.

    python -m hsem.recipes.controls
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED
from hsem.judges.scorers import join, select
from hsem.supervised.examples import Examples

from . import command
from .parts import FLOAT, Parts
from .reference import judges_of
from .table_one import ATTRIBUTES

FIRST = FIRST_SEED + 40_000  # samples that no other chapter looks at
KINDS = ("original", "others", "random", "angle", "shuffled")
SEED = 17
SMALL = {"n": 4, "repeats": 2}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(10, "samples in a repeat"), repeats=(10, ""),
        directions=("named", "stored results to take them from"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs: for the samples, and for the examples with shuffled labels."""
    return int(20 * (args.n * args.repeats * (len(KINDS) * len(ATTRIBUTES) + 1) + 1600))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Effects of every direction, as it is and after each way of taking something away."""
    judge, second = judges_of(model)  # the second chose no example
    both = join(second, select(judge, {f"first {name}": name for name in judge.names}))
    named = results.load_or_make(args.directions, model)
    eta = named.provenance["eta"]
    directions = {name: named.directions[name] for name in ATTRIBUTES}
    parts = Parts(args.output, model, **vars(args), directions_of=named.provenance["date"])
    mixed = parts("shuffled", lambda: of_shuffled_labels(model, directions, args.repeats))

    def measured(r: int) -> dict[str, Tensor]:
        given = zip(directions.items(), mixed[r], strict=True)
        shuffled = {name: replace(v, delta_h=d) for (name, v), d in given}
        edits = cut(directions, shuffled, torch.Generator().manual_seed(SEED + r))
        first = FIRST + r * args.n
        table = hsem.effect_matrix(
            model, edits, both, n=args.n, repeats=1, first_seed=first, eta=eta
        )
        cosines = [[v.cosine(w) for w in shuffled.values()] for v in directions.values()]
        return {
            "effects": table.effects[0],
            "lengths": torch.tensor([v.norm() for v in edits.values()], **FLOAT),
            "shuffled/cosine": torch.tensor(cosines, **FLOAT),  # rows: real ones
        }

    repeats = tqdm(range(args.repeats), unit="repeat")
    measures = [parts.tensors(f"repeat/{r}", measured, r) for r in repeats]
    found = {key: torch.stack([m[key] for m in measures]) for key in measures[0]}
    for key in ("effects", "lengths"):  # (repeats, kinds, rows), and columns
        found[key] = found[key].unflatten(1, (len(KINDS), len(ATTRIBUTES)))
    k = len(second.names)
    return parts.finish(
        "controls", args,
        found | {"effects": found["effects"][..., :k], "first": found["effects"][..., k:]},
        kinds=list(KINDS), rows=list(ATTRIBUTES), columns=list(second.names), n=args.n,
        repeats=args.repeats, first_seed=FIRST, eta=eta, steps=named.provenance["steps"],
        directions_of=named.provenance["date"], measured_by="both judges",
    )  # fmt: skip


def of_shuffled_labels(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction], repeats: int
) -> Tensor:
    """(repeats, rows, T, C, h, w): equation 11 on the same samples, with coins for labels."""
    draw = torch.Generator().manual_seed(SEED)
    sets = []
    for name, v in directions.items():
        facts = v.provenance
        eta = facts["eta"]
        etas = tuple(eta) if isinstance(eta, (list, tuple)) else (eta,) * len(v.timesteps)
        known = {"model": facts["model"], "fingerprint": facts["fingerprint"]}
        positive, negative = (tuple(facts[f"{side}_seeds"]) for side in ("positive", "negative"))
        for r in range(repeats):
            found = Examples(f"{name} {r}", positive, negative, v.timesteps, etas, known)
            sets.append(found.shuffled(draw))
    mixed = hsem.supervised_directions(model, sets)
    rows = [
        torch.stack([mixed[f"{name} {r}"].delta_h for name in directions]) for r in range(repeats)
    ]
    return torch.stack(rows)


def cut(
    directions: dict[str, hsem.Direction],
    shuffled: dict[str, hsem.Direction],
    draw: torch.Generator,
) -> dict[str, hsem.Direction]:
    """All edits, named "kind row": each direction, and what is left of it after each projection.

    "others" is equation 12. "random" takes away as many directions drawn at random; "angle" one
    random direction that has as much in common with the row as the others have together;
    "shuffled" the directions of the other attributes from shuffled labels.
    """
    clean = hsem.disentangle(directions)
    found: dict[str, dict[str, hsem.Direction]] = {"original": directions, "others": clean}
    for kind in KINDS[2:]:
        found[kind] = {}
    for name, v in directions.items():
        rest = [other for other in directions if other != name]
        noise = [hsem.random_like(v, draw) for _ in rest]
        found["random"][name] = hsem.project_out(v, noise)
        upright = hsem.project_out(noise[0], [v])
        share = float(clean[name].norm() / v.norm())  # sine of the angle to the span of the others
        aslant = v * ((1 - share**2) ** 0.5 / v.norm()) + upright * (share / upright.norm())
        found["angle"][name] = hsem.project_out(v, [aslant])
        found["shuffled"][name] = hsem.project_out(v, [shuffled[other] for other in rest])
    return {f"{kind} {name}": found[kind][name] for kind in KINDS for name in directions}


if __name__ == "__main__":
    command.run(__name__)
