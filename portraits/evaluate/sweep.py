"""Which sampler settings? Steps and eta, by the same measures, and what they cost.

    python -m portraits.evaluate.sweep --data DATA [--samples 300] [--steps 10 20 40] [--eta 0 1]

Writes `sampler.json` beside the weights. The same seeds are drawn at every setting; cost is runs of
the network for one picture, and seconds on the machine at hand. A few hundred samples are too few
for absolute numbers, so as many held-out portraits stand beside them, against all the others: what
the measures say about real pictures. (With fewer samples than features there is no Frechet
distance.)
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem.files import replacing
from hsem.network.models import DATA
from hsem.recipes.parts import Parts

from ..train.data import load_images
from .measures import frechet_distance, in_batches, kolmogorov_smirnov, spread, to_unit
from .samples import draw

NAME = "sampler.json"


def measured(
    scores: Tensor, features: Tensor, real: tuple[Tensor, Tensor]
) -> dict[str, float | None]:
    """Three numbers of pictures, given as scores and features, against real ones."""
    enough = len(features) > features.shape[1]
    return {
        "ks": round(mean(kolmogorov_smirnov(real[0], scores)), 4),
        "spread": round(mean(spread(scores, real[0])), 4),
        "frechet": round(frechet_distance(real[1], features), 2) if enough else None,
    }


def sweep(name: str, data: Path, n: int, steps: list[int], etas: list[float]) -> dict[str, Any]:
    """All settings of one model; written beside its weights."""
    model = hsem.load(name, dtype=hsem.fast_dtype())
    judge = hsem.classifier.load(device="cpu")

    def read(images: Tensor) -> tuple[Tensor, Tensor]:
        return in_batches(judge, images), in_batches(judge.features, images)

    real = read(to_unit(load_images(data, "held")))
    rows, kept = [], []
    for count in steps:
        for eta in etas:
            parts = Parts("sampler", model, n=n, steps=count, eta=eta)
            fake, seconds = draw(parts, model, n, count, eta)
            kept.append(parts)
            found = measured(*read(fake), real)
            spent = {"runs": count, "seconds_a_picture": round(seconds / n, 4)}
            rows.append({"steps": count, "eta": eta, **spent, **found})
    few, others = (tuple(x[part] for x in real) for part in (slice(n), slice(n, None)))
    about = {
        "date": time.strftime("%Y-%m-%d"), "model": model.fingerprint, "samples": n,
        "held_out": len(real[0]), "dtype": str(model.dtype), "device": str(model.device),
        "torch_threads": torch.get_num_threads(), "settings": rows,
        "as_many_real": measured(few[0], few[1], (others[0], others[1])),
    }  # fmt: skip
    folder = DATA / name if (DATA / name).is_dir() else Path(name)
    with replacing(folder / NAME) as part:
        part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for parts in kept:
        parts.clear()
    return about


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True, help="folder of shards or packs")
    p.add_argument("--model", default="portraits-64", help="name or diffusers folder")
    p.add_argument("--samples", type=int, default=300)
    p.add_argument("--steps", type=int, nargs="+", default=[10, 20, 40])
    p.add_argument("--eta", type=float, nargs="+", default=[0.0, 1.0])
    args = p.parse_args()
    found = sweep(args.model, args.data, args.samples, args.steps, args.eta)
    for row in [*found["settings"], {"real": True, **found["as_many_real"]}]:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
