"""Results for the chapter "Directions with names": a crowd, its scores, and eleven directions.

The first judge chooses the examples, the second measures all effects. About 105,000 runs of the
network. Unless `--output` names one file, a smaller one for the twin follows, `named-obeys`: what
smile and mouth look like in a network that obeys h; and `named-mouth`, which looks for open mouths,
of which there are few, in three times as many samples.

    python -m hsem.recipes.named
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import hsem
from hsem.evaluation.curves import attribute_curve
from hsem.evaluation.effects import FIRST_SEED, edited_scores
from hsem.judges.scorers import from_function, scores_of
from hsem.supervised.normals import normal_direction

from . import command
from .parts import FLOAT, Parts, as_long_as_any, crowd
from .reference import Judge, judges_of

ATTRIBUTES = (
    "yaw", "pitch", "smile", "gender", "age", "glasses", "hat", "mouth_open",
    "beard", "long_hair", "light_azimuth",
)  # fmt: skip
WITH_NORMALS = ("smile", "age", "glasses")
METHODS: tuple[tuple[Literal["logistic", "lda"], float], ...] = (("logistic", 1.0), ("lda", 0.5))
STEPS, ETA = 20, 1.0
VARIANTS: dict[str, dict[str, Any]] = {
    "named": {},
    "named-obeys": {
        "model": "portraits-64-obeys", "n": 800, "count": 80, "people": 64,
        "attributes": ["smile", "mouth_open", "eye_open"],
    },
    "named-mouth": {"n": 5000, "count": 100, "reach": 3.0, "attributes": ["mouth_open"]},
}  # fmt: skip
SMALL = {"n": 96, "count": 16, "people": 8}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(1600, "samples in the crowd"), count=(160, "examples per side"),
        people=(64, "new samples behind each curve"), reach=(2.0, "end of the sliders"),
        attributes=(list(ATTRIBUTES), ""),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    curves = 4 * (len(args.attributes) + 1) + 2 * len(WITH_NORMALS) + 1
    return STEPS * (args.n + args.people * curves)


def logits_of(model: hsem.HSpaceUNet, samples: hsem.Samples, judge: Judge) -> hsem.Annotation:
    """What a judge says of samples, to sort them by: probabilities are mostly 0 or 1, and tie."""
    by_logit = from_function(judge.raw, judge.names, label="the first judge, logits")
    return hsem.score_samples(model, samples, by_logit)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """One file: of one model, for some attributes."""
    judge, second = judges_of(model)  # the first chooses, the second measures
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, args.n, steps=STEPS, eta=ETA)
    table = logits_of(model, samples, judge)
    examples = {name: hsem.extremes(table, name, count=args.count) for name in args.attributes}
    directions = hsem.supervised_directions(model, examples.values(), samples=samples)

    people = range(FIRST_SEED, FIRST_SEED + args.people)
    scales = [args.reach * s for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    tensors: dict[str, Tensor] = {
        "scores": scores_of(judge, samples.images),
        "logits": table.scores,
        "scales": torch.tensor(scales, **FLOAT),
    }
    grid = samples.schedule.timesteps
    scores = partial(edited_scores, model, second, people, grid, eta=ETA)
    plain = scores(None)

    def curve(direction: hsem.Direction) -> Tensor:
        """Scores (scales, people, attributes); scale 0 is the same for all directions."""
        ends = [s for s in scales if s]
        found = attribute_curve(model, direction, second, ends, people, eta=ETA).scores
        return torch.cat([found[:2], plain[None], found[2:]])

    for name, direction in directions.items():
        tensors[f"curve/{name}"] = parts(f"curve/{name}", curve, direction)
    tensors["curve/random"] = parts("curve/random", curve, as_long_as_any(directions))

    assert samples.h_seq is not None
    for name in WITH_NORMALS if set(WITH_NORMALS) <= set(args.attributes) else ():
        rows = (examples[name].positive, examples[name].negative)
        positive, negative = (samples.h_seq[list(row)] for row in rows)
        for method, strength in METHODS:
            normal = normal_direction(
                positive, negative, samples.schedule, method=method, strength=strength
            )
            tensors[f"{method}/{name}/cosine"] = torch.tensor(
                [normal.cosine(directions[name])], **FLOAT
            )
            edit = hsem.add(normal.rescaled_like(directions[name]), args.reach)
            key = f"{method}/{name}/scores"
            tensors[key] = parts(key, scores, edit)

    return parts.finish(
        "named", args, tensors, directions=directions,
        steps=STEPS, eta=ETA, n=args.n, count=args.count, first_seed=FIRST_SEED,
        people=args.people, columns=list(judge.names), measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
