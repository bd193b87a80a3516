"""Curves: attributes along a slider (fig. 7), and directions from n examples (fig. 8a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..diffusion.sampling import Samples, draw_noise
from ..directions.direction import Direction
from ..directions.edits import add
from ..judges.scorers import Scorer, column, names_of
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from ..supervised.examples import Examples
from ..supervised.means import pair_weights, weighted_h, weighted_x_T
from .effects import FIRST_SEED, edited_scores

LATENTS = ("h", "x_T")


@dataclass(frozen=True, eq=False)
class AttributeCurve:
    """Scores along a slider: how every attribute answers to a growing edit.

    scales : (s,), ascending
    scores : (s, n, k), of n samples
    names : of the k attributes
    """

    scales: Tensor
    scores: Tensor
    names: tuple[str, ...]

    def mean(self, name: str) -> Tensor:
        """Mean of one attribute over the samples, (s,)."""
        return self.scores[:, :, column(self.names, name)].mean(dim=1)


def attribute_curve(
    model: HSpaceUNet,
    direction: Direction,
    scorer: Scorer,
    scales: Sequence[float],
    seeds: Sequence[int],
    *,
    eta: float | Sequence[float] = 1.0,
    progress: bool = True,
) -> AttributeCurve:
    """Score the same samples at every position of a slider (the curves under fig. 7).

    Parameters
    ----------
    scales : strengths, ascending, such as (-2, -1, 0, 1, 2)
    seeds : samples to move; new ones, that the direction was not made from
    """
    strengths = torch.as_tensor(scales, dtype=torch.float64, device="cpu")
    if strengths.ndim != 1 or len(strengths) < 2 or not bool((strengths.diff() > 0).all()):
        raise ValueError(f"scales must be two or more numbers in ascending order, got {scales}")
    direction.check_model(model)
    drawing = Pieces.drawing(None, model.device, model.image_shape)
    run = partial(edited_scores, model, scorer, eta=eta, batch_size=drawing, scoring=Pieces(64))
    scores = [
        run(seeds, direction.timesteps, add(direction, float(s)))
        for s in tqdm(strengths, disable=not progress, unit="scale", leave=False)
    ]
    return AttributeCurve(strengths, torch.stack(scores), names_of(scorer))


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """How good a direction from n pairs of examples is, in h and in x_T (fig. 8a).

    name : of the attribute
    counts : (c,), the numbers of pairs n
    cosine : {"h": (draws, c), "x_T": (draws, c)}, cosine to the reference direction
    shuffled : the same as `cosine`, of the same pairs with their sides swapped at random: what
        pairs without the attribute have in common with the reference
    effect : the same, mean change of the attribute's score; None without a scorer
    reference_effect : {"h": ..., "x_T": ...}, effect of the reference; None without a scorer
    directions : {"h": (c, T, C, h, w), "x_T": (c, channels, height, width)}, those of the first
        draw, as long as the reference
    """

    name: str
    counts: tuple[int, ...]
    cosine: dict[str, Tensor]
    shuffled: dict[str, Tensor]
    effect: dict[str, Tensor] | None
    reference_effect: dict[str, float] | None
    directions: dict[str, Tensor]


def learning_curve(
    model: HSpaceUNet,
    examples: Examples,
    counts: Sequence[int],
    *,
    draws: int = 5,
    generator: torch.Generator,
    scorer: Scorer | None = None,
    seeds: Sequence[int] = range(FIRST_SEED, FIRST_SEED + 32),
    samples: Samples | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> LearningCurve:
    """Find the same direction from few and from many examples, in h and in x_T (fig. 8a).

    One half of the pool makes the reference, and draws are taken from the other half: if a draw
    shared examples with the reference, the cosine would rise as sqrt(n / N) even if the examples
    had nothing in common but noise.

    Parameters
    ----------
    examples : the pool of pairs; the paper compares at eta = 0, where x_T alone makes the picture
    counts : numbers of pairs n to try, such as (1, 2, 5, 10, 20, 50, 100)
    draws : how often n pairs are drawn, for a mean and a deviation. The smaller sets of a draw are
        parts of its larger ones, and draws share no pair while n is below 1 / `draws` of the pool.
    generator : shuffles the pool, and the sides of the control
    scorer : measures the effect on `examples.name` of directions stretched to the norm of the
        reference, since a mean of few examples is long but mostly noise
    seeds : samples on which effects are measured, shared out among the draws, so that the spread
        of the draws is that of examples *and* of people; the reference moves all of them
    samples : with recorded h that hold the pool; then it is not generated again

    Notes
    -----
    All directions are weighted sums over the pool, so the pool is generated once. They are held
    in float64: (1 + 2 * draws * len(counts)) * T * C * h * w * 8 bytes.
    """
    counts, half = tuple(counts), len(examples) // 2
    if not counts or min(counts) < 1 or max(counts) > half or draws < 1:
        raise ValueError(
            f"counts must lie in 1..{half} (half of {len(examples)}, the other half being held "
            f"out) and draws be 1 or more, got counts={counts}, draws={draws}"
        )
    mixed = examples.draw(len(examples), generator)
    pool, reference = mixed.rows(range(half)), mixed.rows(range(half, len(examples)))
    if scorer is not None:
        column(names_of(scorer), examples.name)  # complain before the work, not after
        if len(seeds) < draws:
            raise ValueError(f"seeds must be at least one for each of {draws} draws, got {seeds}")
    drawn = _drawn(pool, counts, draws, generator)
    control = [_sides_mixed(some, generator) for some in drawn]
    pool_seeds, weights = pair_weights([reference, *drawn, *control])
    in_h = weighted_h(
        model, pool_seeds, weights, examples, samples, batch_size=batch_size, progress=progress
    )
    found = {"h": in_h, "x_T": weighted_x_T(model, pool_seeds, weights)}
    grid = (draws, len(counts))
    both = {key: _cosines(found[key]).unflatten(0, (2, *grid)) for key in LATENTS}
    cosine, shuffled = ({key: both[key][k] for key in LATENTS} for k in (0, 1))
    effect, reference_effect = None, None
    if scorer is not None:
        judge = partial(
            edited_scores, model, scorer, timesteps=examples.timesteps, eta=examples.eta,
            batch_size=Pieces(batch_size), scoring=Pieces(64),
        )  # fmt: skip
        own = column(names_of(scorer), examples.name)
        plain, x_T = judge(seeds=seeds, edit=None)[:, own], draw_noise(model, seeds, 0)[0]
        everyone = torch.arange(len(seeds), dtype=torch.int64, device="cpu")
        whose = [everyone, *(everyone[k // len(counts) :: draws] for k in range(len(drawn)))]
        effect, reference_effect = {}, {}
        for key in LATENTS:
            changes = []
            work = zip(found[key], whose, strict=False)  # after them comes the control
            for v, who in tqdm(
                work, total=len(whose), disable=not progress, unit="direction", leave=False
            ):
                some, v = [seeds[int(k)] for k in who], _as_long_as(found[key][0], v)
                if key == "h":
                    scores = judge(seeds=some, edit=add(v))
                else:
                    scores = judge(seeds=some, edit=None, x_T=x_T[who.to(x_T.device)] + v)
                changes.append((scores[:, own] - plain[who.to(plain.device)]).mean())
            reference_effect[key] = float(changes[0])
            effect[key] = torch.stack(changes[1:]).unflatten(0, grid)
    first = {
        key: torch.stack([_as_long_as(v[0], each) for each in v[1 : 1 + len(counts)]])
        for key, v in found.items()
    }
    return LearningCurve(examples.name, counts, cosine, shuffled, effect, reference_effect, first)


def sharing_none(values: Tensor, n: int, pool: int) -> Tensor:
    """Of a learning curve's draws of n pairs each, those that share no pair, for an interval.

    Parameters
    ----------
    values : (draws, ...), such as a column of `LearningCurve.cosine`
    pool : how many pairs the draws were taken from

    Returns
    -------
    (draws, ...), fewer of them. Where no two draws are apart, all: an interval over them is then
    too narrow.
    """
    starts = _starts(pool, len(values))
    chosen, free = [], 0
    for d, start in enumerate(starts):
        if start >= free and start + n <= pool:
            chosen.append(d)
            free = start + n
    return values[chosen] if len(chosen) > 1 else values


# ------------------------------------------------------------------------------------- details


def _drawn(
    pool: Examples, counts: Sequence[int], draws: int, generator: torch.Generator
) -> list[Examples]:
    """Nested sets of each draw, (draws x counts): draws start far from each other in one order."""
    size = len(pool)
    order = torch.randperm(size, generator=generator, dtype=torch.int64, device="cpu")
    starts = _starts(size, draws)
    return [pool.rows(order.roll(-start)[:n]) for start in starts for n in counts]


def _starts(pool: int, draws: int) -> list[int]:
    """Where each draw begins in the one order of the pool."""
    return [d * pool // draws for d in range(draws)]


def _sides_mixed(examples: Examples, generator: torch.Generator) -> Examples:
    """The same pairs, with positive and negative swapped in a random half of them."""
    n = len(examples)
    swap = torch.rand(n, generator=generator, dtype=torch.float32, device="cpu") < 0.5
    pairs = zip(examples.positive, examples.negative, swap.tolist(), strict=True)
    sides = [(n, p) if turned else (p, n) for p, n, turned in pairs]
    positive, negative = zip(*sides, strict=True)
    return replace(examples, positive=positive, negative=negative)


def _as_long_as(reference: Tensor, v: Tensor) -> Tensor:
    """A direction stretched to the length of another, in float32."""
    return (v * (reference.norm() / v.norm())).float()


def _cosines(found: Tensor) -> Tensor:
    """Cosine of rows 1.. to row 0, over everything else."""
    flat = found.flatten(1)
    return torch.cosine_similarity(flat[1:], flat[:1], dim=1, eps=1e-30)
