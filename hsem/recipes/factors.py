"""Results for "Principal directions": which known factors do the components of h carry?

One PCA over all steps of one crowd, exact, and looked at in 25 components: what follows each of
them, what a push along it changes, how well the first k tell each attribute (cross-validated, with
an interval), and the same in many random subspaces. Then once more after light and background were
projected out of h (equation 12): what comes first when they no longer do? The components nearest to
pose, gender, age and smile, by correlation and by push, are pushed again on people that had no part
in choosing them. About 160,000 runs of the network.

    python -m hsem.recipes.factors
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from torch import Tensor
from torch.nn import functional as F

import hsem
from hsem.directions.direction import Direction, provenance_of
from hsem.evaluation.effects import edited_scores
from hsem.evaluation.explained import correlation
from hsem.evaluation.stability import LEVEL

from . import command
from .parts import FLOAT, WHOLE, Parts, pieces
from .reference import Judge, judges_of

STEPS, ETA = 20, 1.0
CLEARED = ("light_azimuth", "light_elevation", "light_ambient", "background")
FOUR = ("yaw", "gender", "age", "smile")  # of the paper's Fig. 3
COUNTS = (1, 2, 3, 5, 10, 15, 25)
PUSHED = 5  # of the random directions
FIRST_NEW = 1_100_000  # seed of the first sample that no PCA has seen
SMALL = {"n": 60, "m": 4, "k": 5, "people": 4, "draws": 3}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(5000, "samples to learn from"), m=(8, "new samples that choose by pushes"),
        k=(25, "components to look at"), people=(64, "others, to push what was chosen"),
        draws=(20, "random subspaces"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs, at most: a component may be chosen twice."""
    pushes = args.m * (2 * (2 * args.k + PUSHED) + 1) + args.people * 2 * 2 * 2 * len(FOUR)
    return int(STEPS * (args.n + pushes))


class Components(NamedTuple):
    """Exact principal components over all steps, found from the products of the samples.

    scores : (n, k); their squares sum to those of the centred samples along the components
    share : (k,) of the variance
    weights : (k, n) of the samples in the components, which have norm 1
    """

    scores: Tensor
    share: Tensor
    weights: Tensor


class Cleared(NamedTuple):
    """Samples X (n, d) without some directions: X - places @ weights @ X.

    places : (n, c), of the samples along an orthonormal basis of the directions
    weights : (c, n), of the samples in that basis
    """

    places: Tensor
    weights: Tensor


def centred(h: Tensor) -> Iterator[Tensor]:
    """(n, C h w) for each step of h (n, T, C, h, w): all at once would be 5 GB in float32."""
    for step in h.unbind(1):
        x = step.flatten(1).float()
        yield x - x.mean(0)


def products(h: Tensor) -> Tensor:
    """(n, n) float64: of each sample with each, over all steps."""
    found = torch.zeros(len(h), len(h), dtype=torch.float64, device="cpu")
    for x in centred(h):
        found += x @ x.T
    return found


def combined(h: Tensor, weights: Tensor) -> Tensor:
    """Sums of samples with weights (k, n): (k, d), d = T C h w, in float32."""
    return torch.stack([weights.float() @ x for x in centred(h)], dim=1).flatten(1)


