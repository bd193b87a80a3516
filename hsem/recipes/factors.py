"""Results for "Principal directions": which known factors do the components of h carry?

One PCA over all steps of one crowd, exact, and looked at in 25 components: what follows each of
them, what a push along it changes, how well the first k tell each attribute (cross-validated), and
the same in as many random directions. Then once more after light and background were projected out
of h (equation 12): what comes first when they no longer do? About 58,000 runs of the network.

    python -m hsem.recipes.factors
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.directions.direction import Direction, provenance_of
from hsem.evaluation.effects import edited_scores

from . import command
from .command import run
from .parts import FLOAT, WHOLE, Parts, crowd
from .reference import judges_of

STEPS, ETA = 20, 1.0
CLEARED = ("light_azimuth", "light_elevation", "light_ambient", "background")
COUNTS = (1, 2, 3, 5, 10, 15, 25)
FIRST_NEW = 1_100_000  # seed of the first sample that no PCA has seen
VARIANTS: dict[str, dict[str, Any]] = {"factors": {}}
SMALL = {"n": 60, "m": 4, "k": 5}
EXACT = False


def parser() -> argparse.ArgumentParser:
    parser = command.parser(__doc__)
    parser.add_argument("--n", type=int, default=1200, help="samples to learn from")
    parser.add_argument("--m", type=int, default=8, help="new samples to measure pushes on")
    parser.add_argument("--k", type=int, default=25, help="components to look at")
    return parser


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    return int(STEPS * (args.n + args.m * (2 * (2 * args.k + 5) + 1)))


class Components(NamedTuple):
    """Exact principal components over all steps.

    vectors : (k, d) of norm 1; d is T C h w
    scores : (n, k); their squares sum to those of the centred samples along the vectors
    share : (k,) of the variance
    """

    vectors: Tensor
    scores: Tensor
    share: Tensor


def components(x: Tensor, k: int) -> Components:
    """Of centred samples x (n, d), by the n x n matrix of their products: d may be in millions."""
    gram = x @ x.T
    values, vectors = torch.linalg.eigh(gram.double())
    values, vectors = values.flip(0)[:k].clamp(min=0), vectors.flip(1)[:, :k]
    axes = torch.nn.functional.normalize((vectors.T.float() @ x), dim=1)
    return Components(axes, x @ axes.T, values / gram.diagonal().double().sum())


def told(scores: Tensor, attributes: Tensor, counts: list[int]) -> Tensor:
    """Share of the variance of attributes (n, a) that the first scores explain, (counts, a)."""
    return torch.stack([explained(scores[:, :k], attributes) for k in counts])


def explained(scores: Tensor, attributes: Tensor, folds: int = 5) -> Tensor:
    """R squared (a,) of attributes (n, a) by a linear fit on scores (n, k), of people left out.

    Below zero, the fit is worse for them than the mean of the others.
    """
    n = len(scores)
    design = torch.cat([scores / scores.std(0), torch.ones(n, 1, **FLOAT)], dim=1).double()
    wanted = attributes.double()
    fold = torch.arange(n, **WHOLE) % folds
    wrong, whole = (torch.zeros(wanted.shape[1], **FLOAT) for _ in range(2))
    for f in range(folds):
        out, rest = fold == f, fold != f
        fit = torch.linalg.lstsq(design[rest], wanted[rest]).solution
        wrong = wrong + (wanted[out] - design[out] @ fit).square().sum(0)
        whole = whole + (wanted[out] - wanted[rest].mean(0)).square().sum(0)
    return 1 - wrong / whole.clamp(min=1e-12)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Components before and after clearing: their correlations, pushes, and what they tell."""
    judge, second = judges_of(model)  # the first names, the second measures pushes
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, model, args.n, steps=STEPS, eta=ETA)
    assert samples.h_seq is not None
    shape = samples.h_seq.shape[1:]
    attributes = torch.cat([judge(x.clamp(-1, 1)).cpu() for x in samples.images.split(100)])
    x = samples.h_seq.flatten(1).float()
    x = x - x.mean(0)
    grid = samples.schedule.timesteps
    people = range(FIRST_NEW, FIRST_NEW + args.m)
    counts = [c for c in COUNTS if c <= args.k]

    def effect(delta: Tensor | None) -> Tensor:
        edit = None
        if delta is not None:
            about = provenance_of(model, eta=ETA)
            edit = hsem.add(Direction(delta.reshape(shape), grid, "pca", about))
        return edited_scores(model, second, people, grid, edit, eta=ETA)

    def pushes(key: str, deltas: Tensor) -> Tensor:
        """(k, 2, m, attributes): by minus and plus two deviations."""
        rows = [
            parts(f"{key}/{j}/{s}", lambda j=j, s=s: effect(s * deltas[j]))  # type: ignore[misc]
            for j in range(len(deltas))
            for s in (-2, 2)
        ]
        return torch.stack(rows).unflatten(0, (-1, 2))

    tensors = {
        "attributes": attributes,
        "counts": torch.tensor(counts, **WHOLE),
        "plain": effect(None),
    }
    directions = {}
    draw = torch.Generator().manual_seed(0)
    ways: dict[str, Callable[[], Tensor]] = {
        "all": lambda: x,
        "cleared": lambda: without(x, unwanted(attributes, list(judge.names), x)),
    }
    for way, make in ways.items():
        rest = make()
        found = components(rest, args.k)
        size = found.scores.std(0)
        tensors |= {
            f"{way}/scores": found.scores / size,
            f"{way}/share": found.share,
            f"{way}/told": told(found.scores, attributes, counts),
            f"{way}/effect": pushes(way, found.vectors * size[:, None]),
        }
        for j in range(3):
            about = provenance_of(model, eta=ETA, n=args.n)
            delta = (found.vectors[j] * size[j]).reshape(shape)
            directions[f"{way}/{j}"] = Direction(delta, grid, "pca", about)
        if way == "all":
            noise = torch.randn(args.k, x.shape[1], generator=draw, **FLOAT)
            noise = torch.nn.functional.normalize(noise, dim=1)
            tensors["random/told"] = told(x @ noise.T, attributes, counts)
            tensors["random/effect"] = pushes("random", noise[:5] * size[:5, None])
        del rest
    path = results.save(
        args.output, model, tensors, directions=directions, n=args.n, m=args.m, k=args.k,
        steps=STEPS, eta=ETA, first_new_seed=FIRST_NEW, columns=list(judge.names),
        cleared=list(CLEARED), measured_by="the second judge",
        command=command.said("factors", args),
    )  # fmt: skip
    parts.clear()
    return path


def unwanted(attributes: Tensor, names: list[str], x: Tensor) -> Tensor:
    """(4, d): the mean difference of the tenth with most and with least of each of `CLEARED`."""
    tenth = max(2, len(x) // 10)
    found = []
    for name in CLEARED:
        order = attributes[:, names.index(name)].argsort()
        found.append(x[order[-tenth:]].mean(0) - x[order[:tenth]].mean(0))
    return torch.stack(found)


def without(x: Tensor, directions: Tensor) -> Tensor:
    """Samples (n, d) with some directions projected out (equation 12, all at once)."""
    basis = torch.linalg.qr(directions.T).Q  # (d, 4)
    return x - (x @ basis) @ basis.T


if __name__ == "__main__":
    run(__name__)
