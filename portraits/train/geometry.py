"""Train the geometric judge on portraits whose parts are known.

    python -m portraits.dataset.parts --assets A --anny B --out PARTS
    python -m portraits.train.geometry --data PARTS --out hsem/data/portrait-geometry

The network learns which part each pixel shows, by cross-entropy with the share of each part in the
pixel; it never sees an attribute. Pixels in and around the features of a face count more, whatever
they show: by place and not by part, or the network would see more lips than there are. Pictures are
mirrored, blurred, made noisy and slightly darker or brighter, as for the other judges.

Measured on held-out people: the overlap of each part; each measure of the network's parts against
that of the true ones, and against the factor of the renderer; and what a factor from its lowest to
its highest value does to a face, in pixels, by the true parts and by the network's.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from hsem.files import prepare
from hsem.judges.geometry import NAMES, PARTS, SIDE, PortraitGeometry, measure, seen
from hsem.judges.stored import WEIGHTS

from ..dataset.parts import SWEPT, read
from .classifier import COLUMNS, augment
from .draws import uniform, whole
from .loss import half_precision, layout

FACTOR = {
    "mouth_opening": "mouth_open", "mouth_curve": "smile", "mouth_width": "smile",
    "eye_opening": "eye_open", "brow_height": "brow_raise", "head_turn": "yaw",
}  # fmt: skip
"""The factor of the renderer that should move each measure most."""
FEATURES = ("upper_lip", "lower_lip", "mouth", "eyes", "lids", "brows", "nose")
WEIGHT, AROUND = 6.0, 5  # of a pixel within so many pixels (a square) of a feature


def shares(parts: np.ndarray | Tensor) -> Tensor:
    """Share of each of `PARTS` in each pixel, (n, 13, 64, 64), from indices (n, fine, fine)."""
    index = parts if isinstance(parts, Tensor) else torch.from_numpy(parts)
    n, fine = len(index), index.shape[1] // SIDE
    cells = index.reshape(n, SIDE, fine, SIDE, fine).permute(0, 2, 4, 1, 3)
    cells = cells.reshape(n, fine**2, SIDE**2).long()
    where: dict[str, Any] = {"dtype": torch.float32, "device": index.device}
    found = torch.zeros(n, len(PARTS), SIDE**2, **where)
    found.scatter_add_(1, cells, torch.full(cells.shape, 1 / fine**2, **where))
    return found.reshape(n, len(PARTS), SIDE, SIDE)


def in_batches(parts: np.ndarray, size: int = 250) -> Iterator[Tensor]:
    for k in range(0, len(parts), size):
        yield shares(parts[k : k + size])


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with shares (n, 13, H, W); pixels in and around features weigh more."""
    features = target[:, [PARTS.index(name) for name in FEATURES]].sum(dim=1, keepdim=True)
    near = nn.functional.max_pool2d((features > 0).float(), AROUND, 1, AROUND // 2)[:, 0]
    weight = 1 + (WEIGHT - 1) * near
    each = -(target * logits.log_softmax(dim=1)).sum(dim=1)
    return (weight * each).sum() / weight.sum()


def train(
    data: Path, epochs: float = 18, batch: int = 32, lr: float = 4e-3, seed: int = 3
) -> PortraitGeometry:
    """Train on `parts_*.npz`, measure on `held_*.npz` and `ends_*.npz`."""
    known = read(data, "parts")
    images = torch.from_numpy(known["images"]).permute(0, 3, 1, 2).contiguous()
    parts = torch.from_numpy(known["parts"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PortraitGeometry()
    generator = torch.Generator().manual_seed(seed)
    opt = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.02)
    steps = int(epochs * len(images) / batch)
    bar = tqdm(range(steps), desc="geometry")
    for step in bar:
        for group in opt.param_groups:
            group["lr"] = (
                lr * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        index = whole(generator, len(images), batch)
        flip = (uniform(generator, batch) < 0.5)[:, None, None, None]
        x, target = images[index].float() / 127.5 - 1, shares(parts[index])
        x = augment(torch.where(flip, x.flip(-1), x), generator)
        target = torch.where(flip, target.flip(-1), target)  # no part is of one side
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half_precision(x.device)):
            logits = net.logits(x.contiguous(memory_format=layout(x.device)))
        loss = loss_of(logits.float(), target)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    net.eval().requires_grad_(False)
    return measured(net, data)


def measured(net: PortraitGeometry, data: Path) -> PortraitGeometry:
    """The same network, with the spread of its measures and all that was measured."""
    held, ends = read(data, "held"), read(data, "ends")
    found, truth = both(net, held)
    believed = truth["seen"]
    metrics: dict[str, Any] = {
        "held_out": len(held["images"]),
        "IoU": dict(zip(PARTS, rounded(overlap(found["parts"], truth["parts"])), strict=True)),
    }
    spread = []
    for k, name in enumerate(NAMES):
        row = believed[:, k]
        predicted, true = found["measures"][row, k], truth["measures"][row, k]
        factor = torch.from_numpy(held["labels"][:, COLUMNS.index(FACTOR[name])])[row].double()
        spread.append(float(true.std()))
        metrics[name] = {
            "seen": int(row.sum()),
            "r": correlation(predicted, true),
            "rms_error_px": round(float((predicted - true).pow(2).mean().sqrt()), 3),
            "bias_px": round(float((predicted - true).mean()), 3),
            "factor": FACTOR[name],
            "r_factor": correlation(predicted, factor),
            "r_factor_true_parts": correlation(true, factor),
        }
    metrics["ends"] = ends_of(net, ends)
    best = PortraitGeometry(net.widths, tuple(spread), metrics)
    best.load_state_dict(net.state_dict())
    return best.eval().requires_grad_(False)


def both(
    net: PortraitGeometry, drawn: dict[str, np.ndarray]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parts, measures and what is seen: by the network, and in truth."""
    images = torch.from_numpy(drawn["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    truth = torch.cat(list(in_batches(drawn["parts"])))
    with torch.no_grad():
        found = torch.cat([net.parts(images[k : k + 250]) for k in range(0, len(images), 250)])
    return facts(found), facts(truth)


def facts(parts: Tensor) -> dict[str, Tensor]:
    """The largest part of each pixel, the measures, and what is seen."""
    return {"parts": parts.argmax(dim=1), "measures": measure(parts.double()), "seen": seen(parts)}


def overlap(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (13,) of indices (n, 64, 64), over all pixels of all pictures."""
    where: dict[str, Any] = {"dtype": torch.float32, "device": found.device}
    same, either = torch.zeros(len(PARTS), **where), torch.zeros(len(PARTS), **where)
    for k in range(len(PARTS)):
        a, b = found == k, truth == k
        same[k], either[k] = (a & b).sum(), (a | b).sum()
    return same / either


def ends_of(net: PortraitGeometry, ends: dict[str, np.ndarray]) -> dict[str, Any]:
    """By factor: mean change of each measure from the lowest to the highest value, in pixels."""
    found, truth = both(net, ends)
    grid = (-1, len(SWEPT), 2)
    by_net, by_truth = (
        f["measures"].unflatten(0, grid).diff(dim=2)[:, :, 0] for f in (found, truth)
    )
    kept = truth["seen"].unflatten(0, grid).all(dim=2)
    result: dict[str, Any] = {"people": len(by_net)}
    for j, factor in enumerate(SWEPT):
        result[factor] = {
            name: {
                "true": round(float(by_truth[:, j, k][kept[:, j, k]].mean()), 2),
                "net": round(float(by_net[:, j, k][kept[:, j, k]].mean()), 2),
                "rises": round(float((by_net[:, j, k][kept[:, j, k]] > 0).double().mean()), 3),
            }
            for k, name in enumerate(NAMES)
        }
    return result


def correlation(a: Tensor, b: Tensor) -> float:
    return round(float(torch.corrcoef(torch.stack([a, b]))[0, 1]), 3)


def rounded(values: Tensor) -> list[float]:
    return [round(float(v), 3) for v in values]


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True, help="folder of portraits.dataset.parts")
    p.add_argument("--out", type=Path, default=Path("hsem/data/portrait-geometry"))
    p.add_argument("--epochs", type=float, default=18)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=4e-3)
    p.add_argument("--seed", type=int, default=3)
    args = p.parse_args()
    prepare(args.out / WEIGHTS, "out")
    net = train(args.data, args.epochs, args.batch, args.lr, args.seed)
    net.save(args.out)
    print(json.dumps(net.metrics, indent=1))


if __name__ == "__main__":
    main()
