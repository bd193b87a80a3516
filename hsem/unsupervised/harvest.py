"""Sample by the thousand and learn the principal components of h on the way (section IV-A)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..counts import whole_number
from ..diffusion.sampling import Samples, checked_eta, checked_seeds, sample
from ..diffusion.schedule import Schedule
from ..directions.direction import provenance_of
from ..files import check_writable
from ..judges.scorers import label_of, refuse_infinite, unlike
from ..network.memory import Pieces
from ..network.unet import HSpaceUNet
from .pca import HSpacePCA


def harvest(
    model: HSpaceUNet,
    seeds: Sequence[int],
    *,
    steps: int = 25,
    schedule: Schedule | None = None,
    eta: float | Sequence[float] = 1.0,
    batch_size: int = 50,
    pca: HSpacePCA | None = None,
    scorer: Callable[[Tensor], Tensor] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> HSpacePCA:
    """Generate a sample for each seed and fit a PCA to all of their h.

    Parameters
    ----------
    seeds : one integer per sample; the paper uses thousands
    steps, schedule, eta : see `sample`
    batch_size : samples generated, and learned from, at a time; the result depends on it a little.
        Halved, with a warning, where the memory of a CUDA device runs out.
    pca : an unfitted `HSpacePCA` with the settings to use; None takes its defaults
    scorer : applied to the images as well, (b, 3, H, W) to (b, a), such as an attribute
        classifier; the results let components be named by measurement
    checkpoint : file to save to after every batch. If it exists the work goes on from there, with
        the same result, to the last bit, as without the interruption. More seeds can be added.
    progress : show a bar

    Returns
    -------
    The PCA, with these attributes set: `timesteps_`; `seeds_` (n,); `attributes_` (n, a) or None;
    and `provenance_`, which goes into its directions.

    Raises
    ------
    ValueError
        If the checkpoint belongs to other settings or another scorer (the first sample is scored
        once more, as names alone cannot tell), the PCA has already been fitted, or the scorer
        returns another shape or infinities.
    OSError
        Before anything is computed, if the checkpoint could not be written.
    """
    if checkpoint is not None:
        check_writable(checkpoint, "checkpoint")
    batch_size = whole_number("batch_size", batch_size)
    schedule = schedule or model.schedule(steps)
    seeds = checked_seeds(seeds)
    pca = HSpacePCA() if pca is None else pca
    if pca.n_samples_seen_:
        raise ValueError(
            f"this PCA has already seen {pca.n_samples_seen_} samples; give a new one (an "
            "interrupted harvest finds its old one in the checkpoint)"
        )
    pca.timesteps_ = schedule.timesteps
    etas = sorted(set(checked_eta(eta, schedule)))
    judged_by: dict[str, Any] = {} if scorer is None else {"scorer": label_of(scorer)}
    pca.provenance_ = provenance_of(
        model, eta=etas[0] if len(etas) == 1 else etas, batch_size=batch_size, **judged_by
    )
    drawing, learning, scoring = (Pieces(batch_size) for _ in range(3))

    def some(which: Sequence[int]) -> Samples:
        return sample(model, which, schedule=schedule, eta=eta, batch_size=drawing, progress=False)

    def learn(samples: Samples) -> None:
        h_seq = samples.h_seq
        assert h_seq is not None
        learning.run(len(h_seq), lambda which: pca.partial_fit(h_seq[which].to(model.device)))

    @torch.no_grad()
    def score(images: Tensor, scorer: Callable[[Tensor], Tensor]) -> Tensor:
        def some_of(which: slice) -> Tensor:
            scores, n = scorer(images[which]).cpu(), len(images[which])
            if scores.ndim != 2 or len(scores) != n:
                raise ValueError(
                    f"scorer must return scores of shape (b, a), for {n} images ({n}, a), got "
                    f"{tuple(scores.shape)}; a single attribute is a column, scores[:, None]"
                )
            refuse_infinite(scores, range(scores.shape[1]), label_of(scorer))
            return scores

        return torch.cat(scoring.run(len(images), some_of))

    if checkpoint is not None and Path(checkpoint).is_file():
        first = None if scorer is None else score(some(seeds[:1]).images, scorer)[0]
        _resume(pca, checkpoint, seeds, batch_size, first, model.device)
    done = pca.n_samples_seen_
    with tqdm(total=len(seeds), initial=done, disable=not progress, unit="sample") as bar:
        for start in range(done, len(seeds), batch_size):
            stop = min(start + batch_size, len(seeds))
            samples = some(seeds[start:stop])
            learn(samples)
            pca.seeds_ = torch.tensor(seeds[:stop], dtype=torch.long, device="cpu")
            if scorer is not None:
                new, old = score(samples.images, scorer), pca.attributes_
                pca.attributes_ = new if old is None else torch.cat([old, new])
            if checkpoint is not None:
                pca.save(checkpoint)
            bar.update(stop - start)
    return pca


def _resume(
    pca: HSpacePCA,
    checkpoint: str | Path,
    seeds: tuple[int, ...],
    batch_size: int,
    first: Tensor | None,
    device: torch.device,
) -> None:
    """Put the state of an interrupted harvest into `pca`, if it is the same harvest.

    first : scores of the first sample, by the scorer that is to go on
    """
    saved = HSpacePCA.load(checkpoint, device)
    n = saved.n_samples_seen_

    scores, old, new = saved.attributes_, saved.provenance_ or {}, pca.provenance_ or {}

    # A torch of another version may well round differently; that must not make work useless.
    def how(about: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in about.items() if k not in ("versions", "scorer")}

    old_seeds = [] if saved.seeds_ is None else saved.seeds_.tolist()
    same = {
        "the settings of the PCA": saved.get_params() == pca.get_params(),
        "model, eta or batch_size": how(old) == how(new),
        "timesteps": saved.timesteps_ == pca.timesteps_,
        "seeds": old_seeds == list(seeds[:n]),
        "its last batch, which was cut short": n == len(seeds) or n % batch_size == 0,
        "scorer": (scores is None) == (first is None)
        and old.get("scorer", new.get("scorer")) == new.get("scorer"),  # older files have no name
        "scores of the first seed": scores is None or first is None or not unlike(scores, first),
    }
    other = [name for name, equal in same.items() if not equal]
    if other:
        raise ValueError(
            f"checkpoint {str(checkpoint)!r}, of {n} samples, does not belong to this harvest: "
            f"it differs in {', '.join(other)}; take another file, or delete it to start over"
        )
    pca.__dict__.update(saved.__dict__)
