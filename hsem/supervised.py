"""Directions with names: from examples, by a difference of means (section V, equation 11).

    table = annotate(model, scorer, range(1000))
    smile = supervised_direction(model, extremes(table, "smile", count=50))

The same in x_T, for comparison (fig. 8a), and two classical alternatives, the normals of a logistic
regression and of a linear discriminant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .annotation import check_model
from .directions import Direction, project_out, provenance_of
from .edits import Edit, chain
from .examples import Examples
from .sampling import draw_noise, sample
from .schedule import Schedule
from .unet import HSpaceUNet


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
    v, of the shape of one example. The sum is taken in float64.
    """
    if positive.shape != negative.shape or positive.ndim < 2 or not len(positive):
        raise ValueError(
            "positive and negative must be equally many examples of the same shape, (n, ...) with "
            f"n > 0, got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    return (positive.double() - negative.double()).mean(dim=0).to(positive.dtype)


def supervised_direction(
    model: HSpaceUNet, examples: Examples, *, batch_size: int = 16, progress: bool = True
) -> Direction:
    """The direction in h of one set of examples (eq. 11); see `supervised_directions`."""
    return supervised_directions(model, [examples], batch_size=batch_size, progress=progress)[
        examples.name
    ]


def supervised_directions(
    model: HSpaceUNet,
    examples: Iterable[Examples],
    *,
    batch_size: int = 16,
    progress: bool = True,
) -> dict[str, Direction]:
    """Directions in h of several attributes at once (eq. 11), by name.

    Parameters
    ----------
    examples : of different attributes, all generated with the same timesteps and eta
    batch_size, progress : see `sample`

    Notes
    -----
    The chosen samples are generated again, with the same h to rounding, and added up as they
    come: memory holds one batch and the sums. A sample that serves several attributes is
    generated once.
    """
    examples = list(examples)
    names = [each.name for each in examples]
    if not examples or len(set(names)) != len(names):
        raise ValueError(f"examples must be for different attributes, at least one, got {names}")
    seeds, weights = pair_weights(examples)
    sums = weighted_h(model, seeds, weights, examples[0], batch_size=batch_size, progress=progress)
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


def normal_direction(
    positive: Tensor,
    negative: Tensor,
    timesteps: Sequence[int] | Schedule,
    *,
    method: Literal["logistic", "lda"] = "logistic",
    strength: float = 1.0,
    provenance: Mapping[str, Any] | None = None,
) -> Direction:
    """The normal of a linear classifier between the examples, at each step: for comparison.

    Parameters
    ----------
    positive, negative : h_seq of the examples, (n, T, C, h, w) and (m, T, C, h, w), in memory
    timesteps : of the T steps
    method : "logistic", an L2-regularised logistic regression; or "lda", a linear discriminant
        whose covariance is shrunk towards a multiple of the identity
    strength : of the regularisation, above 0. For "logistic" scikit-learn's 1 / C on features
        whose total variance is one. For "lda" the fraction of shrinkage, at most 1, where the
        answer is the difference of means.

    Returns
    -------
    At each step the unit normal times the distance of the two means along it, so that scale 1
    moves a negative example as far as a mean difference would, as seen by the classifier.

    Raises
    ------
    ImportError
        If scikit-learn is missing.

    Notes
    -----
    h has many more dimensions than there are examples. Regularised, both normals lie in the span
    of the centred examples, so they are computed there, in at most n + m - 1 dimensions.
    """
    for name, value in (("positive", positive), ("negative", negative)):
        if value.ndim != 5 or len(value) < 2 or value.shape[1:] != positive.shape[1:]:
            raise ValueError(
                f"{name} must be h_seq of at least 2 examples, (n, T, C, h, w), of the same "
                f"shape as the others, got {tuple(value.shape)}"
            )
    if method not in ("logistic", "lda"):
        raise ValueError(f"method={method!r} is unknown; choose 'logistic' or 'lda'")
    if not 0 < strength <= (1 if method == "lda" else float("inf")):
        raise ValueError(f"strength={strength} is out of range for method={method!r}")
    labels = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
    rows = []
    for i in range(positive.shape[1]):
        h = torch.cat([positive[:, i], negative[:, i]]).double().flatten(1)
        u, s, vt = torch.linalg.svd(h - h.mean(dim=0), full_matrices=False)
        keep = s > 1e-10 * s[0]
        if not bool(keep.any()):
            raise ValueError(f"all examples have the same h at step {i}; nothing to separate")
        features = (u * s)[:, keep] / s.norm() * len(h) ** 0.5  # total variance one
        normal = _normal(features, labels, method, strength) @ vt[keep]
        normal = normal / normal.norm()
        gap = h[labels == 1].mean(dim=0) - h[labels == 0].mean(dim=0)
        rows.append((normal * (gap @ normal)).reshape(positive.shape[2:]))
    grid = timesteps.timesteps if isinstance(timesteps, Schedule) else tuple(timesteps)
    about = {**(provenance or {}), "strength": strength, "n": [len(positive), len(negative)]}
    return Direction(torch.stack(rows).to(positive.dtype), grid, f"supervised-{method}", about)


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
    weights = torch.zeros(len(examples), len(seeds), dtype=torch.float64)
    for j, each in enumerate(examples):
        for side, sign in ((each.positive, 1.0), (each.negative, -1.0)):
            weights[j, [row[seed] for seed in side]] = sign / len(each)
    return tuple(seeds), weights


def weighted_h(
    model: HSpaceUNet,
    seeds: Sequence[int],
    weights: Tensor,
    recipe: Examples,
    *,
    batch_size: int = 16,
    progress: bool = True,
) -> Tensor:
    """weights (m, n) times the h of n samples: (m, T, C, h, w), float64, one batch in memory."""
    check_model(recipe.provenance, model, "the set of examples")
    schedule = Schedule(model.alpha_bar, recipe.timesteps)
    total = torch.zeros(len(weights), schedule.steps, *model.h_shape, dtype=torch.float64)
    with tqdm(total=len(seeds), disable=not progress, unit="sample", leave=False) as bar:
        for which in _pieces(len(seeds), batch_size):
            samples = sample(
                model, seeds[which], schedule=schedule, eta=recipe.eta, batch_size=batch_size,
                progress=False,
            )  # fmt: skip
            assert samples.h_seq is not None
            total += torch.einsum("mn,n...->m...", weights[:, which], samples.h_seq.double())
            bar.update(len(samples))
    return total


def weighted_x_T(model: HSpaceUNet, seeds: Sequence[int], weights: Tensor) -> Tensor:
    """weights (m, n) times the x_T of n samples: (m, 3, H, W), float64."""
    total = torch.zeros(len(weights), *model.image_shape, dtype=torch.float64)
    for which in _pieces(len(seeds), 256):
        x_T = draw_noise(model, seeds[which], 0)[0]
        total += torch.einsum("mn,n...->m...", weights[:, which], x_T.double())
    return total


def about_examples(model: HSpaceUNet, examples: Examples, latent: str) -> dict[str, Any]:
    """Provenance of a direction: enough to choose and generate the same examples again."""
    about = {k: v for k, v in examples.provenance.items() if k in ("scorer", "selection")}
    etas = sorted(set(examples.eta))
    return provenance_of(
        model,
        attribute=examples.name,
        latent=latent,
        n=len(examples),
        eta=etas[0] if len(etas) == 1 else list(examples.eta),
        positive_seeds=list(examples.positive),
        negative_seeds=list(examples.negative),
        **about,
    )


def _pieces(n: int, size: int) -> Iterator[slice]:
    if size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {size}")
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _normal(features: Tensor, labels: Tensor, method: str, strength: float) -> Tensor:
    """Normal of a linear classifier, by scikit-learn; features (n, r), centred."""
    try:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            "normal_direction needs scikit-learn: pip install scikit-learn"
        ) from error
    if method == "logistic":
        classifier = LogisticRegression(C=1 / strength, max_iter=10_000, tol=1e-8)
    else:
        classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(strength))
    classifier.fit(features.numpy(), labels.numpy())
    return torch.from_numpy(classifier.coef_[0])