def keyholes(h: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Places (n, count) of the samples along random directions; the first of these, of norm 1."""
    places, some = torch.zeros(len(h), count, **FLOAT), []
    for x in centred(h):
        noise = torch.randn(count, x.shape[1], generator=generator, **FLOAT)
        places += x @ noise.T
        some.append(noise[:PUSHED])
    return places, F.normalize(torch.stack(some, dim=1).flatten(1), dim=1)


def components(gram: Tensor, k: int) -> Components:
    """Of samples with these products (n, n): d may be in millions."""
    last = len(gram) - 1
    values, vectors = scipy.linalg.eigh(gram.numpy(), subset_by_index=(last - k + 1, last))
    size = torch.from_numpy(np.sqrt(np.maximum(values[::-1], 1e-12)).copy())
    axes = torch.from_numpy(vectors[:, ::-1].copy())  # (n, k)
    return Components(axes * size, size.square() / gram.diagonal().sum(), (axes / size).T)


def contrasts(attributes: Tensor, names: Sequence[str]) -> Tensor:
    """Weights (4, n): the tenth with most minus the tenth with least of each of `CLEARED`."""
    tenth = max(2, len(attributes) // 10)
    weights = torch.zeros(len(CLEARED), len(attributes), dtype=torch.float64, device="cpu")
    for row, name in zip(weights, CLEARED, strict=True):
        order = attributes[:, names.index(name)].argsort()
        row[order[-tenth:]] = 1 / tenth
        row[order[:tenth]] = -1 / tenth
    return weights


def clearing(gram: Tensor, weights: Tensor) -> Cleared:
    """Equation 12, all at once, for directions that are sums of the samples."""
    lower = torch.linalg.cholesky(weights @ gram @ weights.T)
    basis = torch.linalg.solve_triangular(lower, weights, upper=False)
    return Cleared(gram @ basis.T, basis)


def told(scores: Tensor, attributes: Tensor, counts: Sequence[int]) -> Tensor:
    """Share of the variance of attributes (n, a) that the first scores explain.

    Returns
    -------
    (3, counts, a): the share, and the ends of its bootstrap interval over people
    """
    rows = [shares(*misses(scores[:, :k], attributes)) for k in counts]
    return torch.stack(rows, dim=1)


def misses(scores: Tensor, attributes: Tensor, folds: int = 5) -> tuple[Tensor, Tensor]:
    """Squared errors (n, a) of people left out: of a linear fit on scores (n, k), and of the mean.

    The fit, and the mean, are those of the other four fifths of the people.
    """
    x, y = scores.double().numpy(), attributes.double().numpy()
    split = PredefinedSplit(np.arange(len(x)) % folds)
    guesses = [cross_val_predict(m, x, y, cv=split) for m in (LinearRegression(), DummyRegressor())]
    wrong, whole = (torch.from_numpy((y - guess.reshape(y.shape)) ** 2) for guess in guesses)
    return wrong, whole


def shares(wrong: Tensor, whole: Tensor, repeats: int = 500) -> Tensor:
    """R squared (a,) and the ends of its interval, (3, a), people drawn again.

    Below zero, the fit is worse for people left out than the mean of the others.
    """
    n = len(wrong)
    draw = torch.randint(n, (repeats, n), generator=torch.Generator().manual_seed(0), **WHOLE)
    times = torch.zeros(repeats, n, dtype=torch.float64, device="cpu")
    times.scatter_add_(1, draw, torch.ones_like(times))
    again = 1 - times @ wrong / (times @ whole).clamp(min=1e-12)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    interval = again.quantile(torch.tensor(ends, dtype=torch.float64, device="cpu"), dim=0)
    value = 1 - wrong.sum(0) / whole.sum(0).clamp(min=1e-12)
    return torch.cat([value[None], interval])


def chosen(scores: Tensor, attributes: Tensor, push: Tensor, columns: Sequence[int]) -> Tensor:
    """Component for each column: nearest by correlation, and moving it most by push, (2, columns).

    push : (k, a), mean change of the attributes along each component
    """
    near = correlation(scores, attributes).abs().argmax(0)
    return torch.stack([near, push.abs().argmax(0)])[:, list(columns)]


def read(parts: Parts, n: int, judge: Judge) -> tuple[Tensor, Tensor]:
    """h of n samples, in the precision of the network, which halves it; and their attributes."""
    hs, attributes = [], []
    for piece in pieces(parts, n, steps=STEPS, eta=ETA):
        assert piece.h_seq is not None
        hs.append(piece.h_seq.to(parts.model.dtype))
        attributes.append(judge(piece.images.clamp(-1, 1)).cpu())
    return torch.cat(hs), torch.cat(attributes)


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Components before and after clearing: their correlations, pushes, and what they tell."""
    judge, second = judges_of(model)  # the first names, the second measures pushes
    names = list(judge.names)
    parts = Parts(args.output, model, **vars(args))
    grid, about = model.schedule(STEPS).timesteps, provenance_of(model, eta=ETA, n=args.n)

    h, attributes = read(parts, args.n, judge)
    shape = h.shape[1:]
    gram = parts("products", lambda: products(h))
    draw = torch.Generator().manual_seed(0)
    places, noise = keyholes(h, args.draws * args.k, draw)
    counts = [c for c in COUNTS if c <= args.k]
    people = range(FIRST_NEW, FIRST_NEW + args.m)
    others = range(people.stop, people.stop + args.people)

    def effect(delta: Tensor | None, seeds: range = people) -> Tensor:
        edit = None
        if delta is not None:
            edit = hsem.add(Direction(delta.reshape(shape), grid, "pca", about))
        return edited_scores(model, second, seeds, grid, edit, eta=ETA).cpu()

    def pushes(key: str, deltas: Tensor, seeds: range = people) -> Tensor:
        """(k, 2, people, attributes): by minus and plus two deviations."""
        rows = [
            parts(f"{key}/{j}/{s}", effect, s * deltas[j], seeds)
            for j in range(len(deltas))
            for s in (-2, 2)
        ]
        return torch.stack(rows).unflatten(0, (-1, 2))

    tensors = {"attributes": attributes, "counts": torch.tensor(counts, **WHOLE)}
    tensors["plain"] = parts("plain", lambda: effect(None))
    directions: dict[str, Direction] = {}
    columns = [names.index(name) for name in FOUR]
    for way in ("all", "cleared"):
        clean = None if way == "all" else clearing(gram, contrasts(attributes, names))
        left = gram if clean is None else gram - clean.places @ clean.places.T
        found = components(left, args.k)
        weights, seen = found.weights, places.double()
        if clean is not None:  # components and keyholes in terms of the samples as they were
            weights = weights - (weights @ clean.places) @ clean.weights
            seen = seen - clean.places @ (clean.weights @ seen)
        size = found.scores.std(0)
        deltas = combined(h, weights * size[:, None])
        moved = pushes(way, deltas)
        mean = (moved[:, 1] - moved[:, 0]).mean(1) / second.spread
        best = chosen(found.scores, attributes, mean, columns)  # (2, FOUR)
        which = best.flatten().tolist()
        again = {j: pushes(f"{way}/again/{j}", deltas[j][None], others)[0] for j in set(which)}
        tensors |= {
            f"{way}/scores": found.scores / size,
            f"{way}/share": found.share,
            f"{way}/told": told(found.scores, attributes, counts),
            f"{way}/effect": moved,
            f"{way}/chosen": best,
            f"{way}/again": torch.stack([again[j] for j in which]).unflatten(0, best.shape),
            f"{way}/random/told": torch.stack(
                [told(x, attributes, counts)[0] for x in seen.split(args.k, dim=1)]
            ),
        }
        kept = sorted(set(which)) if way == "all" else [int(best[0, -1])]  # the smile's
        directions |= {
            f"{way}/{j}": Direction(deltas[j].reshape(shape), grid, "pca", about) for j in kept
        }
        if way == "all":
            tensors["random/effect"] = pushes("random", noise[: args.k] * size[:PUSHED, None])
    return parts.finish(
        "factors", args, tensors, directions=directions, n=args.n, m=args.m, k=args.k,
        people=args.people, draws=args.draws, steps=STEPS, eta=ETA, first_new_seed=FIRST_NEW,
        columns=names, four=list(FOUR), cleared=list(CLEARED), measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
