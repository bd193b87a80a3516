"""What do directions do to the attributes? Measured: Table I."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..diffusion.sampling import sample
from ..diffusion.schedule import Schedule
from ..directions.direction import Direction
from ..directions.edits import Edit, add
from ..judges.scorers import Scorer, column, label_of, names_of, scores_of
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from ..supervised.means import disentangle

FIRST_SEED = 1_000_000  # far from the seeds that annotations use: edits are judged on new samples


@dataclass(frozen=True, eq=False)
class EffectMatrix:
    """Effects of edits (rows) on attributes (columns), as in Table I.

    rows, columns : names of the r directions and the k attributes
    effects : (repeats, r, k), change of score from the unedited to the edited sample, averaged
        over the samples of a repeat; signed
    sizes : (repeats, r, k), the same without signs: mean of the absolute change
    spread : (k,), standard deviation of each score over all unedited samples
    n : samples per repeat
    unit : "score", or "deviations" once divided by `spread`
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    effects: Tensor
    sizes: Tensor
    spread: Tensor
    n: int
    unit: str = "score"
    scorer: str = ""

    @property
    def mean(self) -> Tensor:
        """Mean over the repeats, (r, k)."""
        return self.effects.mean(dim=0)

    @property
    def deviation(self) -> Tensor:
        """Standard deviation over the repeats, (r, k); NaN if there is one repeat only."""
        one = len(self.effects) < 2
        return self.effects[0] * float("nan") if one else self.effects.std(dim=0)

    @property
    def strongest(self) -> tuple[str, ...]:
        """For each row the attribute that changes most, whatever the sign."""
        return tuple(self.columns[int(j)] for j in self.mean.abs().argmax(dim=1))

    def in_deviations(self) -> EffectMatrix:
        """The same in standard deviations of the unedited scores, which makes columns comparable.

        Raises
        ------
        ValueError
            If the unedited scores of some attribute do not vary.
        """
        if self.unit == "deviations":
            return self
        flat = [c for c, s in zip(self.columns, self.spread, strict=True) if not s > 0]
        if flat:
            raise ValueError(
                f"the unedited scores of {flat} do not vary, so there is no unit to count in; "
                "leave these attributes out with only()"
            )
        return replace(
            self,
            effects=self.effects / self.spread,
            sizes=self.sizes / self.spread,
            spread=torch.ones_like(self.spread),
            unit="deviations",
        )

    def only(self, columns: Sequence[str] | Mapping[str, str]) -> EffectMatrix:
        """Some columns, in this order; a mapping {new name: old name} renames them."""
        wanted = columns if isinstance(columns, Mapping) else {name: name for name in columns}
        index = [column(self.columns, old) for old in wanted.values()]
        return replace(
            self,
            columns=tuple(wanted),
            effects=self.effects[..., index],
            sizes=self.sizes[..., index],
            spread=self.spread[index],
        )


class TableOne(NamedTuple):
    """Table I: the effects of the original and of the disentangled directions."""

    original: EffectMatrix
    disentangled: EffectMatrix


def effect_matrix(
    model: HSpaceUNet,
    directions: Mapping[str, Direction],
    scorer: Scorer,
    *,
    scale: float | Mapping[str, float] = 1.0,
    n: int = 100,
    repeats: int = 10,
    first_seed: int = FIRST_SEED,
    eta: float | Sequence[float] = 1.0,
    asyrp: bool = False,
    batch_size: int | None = None,
    progress: bool = True,
) -> EffectMatrix:
    """Apply every direction to fresh samples and measure how all scores change (Table I).

    Parameters
    ----------
    directions : by name; those named like an attribute of the scorer make the diagonal
    scorer : judge of the effects; `join(classifier, clip)` has both judge the same samples
    scale : strength of the edits, one for all or one per direction
    n, repeats : new random samples per repeat, and repeats; repeat r uses the seeds from
        first_seed + r * n on
    eta, asyrp, batch_size : see `sample`

    Notes
    -----
    Edited and unedited sample share their noise, so their difference is the edit's work alone.
    """
    if not directions or n < 2 or repeats < 1:
        raise ValueError(
            "an effect matrix needs at least one direction, two samples and one repeat, got "
            f"{len(directions)}, n={n} and repeats={repeats}"
        )
    edits = [add(direction, _scale_of(name, scale)) for name, direction in directions.items()]
    grid = next(iter(directions.values()))
    for direction in directions.values():
        direction.check_model(model)
        grid.dot(direction)  # raises if the grids differ: all share the unedited samples
    run = partial(
        edited_scores, model, scorer, eta=eta, asyrp=asyrp,
        batch_size=Pieces.drawing(batch_size, model.device, model.image_shape), scoring=Pieces(64),
    )  # fmt: skip
    plain, changes = [], []
    with tqdm(total=repeats * (len(edits) + 1), disable=not progress, unit="run") as bar:
        for r in range(repeats):
            seeds = range(first_seed + r * n, first_seed + (r + 1) * n)
            plain.append(run(seeds, grid.timesteps, None))
            bar.update()
            for edit in edits:
                changes.append(run(seeds, grid.timesteps, edit) - plain[-1])
                bar.update()
    change = torch.stack(changes).unflatten(0, (repeats, len(edits)))  # (repeats, rows, n, k)
    return EffectMatrix(
        rows=tuple(directions),
        columns=names_of(scorer),
        effects=change.mean(dim=2),
        sizes=change.abs().mean(dim=2),
        spread=torch.cat(plain).std(dim=0),
        n=n,
        scorer=label_of(scorer),
    )


