"""Measures of samples against portraits: distributions, features, detectability, copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torch import Tensor, nn

from ..train.draws import uniform


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
    # The trace of (cov_x cov_y)^(1/2) by a symmetric product, which may be singular: the judge has
    # channels that never answer.
    values, vectors = np.linalg.eigh(cov_x)
    half = vectors * np.sqrt(values.clip(0))
    root = np.sqrt(np.linalg.eigvalsh(half.T @ cov_y @ half).clip(0))
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(cov_x + cov_y) - 2 * root.sum())


def real_or_fake(real: Tensor, fake: Tensor, epochs: int = 6, seed: int = 0) -> float:
    """Held-out accuracy of a small network trained to tell `real` from `fake` portraits."""
    generator = torch.Generator().manual_seed(seed)
    n = min(len(real), len(fake))
    x = torch.cat([real[:n], fake[:n]])
    y = torch.cat([x.new_ones(n), x.new_zeros(n)])
    order = torch.randperm(2 * n, generator=generator, dtype=torch.int64, device="cpu")
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
        shuffled = torch.randperm(cut, generator=generator, dtype=torch.int64, device="cpu")
        for k in shuffled.split(64):
            flip = uniform(generator, len(k)) < 0.5
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


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> list[float]:
    """Largest gap between two distribution functions, for each column of (n, k) and (m, k)."""
    return [float(ks_2samp(a[:, k], b[:, k]).statistic) for k in range(a.shape[1])]


def spread(a: Tensor, b: Tensor) -> list[float]:
    """Deviation of `a` over that of `b`, for each column; 1 is as varied as `b`."""
    return (a.double().std(dim=0) / b.double().std(dim=0)).tolist()
