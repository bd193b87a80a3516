"""Results for the chapter "Directions with names": a crowd, its scores, and eleven directions.

The first judge chooses the examples, the second measures all effects. About 105,000 runs of the
network: ten minutes on two cores, seconds on a GPU. Unless `--output` names one file, a smaller one
for the twin follows, `named-obeys`: what smile and mouth look like in a network that obeys h.

    python -m hsem.recipes.named
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.evaluation.curves import attribute_curve
from hsem.evaluation.effects import FIRST_SEED, edited_scores
from hsem.judges.scorers import from_function, scores_of
from hsem.supervised.normals import normal_direction

from . import command
from .command import run
from .parts import FLOAT, Parts, crowd
from .reference import judges_of

ATTRIBUTES = (
    "yaw", "pitch", "smile", "gender", "age", "glasses", "hat", "mouth_open",
    "beard", "long_hair", "light_azimuth",
)  # fmt: skip
WITH_NORMALS = ("smile", "age", "glasses")
STEPS, ETA = 20, 1.0
VARIANTS: dict[str, dict[str, Any]] = {
    "named": {},
    "named-obeys": {
        "model": "portraits-64-obeys", "n": 800, "count": 80, "people": 64,
        "attributes": ["smile", "mouth_open", "eye_open"],
    },
}  # fmt: skip
SMALL = {"n": 96, "count": 16, "people": 8}
EXACT = False


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--n", type=int, default=1600, help="samples in the crowd")
    parser.add_argument("--count", type=int, default=160, help="examples per side")
    parser.add_argument("--people", type=int, default=64, help="new samples behind each curve")
    parser.add_argument("--reach", type=float, default=2.0, help="end of the sliders")
    parser.add_argument("--attributes", nargs="+", default=list(ATTRIBUTES))
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    curves = 4 * (len(args.attributes) + 1) + 2 * len(WITH_NORMALS) + 1
    return STEPS * (args.n + args.people * curves)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of one model, for some attributes."""
    judge, second = judges_of(model)  # the first chooses, the second measures
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, model, args.n, steps=STEPS, eta=ETA)
    # Sorted by logits: a probability is 0 or 1 for most people, and ties have no order.
    by_logit = from_function(judge.raw, judge.names, label="the first judge, logits")
    table = hsem.score_samples(model, samples, by_logit)
    examples = {name: hsem.extremes(table, name, count=args.count) for name in args.attributes}
    directions = hsem.supervised_directions(model, examples.values(), samples=samples)

    people = range(FIRST_SEED, FIRST_SEED + args.people)
    scales = [args.reach * s for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    tensors: dict[str, Tensor] = {
        "scores": scores_of(judge, samples.images),
        "logits": table.scores,
        "scales": torch.tensor(scales, **FLOAT),
    }
    plain = edited_scores(model, second, people, samples.schedule.timesteps, None, eta=ETA)

    def curve(direction: hsem.Direction) -> Tensor:
        """Scores (scales, people, attributes); scale 0 is the same for all directions."""
        ends = [s for s in scales if s]
        found = attribute_curve(model, direction, second, ends, people, eta=ETA).scores
        return torch.cat([found[:2], plain[None], found[2:]])

    for name, direction in directions.items():
        key = f"curve/{name}"
        tensors[key] = parts(key, lambda direction=direction: curve(direction))  # type: ignore[misc]
    longest = max(directions.values(), key=hsem.Direction.norm)
    random = hsem.random_like(longest, torch.Generator().manual_seed(0))
    tensors["curve/random"] = parts("curve/random", lambda: curve(random))

    assert samples.h_seq is not None
    for name in WITH_NORMALS if set(WITH_NORMALS) <= set(args.attributes) else ():
        rows = [list(s) for s in (examples[name].positive, examples[name].negative)]
        for method in ("logistic", "lda"):
            normal = normal_direction(
                samples.h_seq[rows[0]], samples.h_seq[rows[1]], samples.schedule,
                method="logistic" if method == "logistic" else "lda",
                strength=1.0 if method == "logistic" else 0.5,
            )  # fmt: skip
            tensors[f"{method}/{name}/cosine"] = torch.tensor(
                [normal.cosine(directions[name])], **FLOAT
            )
            edit = hsem.add(normal.rescaled_like(directions[name]), args.reach)
            key, grid = f"{method}/{name}/scores", normal.timesteps
            tensors[key] = parts(
                key,
                lambda edit=edit, grid=grid: edited_scores(  # type: ignore[misc]
                    model, second, people, grid, edit, eta=ETA
                ),
            )

    path = results.save(
        args.output, model, tensors, directions=directions,
        steps=STEPS, eta=ETA, n=args.n, count=args.count, first_seed=FIRST_SEED,
        people=args.people, columns=list(judge.names), measured_by="the second judge",
        command=command.said("named", args),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
