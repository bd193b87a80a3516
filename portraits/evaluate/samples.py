"""How good are the samples of `portraits-64`? Measured, not admired.

    python -m portraits.evaluate --data DATA --out book/_pictures [--samples 2000]

Writes `evaluation.json` into the model's folder in the package, from which the book makes its
table, and three pictures into OUT (samples, nearest training neighbours, steps and eta).
Four questions, each with the answer that real data would give beside it:

1. Do the attributes of samples have the distribution of those of held-out portraits?
   Kolmogorov-Smirnov distance per attribute, next to that of two halves of real data.
2. Do the features? Frechet distance in the classifier's last layer, likewise.
3. Can a small network tell samples from real portraits? Its held-out accuracy; one half is chance.
4. Are samples copies? The nearest training portraits of 32 samples, and how much nearer they are
   than the nearest training portraits of held-out renders.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.stats import ks_2samp
from torch import Tensor, nn
from tqdm.auto import tqdm

import hsem
from hsem.network.models import DATA

from ..train.run import load_images

log = logging.getLogger("portraits.evaluate")


def to_unit(images: Tensor) -> Tensor:
    """uint8 (n, 3, H, W) to [-1, 1]."""
    return images.float() / 127.5 - 1


def quantise(images: Tensor) -> Tensor:
    """Samples as a file would hold them, so that no judge can tell them by their precision."""
    return to_unit(((images.clamp(-1, 1) + 1) * 127.5).round().byte())


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, size: int = 256) -> Tensor:
    return torch.cat([function(images[k : k + size]) for k in range(0, len(images), size)])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of two Gaussians fitted to features (n, d) (Heusel et al., 2017)."""
    x, y = a.double().numpy(), b.double().numpy()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(cov_x @ cov_y)
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(cov_x + cov_y - 2 * np.real(root)))


def real_or_fake(real: Tensor, fake: Tensor, epochs: int = 6, seed: int = 0) -> float:
    """Held-out accuracy of a small network trained to tell `real` from `fake` portraits."""
    generator = torch.Generator().manual_seed(seed)
    n = min(len(real), len(fake))
    x = torch.cat([real[:n], fake[:n]])
    y = torch.cat([torch.ones(n), torch.zeros(n)])
    order = torch.randperm(2 * n, generator=generator)
    x, y = x[order], y[order]
    cut = int(0.8 * 2 * n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the network's first weights; the caller's generator is untouched
        net = nn.Sequential(
            *(
                layer
                for i, o in ((3, 16), (16, 32), (32, 64))
                for layer in (nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU())
            ),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 1),
        )
    opt = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-2)
    for _ in range(epochs):
        for k in torch.randperm(cut, generator=generator).split(64):
            flip = torch.rand(len(k), generator=generator) < 0.5
            batch = torch.where(flip[:, None, None, None], x[k].flip(-1), x[k])
            loss = nn.functional.binary_cross_entropy_with_logits(net(batch)[:, 0], y[k])
            opt.zero_grad()
            loss.backward()
            opt.step()
    net.eval()
    correct = (in_batches(net, x[cut:])[:, 0] > 0) == (y[cut:] > 0.5)
    return float(correct.float().mean())


