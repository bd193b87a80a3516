"""Are principal directions of unaligned pictures less interpretable? SM H, with known factors.

    python -m portraits.evaluate.loose aligned=portraits-64 young=FOLDER loose=FOLDER \
        --judge JUDGE --out other_domains.safetensors

Networks come by name or folder: the first learned aligned portraits, `loose` the same ones shifted,
turned and scaled at random (`portraits.train --loose`), and `young` is an early state of the
first: what less training does by itself. JUDGE is a classifier that reads moved portraits, and
where they were moved to (`portraits.train.classifier --loose`). It reads the samples of all of
them, so that none has a better reader. Stored are, for each, the scores of samples along the
leading components, the factors read from the samples, and what the components do to others.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.evaluation.explained import explained_share, shuffled
from hsem.judges.classifier import PortraitClassifier

from ..train.placement import PLACEMENT

K, DRAWN, ETA, SHOWN = 10, 5, 1.0, 2  # components in numbers and in pictures; samples
SCALES = (-3.0, 0.0, 3.0)  # standard deviations, in the strips
FIRST_NEW = 1_000_000  # seed of the first sample that no PCA has seen


def measured(
    model: hsem.HSpaceUNet, judge: PortraitClassifier, n: int, steps: int
) -> dict[str, Tensor]:
    """Of n samples: scores (n, K), factors (n, f), shares of the variance of h (K,), and strips.

    Components are those of all steps together, so a sample has one score along each.
    """
    pca = hsem.harvest(
        model, range(n), steps=steps, eta=ETA, pca=hsem.HSpacePCA(K, joint=True),
        scorer=lambda images: judge(images.clamp(-1, 1)),
    )  # fmt: skip
    assert pca.attributes_ is not None  # there was a scorer
    return {
        "scores": pca.scores_[:, :K, 0],
        "factors": pca.attributes_,
        "explained": pca.explained_variance_ratio_[:, 0],
        "strips": strips(model, pca, steps),
    }


def strips(model: hsem.HSpaceUNet, pca: hsem.HSpacePCA, steps: int) -> Tensor:
    """What the first components do to new samples, (DRAWN, scales, SHOWN, 3, H, W) as bytes."""
    seeds = range(FIRST_NEW, FIRST_NEW + SHOWN)
    rows = []
    for j in range(DRAWN):
        for scale in SCALES:
            edit = hsem.add(pca.direction(j), scale)
            run = hsem.sample(
                model, seeds, steps=steps, eta=ETA, edit=edit, record=(), progress=False
            )
            rows.append(((run.images.clamp(-1, 1) + 1) * 127.5).round().byte())
    return torch.stack(rows).unflatten(0, (DRAWN, len(SCALES)))


def report(scores: Tensor, factors: Tensor, names: tuple[str, ...]) -> dict[str, str]:
    """How much all factors explain, the person's, the placement's, and all of them shuffled."""
    placed = [name in PLACEMENT for name in names]
    moved = torch.tensor(placed, dtype=torch.bool, device=factors.device)
    groups = {
        "all": factors,
        "person": factors[:, ~moved],
        "placement": factors[:, moved],
        "shuffled": shuffled(factors, torch.Generator().manual_seed(0)),
    }
    return {k: str(explained_share(scores, f)) for k, f in groups.items() if f.shape[1]}


def main(arguments: list[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument(
        "networks", nargs="+", metavar="NAME=MODEL", help="what to call it, and name or folder"
    )
    p.add_argument("--judge", type=Path, required=True, help="folder of the classifier")
    p.add_argument("--n", type=int, default=600, help="samples of each network")
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--out", type=Path, required=True)
    given = sys.argv[1:] if arguments is None else arguments
    options = p.parse_args(given)
    named = [pair.partition("=")[::2] for pair in options.networks]
    if not all(name and where for name, where in named) or len(dict(named)) < len(named):
        p.error(f"networks must be NAME=MODEL, each with a name of its own, got {options.networks}")
    judge = hsem.classifier.load(options.judge)
    tensors: dict[str, Tensor] = {}
    marks: dict[str, str] = {}
    models = {name: hsem.load(where, dtype=hsem.fast_dtype()) for name, where in named}
    for name, model in models.items():
        found = measured(model, judge, options.n, options.steps)
        tensors |= {f"{name}/{key}": value for key, value in found.items()}
        marks[name] = model.fingerprint
        for group, share in report(found["scores"], found["factors"], judge.names).items():
            print(f"{name:8} {group:10} {share}")
    path = results.save(
        options.out, next(iter(models.values())), tensors, n=options.n, steps=options.steps,
        eta=ETA, scales=SCALES, first_new_seed=FIRST_NEW, columns=list(judge.names),
        fingerprints=marks, judge=judge.metrics,
        command=shlex.join(["python", "-m", "portraits.evaluate.loose", *given]),
    )  # fmt: skip
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