def table_one(
    model: HSpaceUNet,
    directions: Mapping[str, Direction],
    scorer: Scorer,
    *,
    per_step: bool = False,
    keep_norm: bool = False,
    scale: float | Mapping[str, float] = 1.0,
    **settings: Any,
) -> TableOne:
    """Table I from end to end: all directions as they are, and each cleaned of all the others.

    Parameters
    ----------
    per_step, keep_norm : how to clean, see `disentangle`
    scale, settings : as for `effect_matrix`: n, repeats, first_seed, eta, ...

    Notes
    -----
    Both halves of the table are measured on the same samples.
    """
    clean = disentangle(directions, per_step=per_step, keep_norm=keep_norm)
    edits: dict[str, Direction] = {}
    scales: dict[str, float] = {}
    for half, members in (("original", directions), ("disentangled", clean)):
        edits |= {f"{half} {name}": direction for name, direction in members.items()}
        scales |= {f"{half} {name}": _scale_of(name, scale) for name in members}
    both = effect_matrix(model, edits, scorer, scale=scales, **settings)
    r = len(directions)
    halves = [
        replace(both, rows=tuple(directions), effects=effects, sizes=sizes)
        for effects, sizes in zip(both.effects.split(r, 1), both.sizes.split(r, 1), strict=True)
    ]
    return TableOne(*halves)


def edited_scores(
    model: HSpaceUNet,
    scorer: Scorer,
    seeds: Sequence[int],
    timesteps: tuple[int, ...],
    edit: Edit | None,
    *,
    x_T: Tensor | None = None,
    eta: float | Sequence[float] = 1.0,
    asyrp: bool = False,
    batch_size: int | Pieces | None = None,
    scoring: int | Pieces = 64,
) -> Tensor:
    """Scores (n, k) of samples made with an edit.

    Parameters
    ----------
    timesteps : the steps to sample with, those of the direction in `edit`
    x_T : (n, 3, H, W), in place of what the seeds give
    batch_size, scoring : pictures drawn (see `sample`), and scored, at once

    Raises
    ------
    ValueError
        If a score is NaN: the change of that attribute could not be measured.
    """
    samples = sample(
        model, seeds, x_T=x_T, schedule=Schedule(model.alpha_bar, timesteps), eta=eta, edit=edit,
        asyrp=asyrp, record=(), batch_size=batch_size, progress=False,
    )  # fmt: skip
    scores = scores_of(scorer, samples.images, batch_size=scoring)
    missing = scores.isnan().sum(dim=0)
    if bool(missing.any()):
        counts = {n: int(m) for n, m in zip(names_of(scorer), missing, strict=True) if m}
        raise ValueError(
            f"{label_of(scorer)} returned NaN for {counts} of {len(scores)} pictures, so their "
            "change cannot be measured; leave these columns out with select(scorer, names)"
        )
    return scores


def _scale_of(name: str, scale: float | Mapping[str, float]) -> float:
    if not isinstance(scale, Mapping):
        return float(scale)
    if name not in scale:
        raise ValueError(f"scale has no entry for {name!r}; it has {', '.join(scale)}")
    return float(scale[name])