def nearest(queries: Tensor, bank: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Root-mean-square pixel distance and index of the k nearest pictures of `bank`."""
    q = nn.functional.avg_pool2d(queries, 2).flatten(1)
    b = nn.functional.avg_pool2d(bank, 2).flatten(1)
    distance, index = torch.cdist(q, b).topk(k, largest=False)
    return distance / q.shape[1] ** 0.5, index


def tile(rows: list[Tensor], zoom: int = 1) -> Image.Image:
    """Rows of equally many pictures, one under the other."""
    pictures = [torch.cat(list(row.clamp(-1, 1)), dim=2) for row in rows]
    whole = torch.cat(pictures, dim=1).permute(1, 2, 0)
    image = Image.fromarray(((whole + 1) * 127.5).round().byte().numpy())
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


def evaluate(
    data: Path,
    out: Path,
    metrics_file: Path,
    n: int,
    steps: int,
    model_folder: str | None,
    eta: float = 0.0,
) -> dict:
    """Sample, measure, write the numbers and the pictures; return the numbers."""
    model = hsem.load(model_folder) if model_folder else hsem.load()
    judge = hsem.classifier.load()
    out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    chunks = []
    for k in tqdm(range(0, n, 100), desc="samples"):
        seeds = range(10_000_000 + k, 10_000_000 + min(k + 100, n))
        run = hsem.sample(model, seeds, steps=steps, eta=eta, record=(), progress=False)
        chunks.append(quantise(run.images))
    fake = torch.cat(chunks)
    seconds = time.time() - start
    real = to_unit(load_images(data, "held"))
    train = to_unit(load_images(data, "train"))
    half = len(real) // 2

    score_real, score_fake = in_batches(judge, real), in_batches(judge, fake)
    feature_real, feature_fake = in_batches(judge.features, real), in_batches(judge.features, fake)
    ks, ks_real = {}, {}
    for k, name in enumerate(judge.names):
        ks[name] = round(float(ks_2samp(score_real[:, k], score_fake[:, k]).statistic), 3)
        ks_real[name] = round(
            float(ks_2samp(score_real[:half, k], score_real[half:, k]).statistic), 3
        )
    near_fake, index = nearest(fake[:32], train)
    near_held, _ = nearest(real[:200], train)
    metrics = {
        "date": time.strftime("%Y-%m-%d"),
        "samples": n,
        "steps": steps,
        "eta": eta,
        "model": model.fingerprint,
        "held_out": len(real),
        "training_portraits": len(train),
        "ks": ks,
        "ks_two_halves_of_real": ks_real,
        "frechet": round(frechet_distance(feature_real, feature_fake), 4),
        "frechet_two_halves_of_real": round(
            frechet_distance(feature_real[:half], feature_real[half:]), 4
        ),
        "real_or_fake_accuracy": round(real_or_fake(real, fake), 3),
        "nearest_training_rms_of_samples": round(float(near_fake[:, 0].mean()), 4),
        "nearest_training_rms_of_held_out": round(float(near_held[:, 0].mean()), 4),
        "seconds_for_the_samples": round(seconds, 1),
        "device": str(model.device),
        "torch_threads": torch.get_num_threads(),
    }
    metrics_file.write_text(json.dumps(metrics, indent=1) + "\n")
    tile([fake[k : k + 12] for k in range(0, 72, 12)]).save(out / "samples.webp", quality=92)
    tile(
        [
            fake[:16],
            *(train[index[:16, j]] for j in range(3)),
            fake[16:32],
            *(train[index[16:32, j]] for j in range(3)),
        ]
    ).save(out / "neighbours.webp", quality=92)
    rows = [
        hsem.sample(model, range(12), steps=s, eta=e, record=(), progress=False).images
        for e in (0.0, 1.0)
        for s in (10, 25, 50)
    ]
    tile(rows).save(out / "steps_and_eta.webp", quality=92)
    return metrics


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument(
        "--data", type=Path, required=True, help="folder with train_*.npz and held_*.npz"
    )
    p.add_argument("--out", type=Path, default=Path("book/_pictures"))
    p.add_argument("--metrics", type=Path, default=DATA / "portraits-64" / "evaluation.json")
    p.add_argument("--samples", type=int, default=2000)
    p.add_argument("--steps", type=int, default=25)
    p.add_argument("--eta", type=float, default=0.0)
    p.add_argument("--model", help="a diffusers folder; default: the model in the package")
    args = p.parse_args()
    found = evaluate(
        args.data, args.out, args.metrics, args.samples, args.steps, args.model, args.eta
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
