"""How good are the samples of the packaged models? Measured, not admired.

    python -m portraits.evaluate --data DATA --out book/_pictures       # 20 steps, eta 0
    python -m portraits.evaluate --data DATA --eta 1                    # as most chapters sample

Writes `evaluation.json` into each model's folder in the package (other settings have files of
their own, such as `evaluation-eta1.json`), and prints the table of the book (`report.py`). With
`--out` it makes three pictures of the first model: samples, nearest training neighbours, steps and
eta. Five questions, each with the answer that real data would give:

1. Do the attributes of samples have the distribution of those of held-out portraits?
   Kolmogorov-Smirnov distance per attribute, next to that of two halves of real data.
2. Are they as varied? Deviation over that of portraits.
3. Do the features agree? Frechet distance in the classifier's last layer.
4. Can a small network tell samples from real portraits? Its held-out accuracy; one half is chance.
5. Are samples copies? The nearest training portraits of 32 samples, and how much nearer they are
   than the nearest training portraits of held-out renders.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem.evaluation.targets import earlier, of_handles, of_samples
from hsem.files import replacing
from hsem.network.models import DATA
from hsem.recipes.parts import Parts

from ..dataset.sheets import save
from ..train.data import load_images
from .measures import (
    frechet_distance,
    in_batches,
    kolmogorov_smirnov,
    nearest,
    quantise,
    real_or_fake,
    spread,
    tile,
    to_unit,
)
from .report import NETWORKS, Column, table

FIRST_SEED = 10_000_000
STEPS, ETA = 20, 0.0


def file_name(steps: int = STEPS, eta: float = ETA) -> str:
    """Of the numbers beside the weights: each setting has its own, so that none is overwritten."""
    own = [f"steps{steps}"] * (steps != STEPS) + [f"eta{eta:g}"] * (eta != ETA)
    return "-".join(["evaluation", *own]) + ".json"


def draw(
    parts: Parts, model: hsem.HSpaceUNet, n: int, steps: int, eta: float
) -> tuple[Tensor, float]:
    """n samples, rounded as in a file, and the seconds that they took.

    A hundred at a time are kept (see `Parts`), so that work that was killed goes on where it was.
    """

    def some(seeds: Sequence[int]) -> dict[str, Tensor]:
        start = time.time()
        run = hsem.sample(
            model, seeds, steps=steps, eta=eta, record=(), batch_size=50, progress=False
        )
        spent = torch.tensor([time.time() - start], dtype=torch.float64, device="cpu")
        return {"images": quantise(run.images), "seconds": spent}

    found = parts.over("images", range(FIRST_SEED, FIRST_SEED + n), some)
    return found["images"], float(found["seconds"].sum())


def measure(fake: Tensor, real: Tensor, train: Tensor) -> dict[str, Any]:
    """The metrics of samples against held-out and training portraits, all in [-1, 1]."""
    judge, half = hsem.classifier.load(device="cpu"), len(real) // 2
    names = judge.names
    score_real, score_fake = in_batches(judge, real), in_batches(judge, fake)
    feature_real, feature_fake = (in_batches(judge.features, x) for x in (real, fake))
    near_fake, _ = nearest(fake[:32], train)
    near_held, _ = nearest(real[:200], train)
    near = [float(x[:, 0].mean()) for x in (near_fake, near_held)]

    def rounded(values: list[float]) -> dict[str, float]:
        return {name: round(v, 3) for name, v in zip(names, values, strict=True)}

    return {
        "ks": rounded(kolmogorov_smirnov(score_real, score_fake)),
        "ks_two_halves_of_real": rounded(kolmogorov_smirnov(score_real[:half], score_real[half:])),
        "spread": rounded(spread(score_fake, score_real)),
        "spread_two_halves_of_real": rounded(spread(score_real[:half], score_real[half:])),
        "frechet": round(frechet_distance(feature_real, feature_fake), 4),
        "frechet_two_halves_of_real": round(
            frechet_distance(feature_real[:half], feature_real[half:]), 4
        ),
        "real_or_fake_accuracy": round(real_or_fake(real, fake), 3),
        "real_or_fake_two_halves_of_real": round(real_or_fake(real[:half], real[half:]), 3),
        "nearest_training_rms_of_samples": round(near[0], 4),
        "nearest_training_rms_of_held_out": round(near[1], 4),
        "nearest_ratio": round(near[0] / near[1], 3),
    }


def pictures(model: hsem.HSpaceUNet, fake: Tensor, train: Tensor, out: Path) -> None:
    """72 samples, their nearest training portraits, and the influence of steps and eta."""
    save(tile([fake[k : k + 12] for k in range(0, 72, 12)]), out / "samples.webp", quality=92)
    _, index = nearest(fake[:32], train)
    rows = []
    for first in (0, 16):
        part = slice(first, first + 16)
        rows += [fake[part], *(train[index[part, j]] for j in range(3))]
    save(tile(rows), out / "neighbours.webp", quality=92)
    rows = [
        hsem.sample(model, range(12), steps=s, eta=e, record=(), progress=False).images
        for e in (0.0, 1.0)
        for s in (10, 20, 40)
    ]
    save(tile(rows), out / "steps_and_eta.webp", quality=92)


def evaluate(
    name: str, data: Path, n: int, steps: int, eta: float, out: Path | None
) -> dict[str, Any]:
    """Sample, measure, and write the numbers beside the weights; pictures into `out`, if given.

    Samples are kept until the numbers are written, so that after a kill the next run goes on where
    it was, with the same numbers.
    """
    model = hsem.load(name, dtype=hsem.fast_dtype())
    parts = Parts("evaluation", model, n=n, steps=steps, eta=eta)
    fake, seconds = draw(parts, model, n, steps, eta)
    real, train = (to_unit(load_images(data, split)) for split in ("held", "train"))
    metrics = {
        "date": time.strftime("%Y-%m-%d"),
        "samples": n,
        "steps": steps,
        "eta": eta,
        "model": model.fingerprint,
        "dtype": str(model.dtype),
        "held_out": len(real),
        "training_portraits": len(train),
        **measure(fake, real, train),
        "seconds_for_the_samples": round(seconds, 1),
        "device": str(model.device),
        "torch_threads": torch.get_num_threads(),
    }
    folder = DATA / name if (DATA / name).is_dir() else Path(name)
    with replacing(folder / file_name(steps, eta)) as part:
        part.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    if out is not None:
        pictures(model, fake, train, out)
    parts.clear()
    return metrics


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True, help="folder of shards or packs")
    p.add_argument("--models", nargs="+", default=list(NETWORKS), help="names or diffusers folders")
    p.add_argument("--out", type=Path, help="folder for pictures of the first")
    p.add_argument("--samples", type=int, default=2000)
    p.add_argument("--steps", type=int, default=STEPS, help="as the chapters use")
    p.add_argument("--eta", type=float, default=ETA)
    args = p.parse_args()
    columns: dict[str, Column] = dict(earlier())
    for k, name in enumerate(args.models):
        out = None if k else args.out
        found = evaluate(name, args.data, args.samples, args.steps, args.eta, out)
        columns[Path(name).name] = of_samples(found) | of_handles(found["model"])
        halves = of_samples(found, halves=True)
    print(table(columns, halves))


if __name__ == "__main__":
    main()
