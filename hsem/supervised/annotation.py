"""Sample by the thousand, score every picture, and keep the table (section V-b).

Only seeds and scores are kept: the h of 25 steps is 1.6 MB per sample for the small model and
3.3 MB for the 256x256 ones, so ten thousand of them do not fit in memory. The few chosen samples
are generated a second time. Noise belongs to a seed alone, so that gives the same picture and the
same h; and what is selected, and balanced over what, can be decided as often as one likes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..callers import tell
from ..counts import whole_number
from ..diffusion.sampling import Samples, checked_eta, checked_seeds, sample
from ..diffusion.schedule import Schedule, checked_timesteps
from ..directions.direction import provenance_of
from ..files import as_json, check_writable, save_arrays
from ..frozen import Frozen
from ..judges.scorers import (
    Scorer,
    column,
    label_of,
    names_of,
    refuse_infinite,
    scores_of,
    unlike,
)
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from ..reading import check_file, checked, read_arrays, refusing

FORMAT = "hsem-annotation/1"


@dataclass(frozen=True, eq=False)
class Annotation:
    """Scores of generated pictures, and all that is needed to generate them again.

    seeds : one per sample, (n,)
    scores : (n, k), float64; NaN where the scorer had no answer
    names : of the k attributes
    timesteps, eta : how the samples were made, (T,) each
    provenance : model, fingerprint, scorer, versions
    """

    seeds: tuple[int, ...]
    scores: Tensor
    names: tuple[str, ...]
    timesteps: tuple[int, ...]
    eta: tuple[float, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", checked_seeds(self.seeds))
        object.__setattr__(self, "timesteps", checked_timesteps(self.timesteps))
        object.__setattr__(self, "eta", checked_eta(self.eta, self.timesteps))
        object.__setattr__(self, "provenance", Frozen(self.provenance))
        scores = torch.as_tensor(self.scores, dtype=torch.float64, device="cpu").detach()
        object.__setattr__(self, "scores", scores)
        expected = (len(self.seeds), len(self.names))
        if tuple(self.scores.shape) != expected:
            raise ValueError(
                f"scores must have shape (n, k) = {expected}, got {tuple(self.scores.shape)}"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must all be different: a seed is one sample")
        refuse_infinite(scores, self.names, "the scorer")

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        return (
            f"Annotation({len(self)} samples of {self.provenance.get('model')!r} by "
            f"{self.provenance.get('scorer')!r}: {', '.join(self.names)})"
        )

    def column(self, name: str) -> Tensor:
        """Scores for one attribute, (n,)."""
        return self.scores[:, column(self.names, name)]

    def save(self, path: str | Path) -> None:
        """Write an npz file; a reader of an older state never sees half of a new one."""
        about = {"eta": self.eta, "timesteps": self.timesteps, "provenance": dict(self.provenance)}
        save_arrays(
            path,
            format=np.array(FORMAT),
            seeds=np.array(self.seeds, dtype=np.int64),
            scores=self.scores.numpy(),
            names=np.array(self.names),
            about=np.array(as_json(about)),
        )

    @classmethod
    def load(cls, path: str | Path, model: HSpaceUNet | None = None) -> Annotation:
        """Read a table; with `model`, refuse one that was made with other weights."""
        check_file(path, "annotation")
        with refusing(path, "an annotation", "make it again", ValueError):
            (tag,) = read_arrays(path, "format")
            if str(tag) != FORMAT:
                raise ValueError(f"format is {str(tag)!r}, expected {FORMAT!r}")
            text, seeds, scores, names = read_arrays(path, "about", "seeds", "scores", "names")
            about = json.loads(str(text))
            table = cls(
                tuple(checked("seeds", seeds, None, kinds="iu").tolist()),
                torch.from_numpy(checked("scores", scores, None, None, finite=False)),
                tuple(checked("names", names, None, kinds="U").tolist()),
                checked_timesteps(about["timesteps"]),
                tuple(about["eta"]),
                dict(about["provenance"]),
            )
        if model is not None:
            check_model(table.provenance, model, "the annotation")
        return table


def annotate(
    model: HSpaceUNet,
    scorer: Scorer,
    seeds: Sequence[int],
    *,
    steps: int = 25,
    schedule: Schedule | None = None,
    eta: float | Sequence[float] = 1.0,
    batch_size: int = 16,
    path: str | Path | None = None,
    progress: bool = True,
) -> Annotation:
    """Generate one sample per seed and score it.

    Parameters
    ----------
    scorer : images to named scores, see `hsem.judges.scorers`
    seeds : such as `range(10_000)`, which is what the authors' code uses
    steps, schedule, eta, batch_size : see `sample`
    path : npz file to save to after every batch. If it exists the work goes on from there and
        gives the same table, to the last bit if `batch_size` is the same; more seeds may be added
        at the end.
    progress : show a bar

    Raises
    ------
    ValueError
        If the file at `path` belongs to another model, scorer, or way of sampling. Names alone
        cannot tell two scorers apart, so the first sample of the file is scored once more.
    OSError
        Before anything is computed, if `path` could not be written.

    Warns
    -----
    UserWarning
        If some scores are NaN.
    """
    schedule = schedule or model.schedule(steps)
    eta = checked_eta(eta, schedule)
    seeds = checked_seeds(seeds)
    whole_number("batch_size", batch_size)
    if path is not None:
        check_writable(path)

    drawing, scoring = Pieces(batch_size), Pieces(64)

    def score(which: Sequence[int]) -> Tensor:
        samples = sample(
            model, which, schedule=schedule, eta=eta, record=(), batch_size=drawing, progress=False
        )
        return scores_of(scorer, samples.images, batch_size=scoring)

    def table(scores: Tensor) -> Annotation:
        provenance = provenance_of(model, scorer=label_of(scorer), batch_size=batch_size)
        done = seeds[: len(scores)]
        return Annotation(done, scores, names_of(scorer), schedule.timesteps, eta, provenance)

    scores = torch.empty(0, len(names_of(scorer)), dtype=torch.float64, device="cpu")
    if path is not None and Path(path).is_file():
        stored = Annotation.load(path)
        scores = stored.scores[: len(seeds)]
        _check_same(str(path), stored, table(scores), lambda: score(seeds[:1])[0])
    with tqdm(total=len(seeds), initial=len(scores), disable=not progress, unit="sample") as bar:
        for start in range(len(scores), len(seeds), batch_size):
            new = score(seeds[start : start + batch_size])
            scores = torch.cat([scores, new])
            if path is not None:
                table(scores).save(path)
            bar.update(len(new))
    _warn_missing(names_of(scorer), scores)
    return table(scores)


def score_samples(model: HSpaceUNet, samples: Samples, scorer: Scorer) -> Annotation:
    """The table of samples that are already in memory, such as the small crowd of a chapter.

    Parameters
    ----------
    model : that made them
    samples : made from seeds, without an edit: a table is of what the seeds alone give

    Warns
    -----
    UserWarning
        If some scores are NaN.
    """
    if samples.seeds is None or samples.given_z is not None or samples.edit is not None:
        raise ValueError(
            "samples must be made from seeds alone, without x_T, z or an edit of their own, so "
            "that each can be generated again from its seed"
        )
    scores = scores_of(scorer, samples.images)
    _warn_missing(names_of(scorer), scores)
    grid, about = samples.schedule.timesteps, provenance_of(model, scorer=label_of(scorer))
    return Annotation(samples.seeds, scores, names_of(scorer), grid, samples.eta, about)


# ------------------------------------------------------------------------------------- details


def check_model(provenance: Mapping[str, Any], model: HSpaceUNet, what: str) -> None:
    """Raise ValueError if `what` was made with other weights than those of `model`."""
    if provenance.get("fingerprint", model.fingerprint) != model.fingerprint:
        raise ValueError(
            f"{what} was made with model {provenance.get('model')!r} "
            f"({provenance['fingerprint']}), but this is {model.name!r} ({model.fingerprint}); "
            "its seeds give other pictures here"
        )


def _check_same(
    path: str, stored: Annotation, wanted: Annotation, first: Callable[[], Tensor]
) -> None:
    """Raise ValueError unless a file belongs to this work; `first` scores the first sample."""
    same = {
        "model": stored.provenance.get("fingerprint") == wanted.provenance["fingerprint"],
        "scorer": stored.provenance.get("scorer") == wanted.provenance["scorer"],
        "attributes": stored.names == wanted.names,
        "timesteps": stored.timesteps == wanted.timesteps,
        "eta": stored.eta == wanted.eta,
        "seeds": stored.seeds[: len(wanted)] == wanted.seeds,
    }
    other = [name for name, equal in same.items() if not equal]
    if not other and unlike(stored.scores, first()):
        other = ["scores of the first seed"]
    if other:
        raise ValueError(
            f"the table at {path!r}, of {len(stored)} samples, does not belong to this annotation: "
            f"different {', '.join(other)}; give another path, or delete the file to start over"
        )


def _warn_missing(names: Sequence[str], scores: Tensor) -> None:
    counts = scores.isnan().sum(dim=0).tolist()
    missing = {name: n for name, n in zip(names, counts, strict=True) if n}
    if missing:
        tell(
            f"NaN scores among {len(scores)} samples: {missing}; "
            "extremes() leaves such samples out only if told to (drop_missing=True)",
        )
