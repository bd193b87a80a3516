"""Results for Fig. 8a: how many examples a direction needs, in h and in x_T, at eta = 0.

Examples are the tenth with most and the tenth with least of the attribute, paired at random; half
of the pairs make the reference, and no draw takes all of the other half. About 110,000 runs of the
network an attribute.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED

from . import command
from .command import run
from .parts import FLOAT, WHOLE, Parts, crowd
from .reference import judges_of

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
STEPS, SEED = 20, 5
VARIANTS: dict[str, dict[str, Any]] = {"learning": {}, "learning-yaw": {"attribute": "yaw"}}
SMALL = {"n": 96, "pairs": 40, "draws": 3, "people": 4}
EXACT = False


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--n", type=int, default=3000, help="samples in the crowd")
    parser.add_argument("--pairs", type=int, default=300, help="of them, half held out")
    parser.add_argument("--draws", type=int, default=20, help="directions from each count")
    parser.add_argument("--people", type=int, default=8, help="new samples behind each effect")
    parser.add_argument("--attribute", default="smile", help="what to find a direction for")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the sampler")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    counts = len([n for n in COUNTS if n < args.pairs // 2])
    return int(args.steps * (args.n + args.people * (2 * counts * args.draws + 3)))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """The curves of one attribute."""
    judge, second = judges_of(model)  # the first chooses, the second measures
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, model, args.n, steps=args.steps, eta=0.0)
    table = hsem.score_samples(model, samples, judge)
    curve = hsem.learning_curve(
        model, hsem.extremes(table, args.attribute, count=args.pairs),
        [n for n in COUNTS if n < args.pairs // 2],
        draws=args.draws, generator=torch.Generator().manual_seed(SEED), scorer=second,
        seeds=range(FIRST_SEED, FIRST_SEED + args.people), samples=samples,
    )  # fmt: skip
    assert curve.effect is not None and curve.reference_effect is not None
    tensors = {"counts": torch.tensor(curve.counts, **WHOLE)}
    for latent in ("h", "x_T"):
        tensors[f"cosine/{latent}"] = curve.cosine[latent]  # (draws, counts)
        tensors[f"shuffled/{latent}"] = curve.shuffled[latent]
        tensors[f"effect/{latent}"] = curve.effect[latent]
        tensors[f"reference/{latent}"] = torch.tensor([curve.reference_effect[latent]], **FLOAT)
    path = results.save(
        args.output, model, tensors, attribute=args.attribute, steps=args.steps, eta=0.0, n=args.n,
        pairs=args.pairs, draws=args.draws, people=args.people, generator_seed=SEED,
        measured_by="the second judge",
        command=command.said("learning", args),
    )  # fmt: skip
    parts.clear()
    return path


if __name__ == "__main__":
    run(__name__)
