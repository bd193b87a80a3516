"""Results for "h-space": does h of a smiling person minus h of another add a smile (Fig. 2b)?

Pairs of samples that differ in the smile and are alike in the rest, as the first judge sees them.
The difference of their h is added to new people, and the second judge looks. Beside each pair stand
two strangers who smile alike and differ in the rest as much as the pair does, their difference
brought to the same norm at every step. On the same people, two directions alone and together: do
directions add up? About 26,000 runs of the network.

    python -m hsem.recipes.arithmetic
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.directions.direction import Direction, provenance_of
from hsem.evaluation.effects import FIRST_SEED, edited_scores

from . import command
from .parts import FLOAT, WHOLE, Parts
from .reference import judges_of

STEPS, ETA = 20, 1.0
WHAT = "smile"
SCALES = (0.2, 1.0)  # the first is the paper's
KINDS = (WHAT, "strangers")
TWO = ("yaw", "glasses")  # that are added alone and together
FIRST = FIRST_SEED + 30_000  # people that no other chapter looks at
SHARE = 0.1  # of all pairs, those that differ most, or least
SMALL = {"people": 6}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, pairs=(4, "pairs, and as many of strangers"),
        people=(64, "new samples behind each mean"), among=(1200, "samples to choose pairs from"),
        samples=("factors", "stored results that judged them"),
        directions=("named", "stored results of two directions"),
    )  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    edits = len(KINDS) * args.pairs * len(SCALES) + 4
    return int(STEPS * (args.people * edits + 2 * len(KINDS) * args.pairs))


def alike(
    attributes: Tensor, unit: Tensor, column: int, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that differ in one attribute only, and pairs that differ as much but in that one.

    Parameters
    ----------
    attributes : (n, a), of all samples
    unit : (a,), what counts as one
    column : of the attribute
    count : number of pairs of each kind

    Returns
    -------
    pairs : (2, count, 2) samples; the first of each has more of the attribute. Among the tenth of
        all pairs that differ most in the attribute these are the most alike in the rest. Then,
        for each, of the tenth that differ least, the one whose rest differs by as much. Nobody is
        in two pairs of a kind.
    rest : (2, count), root mean square difference of the other attributes, in units
    gap : (2, count), difference of the attribute, in units
    """
    z = attributes.double() / unit
    others = [a for a in range(z.shape[1]) if a != column]
    far = torch.cdist(z[:, others], z[:, others]) / len(others) ** 0.5
    gap = z[:, None, column] - z[None, :, column]
    one, two = torch.triu_indices(len(z), len(z), 1, **WHOLE)
    swap = gap[one, two] < 0
    one, two = torch.where(swap, two, one), torch.where(swap, one, two)
    gaps, fars = gap[one, two], far[one, two]
    few = max(1, int(SHARE * len(gaps)))
    most, least = gaps.topk(few).indices, gaps.topk(few, largest=False).indices
    first = _disjoint(one, two, most[fars[most].argsort()], count)
    second: list[int] = []
    for own in first:
        order = least[(fars[least] - fars[own]).abs().argsort()]
        second = _disjoint(one, two, order, len(second) + 1, second)
    chosen = torch.tensor([first, second], **WHOLE)
    return torch.stack([one[chosen], two[chosen]], dim=2), fars[chosen], gaps[chosen]


def _disjoint(
    one: Tensor, two: Tensor, order: Tensor, count: int, found: Sequence[int] = ()
) -> list[int]:
    """The first pairs in an order that share nobody with each other, nor with those found."""
    kept = list(found)
    taken = {int(who[k]) for k in kept for who in (one, two)}
    for k in order.tolist():
        if len(kept) == count:
            return kept
        pair = {int(one[k]), int(two[k])}
        if not pair & taken:
            kept.append(k)
            taken |= pair
    if len(kept) < count:
        raise ValueError(
            f"only {len(kept)} of {count} pairs without a common person were found; take more "
            "samples (--among), or fewer pairs (--pairs)"
        )
    return kept


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of new people with the differences of pairs, of strangers, and with two directions."""
    judge, second = judges_of(model)  # the first chooses pairs, the second measures
    seen = results.load_or_make(args.samples, model)["attributes"][: args.among]
    named = results.load_or_make(args.directions, model)
    parts = Parts(args.output, model, **vars(args))
    pairs, rest, gap = alike(seen, judge.spread, judge.names.index(WHAT), args.pairs)
    schedule = model.schedule(STEPS)
    grid, about = schedule.timesteps, provenance_of(model, eta=ETA)
    people = range(FIRST, FIRST + args.people)

    def difference(seeds: Sequence[int]) -> Direction:
        found = hsem.sample(model, seeds, schedule=schedule, eta=ETA, progress=False)
        assert found.h_seq is not None
        return Direction(found.h_seq[0] - found.h_seq[1], grid, "difference", about)

    own, strangers = ([difference(pair) for pair in kind] for kind in pairs.tolist())
    strangers = [v.rescaled_like(w) for v, w in zip(strangers, own, strict=True)]

    def scores(key: str, edit: hsem.Edit | None) -> Tensor:
        return parts(
            key, lambda: edited_scores(model, second, people, grid, edit, eta=ETA).to(**FLOAT)
        )

    tensors = {"plain": scores("plain", None)}
    rows = [
        scores(f"{kind}/{k}/{g:g}", hsem.add(v, g))
        for kind, vs in zip(KINDS, (own, strangers), strict=True)
        for k, v in enumerate(vs)
        for g in SCALES
    ]
    tensors["scores"] = torch.stack(rows).unflatten(0, (len(KINDS), args.pairs, len(SCALES)))
    alone = {name: hsem.add(named.directions[name]) for name in TWO if name in named.directions}
    tensors |= {f"sum/{name}": scores(f"sum/{name}", edit) for name, edit in alone.items()}
    tensors["sum/both"] = scores("sum/both", hsem.chain(*alone.values()))
    tensors |= {"pairs": pairs, "rest": rest, "gap": gap}
    return parts.finish(
        "arithmetic", args, tensors, kinds=list(KINDS), scales=list(SCALES), pairs=args.pairs,
        people=args.people, among=len(seen), first_seed=FIRST, steps=STEPS, eta=ETA,
        columns=list(judge.names), two=list(alone), measured_by="the second judge",
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
