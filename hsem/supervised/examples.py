"""Choosing positive and negative examples from an annotation (section V-b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..counts import whole_number
from ..diffusion.sampling import checked_seeds
from ..diffusion.schedule import checked_timesteps
from ..frozen import Frozen
from .annotation import Annotation

DEFAULT_COUNT = 100  # per side, as in the authors' code


@dataclass(frozen=True, eq=False)
class Examples:
    """Pairs of seeds whose pictures have, and lack, an attribute: the x+ and x- of equation 11.

    name : of the attribute
    positive, negative : n seeds each. From `extremes` the most extreme come first, and pair k
        belongs to one group if the selection is balanced.
    timesteps, eta : how to generate them, (T,) each
    provenance : where they come from

    Nothing but seeds is needed, so examples may be picked by eye as well:

        Examples("smile", (84, 12), (3, 40), model.schedule(25).timesteps, (1.0,) * 25)
    """

    name: str
    positive: tuple[int, ...]
    negative: tuple[int, ...]
    timesteps: tuple[int, ...]
    eta: tuple[float, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timesteps", checked_timesteps(self.timesteps))
        object.__setattr__(self, "provenance", Frozen(self.provenance))
        for side in ("positive", "negative"):
            object.__setattr__(self, side, checked_seeds(getattr(self, side)))
        if len(self.positive) != len(self.negative):
            raise ValueError(
                f"equation 11 takes as many positive as negative examples, got "
                f"{len(self.positive)} and {len(self.negative)} for {self.name!r}"
            )
        both = sorted(set(self.positive) & set(self.negative))
        if both:
            raise ValueError(
                f"seeds {both[:5]} are both positive and negative for {self.name!r}; "
                "take fewer examples"
            )
        if len(self.eta) != len(self.timesteps):
            raise ValueError(
                f"eta must hold one number per step ({len(self.timesteps)}), got {len(self.eta)}"
            )

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.positive)

    def __repr__(self) -> str:
        return f"Examples({self.name!r}, {len(self)} pairs)"

    def first(self, n: int) -> Examples:
        """The n most extreme pairs."""
        return self.rows(range(self._checked(n)))

    def draw(self, n: int, generator: torch.Generator) -> Examples:
        """n pairs at random, without repetition."""
        order = torch.randperm(
            len(self), generator=generator, device=generator.device, dtype=torch.long
        )
        return self.rows(order[: self._checked(n)])

    def shuffled(self, generator: torch.Generator) -> Examples:
        """The same seeds with labels drawn by lot: a control, whose direction means nothing."""
        both = self.positive + self.negative
        order = torch.randperm(
            len(both), generator=generator, device=generator.device, dtype=torch.long
        ).tolist()
        mixed = tuple(both[k] for k in order)
        facts = {**self.provenance, "labels": "shuffled"}
        n = len(self)
        return replace(self, positive=mixed[:n], negative=mixed[n:], provenance=facts)

    def rows(self, index: Sequence[int] | Tensor) -> Examples:
        """The pairs at these positions."""
        rows = [int(k) for k in index]
        return replace(
            self,
            positive=tuple(self.positive[k] for k in rows),
            negative=tuple(self.negative[k] for k in rows),
        )

    def _checked(self, n: int) -> int:
        if not 1 <= n <= len(self):
            raise ValueError(f"n={n} is outside 1..{len(self)}, the pairs there are")
        return n


def extremes(
    annotation: Annotation,
    name: str,
    *,
    count: int | None = None,
    quantile: float | None = None,
    balance: str | Sequence[str] = (),
    groups: int = 2,
    drop_missing: bool = False,
) -> Examples:
    """The samples with the highest and the lowest scores for an attribute.

    Parameters
    ----------
    name : attribute to select by
    count : examples per side; 100 if neither this nor `quantile` is given
    quantile : fraction of all samples per side, instead of `count`; above 0, at most 0.5
    balance : one or several other attributes. The samples are split into `groups` groups of equal
        size by each of them, and every group gives the same number of positive and of negative
        examples. So glasses are no longer chosen together with age. If `count` cannot be divided
        evenly the number per group is rounded down.
    groups : per balancing attribute. More of them balance better and leave less to choose from:
        inside a group the attributes still go together. With a correlation of 0.7 two groups
        leave half of the gap in the other attribute, ten a tenth.
    drop_missing : leave out samples with NaN scores instead of raising

    Raises
    ------
    ValueError
        If there is no such attribute; if its scores are NaN or all the same; or if there are too
        few samples to keep positive and negative examples apart.
    """
    names = (name, *((balance,) if isinstance(balance, str) else balance))
    if len(set(names)) != len(names):
        raise ValueError(
            f"cannot balance {name!r} over {list(names[1:])}: an attribute comes twice"
        )
    scores = torch.stack([annotation.column(each) for each in names], dim=1)
    rows = _complete(scores, names, drop_missing)
    scores = scores[rows]
    wanted = _wanted(count, quantile, len(rows))
    cells = _cells(scores[:, 1:], names[1:], groups)
    members = [torch.nonzero(cells == c).flatten() for c in cells.unique()]
    per_cell = wanted // len(members)
    if per_cell < 1:
        raise ValueError(
            f"{wanted} examples per side cannot be shared among {len(members)} groups; "
            "take more examples or fewer groups"
        )
    positive, negative = [], []
    for member in members:
        top, bottom = _top_and_bottom(scores[member, 0], per_cell, name, len(members))
        positive.append(rows[member[top]])
        negative.append(rows[member[bottom]])
    # One of each group in turn, so that the first n pairs are as balanced as all of them.
    order = [torch.stack(side, dim=1).flatten().tolist() for side in (positive, negative)]
    about = {"count": per_cell * len(members), "balance": list(names[1:]), "groups": groups}
    return Examples(
        name,
        tuple(annotation.seeds[k] for k in order[0]),
        tuple(annotation.seeds[k] for k in order[1]),
        annotation.timesteps,
        annotation.eta,
        {**annotation.provenance, "selected_from": len(annotation), "selection": about},
    )


class Expressions(Protocol):
    """Pictures of people making faces: one row per picture, as in BU3DFE (SM F)."""

    @property
    def subject(self) -> Sequence[Any] | np.ndarray: ...

    @property
    def expression(self) -> Sequence[Any] | np.ndarray: ...

    @property
    def intensity(self) -> Sequence[Any] | np.ndarray | Tensor: ...


def expression_pairs(
    pictures: Expressions, expression: str, *, neutral: str = "neutral"
) -> tuple[Tensor, Tensor]:
    """Rows (n,) of each person's most intense picture of an expression, and of the neutral one.

    The pairs of SM F: row k of both is the same person, so what the two share cancels in
    equation 11. People who lack one of the two are left out.

    Raises
    ------
    ValueError
        If there is no such expression, or nobody who shows both.
    """
    names = [str(e) for e in pictures.expression]
    for wanted in (expression, neutral):
        if wanted not in names:
            there = ", ".join(sorted(set(names)))
            raise ValueError(f"there is no expression {wanted!r}; there are {there}")
    chosen: dict[str, dict[Any, int]] = {expression: {}, neutral: {}}
    rows = list(zip(pictures.subject, names, pictures.intensity, strict=True))
    for k, (subject, name, intensity) in enumerate(rows):
        if name in chosen:
            best = chosen[name].setdefault(_plain(subject), k)
            if float(intensity) > float(rows[best][2]):
                chosen[name][_plain(subject)] = k
    both = [person for person in chosen[expression] if person in chosen[neutral]]
    if not both:
        raise ValueError(f"nobody shows both {expression!r} and {neutral!r}")
    positive, negative = ([chosen[name][person] for person in both] for name in chosen)
    where: dict[str, Any] = {"dtype": torch.long, "device": "cpu"}
    return torch.tensor(positive, **where), torch.tensor(negative, **where)


# ------------------------------------------------------------------------------------- details


def _plain(value: Any) -> Any:
    """A number or text that can be compared, out of an array or tensor."""
    return value.item() if hasattr(value, "item") else value


def _complete(scores: Tensor, names: Sequence[str], drop: bool) -> Tensor:
    """Indices of the samples without NaN."""
    missing = scores.isnan()
    if bool(missing.any()) and not drop:
        counts = {n: int(m) for n, m in zip(names, missing.sum(dim=0), strict=True) if m}
        raise ValueError(
            f"NaN scores for {counts} of {len(scores)} samples; "
            "leave those samples out with drop_missing=True"
        )
    rows = torch.nonzero(~missing.any(dim=1)).flatten()
    if not len(rows):
        raise ValueError(f"no sample has scores for {list(names)}; the scorer returned only NaN")
    return rows


def _wanted(count: int | None, quantile: float | None, n: int) -> int:
    if count is not None and quantile is not None:
        raise ValueError("give count or quantile, not both")
    if quantile is not None:
        if not 0 < quantile <= 0.5:
            raise ValueError(f"quantile must be above 0 and at most 0.5, got {quantile}")
        return max(1, int(quantile * n))
    return whole_number("count", DEFAULT_COUNT if count is None else count)


def _cells(others: Tensor, names: Sequence[str], groups: int) -> Tensor:
    """Which group each sample belongs to, (n,): every combination of the groups of `others`."""
    cells = torch.zeros(len(others), dtype=torch.long, device=others.device)
    if groups < 2 and names:
        raise ValueError(f"groups must be 2 or more to balance anything, got {groups}")
    for scores, name in zip(others.T, names, strict=True):
        values = scores.unique()  # ascending
        if len(values) > groups:
            cuts = torch.linspace(0, 1, groups + 1, dtype=scores.dtype, device=scores.device)[1:-1]
            values = torch.cat([values[:1], torch.quantile(scores, cuts)]).unique()
        # `values` are the lower ends of the groups; labels such as 0 and 1 are groups themselves
        if len(values) < min(groups, 2):
            raise ValueError(
                f"cannot balance over {name!r}: its scores are too much alike to be split into "
                f"{groups} groups"
            )
        cells = cells * len(values) + torch.bucketize(scores.contiguous(), values, right=True) - 1
    return cells


def _top_and_bottom(scores: Tensor, n: int, name: str, cells: int) -> tuple[Tensor, Tensor]:
    """Indices of the n highest and the n lowest scores, most extreme first."""
    where = f" in one of the {cells} groups" if cells > 1 else ""
    if 2 * n > len(scores):
        raise ValueError(
            f"{n} positive and {n} negative examples of {name!r} need {2 * n} samples, but there "
            f"are {len(scores)}{where}; annotate more, or take fewer"
        )
    order = torch.argsort(scores, stable=True)
    bottom, top = order[:n], order.flip(0)[:n]
    if bool(scores[top[-1]] <= scores[bottom[-1]]):
        what = "all samples have the same score" if scores.min() == scores.max() else (
            f"the {n} highest and {n} lowest scores overlap (at {float(scores[top[-1]]):.4g})"
        )  # fmt: skip
        raise ValueError(
            f"{what} for {name!r}{where}, so positive and negative cannot be told apart; "
            "take fewer examples, or another scorer"
        )
    return top, bottom
