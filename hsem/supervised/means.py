"""Directions with names: from examples, by a difference of means (section V, equation 11).

    table = annotate(model, scorer, range(1000))
    smile = supervised_direction(model, extremes(table, "smile", count=50))

The same in x_T, for comparison (fig. 8a); `normals` has two classical alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..diffusion.sampling import Samples, draw_noise, eta_of, sample
from ..diffusion.schedule import Schedule
from ..directions.direction import Direction, project_out, provenance_of
from ..directions.edits import Edit, chain
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from .annotation import check_model
from .examples import Examples


def mean_difference(positive: Tensor, negative: Tensor) -> Tensor:
    """v = mean of (q+ - q-) over n pairs of examples (eq. 11).

    Parameters
    ----------
    positive, negative : (n, ...), the latent variable of the examples with and without the
        attribute: h_seq (n, T, C, h, w), or x_T (n, 3, H, W), or anything else. Row k of one and
        of the other are a pair, which matters to whoever draws from them; the mean itself only
        needs the two to be equally many.

    Returns
    -------
    v, of the shape of one example, on the device of `positive`. The sum is taken in float64.
    """
    if positive.shape != negative.shape or positive.ndim < 2 or not len(positive):
        raise ValueError(
            "positive and negative must be equally many examples of the same shape, (n, ...) with "
            f"n > 0, got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    negative = negative.to(positive.device)
    return (positive.double() - negative.double()).mean(dim=0).to(positive.dtype)


def supervised_direction(
    model: HSpaceUNet,
    examples: Examples,
    *,
    samples: Samples | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Direction:
    """The direction in h of one set of examples (eq. 11); see `supervised_directions`."""
    found = supervised_directions(
        model, [examples], samples=samples, batch_size=batch_size, progress=progress
    )
    return found[examples.name]


def supervised_directions(
    model: HSpaceUNet,
    examples: Iterable[Examples],
    *,
    samples: Samples | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> dict[str, Direction]:
    """Directions in h of several attributes at once (eq. 11), by name.

    Parameters
    ----------
    examples : of different attributes, all generated with the same timesteps and eta
    samples : unedited samples with recorded h that hold every chosen seed; then their h is used
        and nothing is generated again. For a few hundred; more do not fit in memory.
    batch_size, progress : see `sample`

    Notes
    -----
    The chosen samples are generated again, with the same h to rounding: each once, whatever
    number of attributes it serves.
    """
    examples = list(examples)
    names = [each.name for each in examples]
    if not examples or len(set(names)) != len(names):
        raise ValueError(f"examples must be for different attributes, at least one, got {names}")
    seeds, weights = pair_weights(examples)
    sums = weighted_h(
        model, seeds, weights, examples[0], samples, batch_size=batch_size, progress=progress
    )
    return {
        each.name: Direction(
            delta_h.float(), each.timesteps, "supervised", about_examples(model, each, "h")
        )
        for each, delta_h in zip(examples, sums, strict=True)
    }


def supervised_x_T(model: HSpaceUNet, examples: Examples) -> Tensor:
    """The direction in x_T of one set of examples (eq. 11), (3, H, W): add it to x_T.

    Notes
    -----
    At eta > 0 the picture depends on z as well, so the paper compares x_T with h at eta = 0; give
    examples from an annotation with `eta=0` for that. Nothing has to be sampled: x_T follows from
    the seeds.
    """
    check_model(examples.provenance, model, "the set of examples")
    seeds, weights = pair_weights([examples])
    return weighted_x_T(model, seeds, weights)[0].float()


def disentangle(
    directions: Mapping[str, Direction], *, per_step: bool = False, keep_norm: bool = False
) -> dict[str, Direction]:
    """Each direction with its projection on all the others removed (eq. 12; Table I, right).

    Parameters
    ----------
    per_step : project at each step by itself instead of over all steps as one vector
    keep_norm : stretch the result to the norm of the original. By default it is shorter: by as
        much as it shared with the others. The paper leaves open which of the two it evaluates.
    """
    out = {}
    for name, direction in directions.items():
        others = [other for key, other in directions.items() if key != name]
        clean = project_out(direction, others, per_step=per_step)
        if clean.norm() <= 1e-6 * direction.norm():
            raise ValueError(
                f"nothing is left of {name!r}: it lies in the span of the others; leave out one "
                "of the attributes that say the same"
            )
        out[name] = clean * (direction.norm() / clean.norm()) if keep_norm else clean
    return out


def accumulated(*edits: Edit) -> list[Edit]:
    """Sequential editing (fig. 8b): the first edit, the first two, ..., all of them."""
    return [chain(*edits[: k + 1]) for k in range(len(edits))]


# --------------------------------------------------------- streamed sums, also for learning curves


def pair_weights(examples: Sequence[Examples]) -> tuple[tuple[int, ...], Tensor]:
    """Equation 11 as weights: seeds (n,) and one row per set of examples, (m, n), float64.

    Row j holds 1/n_j at the positive and -1/n_j at the negative examples of set j, so that
    weights @ h is all the directions at once.
    """
    recipes = {(each.timesteps, each.eta) for each in examples}
    if len(recipes) > 1:
        raise ValueError(
            "the examples were generated with different timesteps or eta, so their h cannot be "
            "computed in one run; call this once for each"
        )
    seeds = sorted({seed for each in examples for seed in (*each.positive, *each.negative)})
    row = {seed: k for k, seed in enumerate(seeds)}
    weights = torch.zeros(len(examples), len(seeds), dtype=torch.float64, device="cpu")
    for j, each in enumerate(examples):
        for side, sign in ((each.positive, 1.0), (each.negative, -1.0)):
            weights[j, [row[seed] for seed in side]] = sign / len(each)
    return tuple(seeds), weights


def weighted_h(
    model: HSpaceUNet,
    seeds: Sequence[int],
    weights: Tensor,
    recipe: Examples,
    samples: Samples | None = None,
    *,
    batch_size: int = 16,
    progress: bool = True,
) -> Tensor:
    """weights (m, n) times the h of n samples: (m, T, C, h, w), float64, one batch in memory.

    As `samples` have recorded it; without any, the seeds are sampled as the recipe says.
    """
    check_model(recipe.provenance, model, "the set of examples")
    if samples is not None:
        return _weighted_recorded_h(samples, seeds, weights, recipe)
    schedule = Schedule(model.alpha_bar, recipe.timesteps)
    total = torch.zeros(
        len(weights), schedule.steps, *model.h_shape, dtype=torch.float64, device="cpu"
    )
    pieces = Pieces(batch_size)

    def add(which: slice) -> None:
        some = sample(
            model, seeds[which], schedule=schedule, eta=recipe.eta, batch_size=pieces,
            progress=False,
        )  # fmt: skip
        assert some.h_seq is not None
        total.add_(torch.einsum("mn,n...->m...", weights[:, which], some.h_seq.double()))
        bar.update(len(some))

    with tqdm(total=len(seeds), disable=not progress, unit="sample", leave=False) as bar:
        pieces.run(len(seeds), add)
    return total


def _weighted_recorded_h(
    samples: Samples, seeds: Sequence[int], weights: Tensor, recipe: Examples
) -> Tensor:
    if samples.h_seq is None or samples.seeds is None or samples.edit is not None:
        raise ValueError(
            "samples must be made from seeds, with record=('h',), and without an edit; "
            "leave samples out to have the examples generated again"
        )
    if (samples.schedule.timesteps, samples.eta) != (recipe.timesteps, recipe.eta):
        raise ValueError(
            "samples and examples were made with different timesteps or eta, so their h differ; "
            "leave samples out to have the examples generated again"
        )
    row = {seed: k for k, seed in enumerate(samples.seeds)}
    missing = [seed for seed in seeds if seed not in row]
    if missing:
        raise ValueError(
            f"samples do not hold the seeds {missing[:5]} of the examples "
            f"({len(missing)} are missing); leave samples out to have them generated"
        )
    total = weights.new_zeros(len(weights), *samples.h_seq.shape[1:])
    for k, seed in enumerate(seeds):  # one by one: a copy in float64 would double the memory
        total += weights[:, k].view(-1, 1, 1, 1, 1) * samples.h_seq[row[seed]].double()
    return total


def weighted_x_T(model: HSpaceUNet, seeds: Sequence[int], weights: Tensor) -> Tensor:
    """weights (m, n) times the x_T of n samples: (m, 3, H, W), float64."""

    def part(which: slice) -> Tensor:
        x_T = draw_noise(model, seeds[which], 0)[0]
        return torch.einsum("mn,n...->m...", weights[:, which], x_T.double())

    return torch.stack(Pieces(256).run(len(seeds), part)).sum(dim=0)


def about_examples(model: HSpaceUNet, examples: Examples, latent: str) -> dict[str, Any]:
    """Provenance of a direction: enough to choose and generate the same examples again."""
    about = {k: v for k, v in examples.provenance.items() if k in ("scorer", "selection")}
    return provenance_of(
        model,
        attribute=examples.name,
        latent=latent,
        n=len(examples),
        eta=eta_of(examples.eta),
        positive_seeds=list(examples.positive),
        negative_seeds=list(examples.negative),
        **about,
    )
