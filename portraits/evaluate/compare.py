"""How much of a face does h carry? The same three measurements for several trained networks.

    python -m portraits.evaluate.compare --data DATA --out comparison.json RUN_A RUN_B ...

RUN is a folder of `portraits.train` at any level, so architectures can be compared on 16x16
pictures, where a network learns faces in minutes. For each network, attribute by attribute:

- **swap**: two samples S1, S2 and S1 drawn once more with the h of S2 put in at every step. The
  share of their difference that follows h, by least squares; `control` pairs S1 with a stranger.
- **decode**: how well a linear map reads the true label off h of a noisy held-out portrait (R2 on
  portraits that it was not fitted to).
- **effect**: the difference between the mean h of portraits with high and with low labels, used as
  a direction on samples: how far it moves the attribute from end to end, in standard deviations.

The attributes of 64x64 pictures are read by the classifier of the package, those of smaller ones by
a small network that is trained here; what cannot be read well from held-out portraits is left out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn
from tqdm.auto import tqdm

import hsem
from hsem.files import check_writable, replacing

from ..train.checkpoint import read_checkpoint, under
from ..train.classifier import MIRRORED, TARGETS, load_targets
from ..train.data import load_images
from ..train.draws import normal, uniform, whole
from ..train.levels import Inner, Level, level_noise
from ..train.settings import SCHEDULER

STEPS = 20
READABLE = 0.6  # squared correlation of the reading and the truth on held-out portraits
NAMES = list(TARGETS)
Edit = Callable[[int, Tensor], Tensor]
Reader = Callable[[Tensor], Tensor]


def load_run(folder: Path) -> Inner:
    """The running average of a run, at the level that it has reached."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors, meta = read_checkpoint(folder)
    net = Inner(UNet2DModel(**config["unet"]), meta["level"])
    net.load_state_dict(under(tensors, "ema."))
    return net.eval().requires_grad_(False)


@contextmanager
def at_h(net: Inner, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the middle block's output through `edit`."""
    hook = net.unet.mid_block.register_forward_hook(lambda _m, _a, h: edit(h))
    try:
        yield
    finally:
        hook.remove()


def noises(seeds: range, side: int) -> Tensor:
    """Noise (n, STEPS + 1, 3, side, side), each sample from a generator of its own."""
    own = (torch.Generator().manual_seed(s) for s in seeds)
    return torch.stack([normal(g, STEPS + 1, 3, side, side) for g in own])


def times_of(alpha_bar: Tensor) -> Tensor:
    """Timesteps (STEPS + 1,) from the noisiest to 0."""
    where: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    return torch.linspace(len(alpha_bar) - 1, 0, STEPS + 1, **where).long()


@torch.no_grad()
def draw(net: Inner, level: Level, alpha_bar: Tensor, z: Tensor, edit: Edit) -> Tensor:
    """Samples (n, 3, s, s) at eta = 1; `edit(i, h)` sees h at every step."""
    times = times_of(alpha_bar)
    x = level.sigma[times[0]] * z[:, 0]
    x0 = x
    for i, (now, then) in enumerate(pairwise(times)):
        t = now.expand(len(x))
        with at_h(net, partial(edit, i)):
            v = net(x, t)
        x0, noise = level.split(x, v, t)
        fresh = ((1 - alpha_bar[then]) / (1 - alpha_bar[now])).sqrt() * (
            1 - alpha_bar[now] / alpha_bar[then]
        ).sqrt()  # sigma of eq. 2 over sqrt(1 - alpha_bar), the noise that eta = 1 renews
        fresh = fresh / (1 - alpha_bar[then]).sqrt()
        noise = (1 - fresh**2).clamp(min=0).sqrt() * noise + fresh * z[:, i + 1]
        x = level.noisy(x0, noise, then.expand(len(x)))
    return x0.clamp(-1, 1)


def reader(images: Tensor, targets: Tensor, epochs: int = 6, seed: int = 0) -> nn.Module:
    """A small network from pictures (n, 3, s, s) to standardised targets."""
    mean, spread = targets.mean(0), targets.std(0)
    sign = mean.new_tensor([-1.0 if n in MIRRORED else 1.0 for n in NAMES])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        strides = (1, 2, 2) if images.shape[-1] == 16 else (2, 2, 2)
        for (i, o), stride in zip(((3, 32), (32, 64), (64, 96)), strides, strict=True):
            layers += [nn.Conv2d(i, o, 3, stride, 1), nn.BatchNorm2d(o), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96 * 16, 256), nn.ReLU()]
        net = nn.Sequential(*layers, nn.Linear(256, len(NAMES)))
    g = torch.Generator().manual_seed(seed)
    opt = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.02)
    steps = epochs * len(images) // 64
    for step in tqdm(range(steps), desc="reader", leave=False):
        opt.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * step / steps))
        k = whole(g, len(images), 64)
        flip = uniform(g, 64) < 0.5
        x = torch.where(flip[:, None, None, None], images[k].flip(-1), images[k])
        x = x + 0.03 * normal(g, *x.shape)
        y = torch.where(flip[:, None], targets[k] * sign, targets[k])
        loss = (net(x) - (y - mean) / spread).pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return net.eval().requires_grad_(False)


def r2(truth: Tensor, guess: Tensor) -> Tensor:
    """Share of each column's variance explained."""
    return 1 - (truth - guess).pow(2).mean(0) / truth.var(0, unbiased=False)


def follows(child: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Per attribute, b of child - own = b (other - own), by least squares."""
    d = other - own
    return (d * (child - own)).sum(0) / d.pow(2).sum(0)


def swap(net: Inner, level: Level, alpha_bar: Tensor, read: Reader, n: int) -> dict:
    side = net.unet.config.sample_size // 2**net.level
    z1, z2 = noises(range(n), side), noises(range(10_000, 10_000 + n), side)
    kept: list[Tensor] = []

    def keep(_i: int, h: Tensor) -> Tensor:
        kept.append(h)
        return h

    second = draw(net, level, alpha_bar, z2, keep)
    first = draw(net, level, alpha_bar, z1, lambda _i, h: h)
    child = draw(net, level, alpha_bar, z1, lambda i, _h: kept[i])
    a, b, c = read(first), read(second), read(child)
    return {
        "swap": follows(c, a, b),
        "control": follows(c, a, b.roll(1, 0)),
        "spread": torch.cat([a, b]).std(0),
    }


@torch.no_grad()
def encode(net: Inner, level: Level, images: Tensor, t: int, seed: int) -> Tensor:
    """h (n, C, h, w) of pictures made noisy to step t."""
    g, found = torch.Generator().manual_seed(seed), list[Tensor]()

    def keep(h: Tensor) -> Tensor:
        found.append(h)
        return h

    for x in images.split(100):
        when = torch.full((len(x),), t, dtype=torch.int64, device=x.device)
        noise = normal(g, *x.shape)
        with at_h(net, keep):
            net(level.noisy(x, noise, when), when)
    return torch.cat(found)


def decode(net: Inner, level: Level, images: Tensor, targets: Tensor) -> Tensor:
    """R2 of ridge regression on h at t = 500, the strength chosen on a third part."""
    h = encode(net, level, images, 500, 1).flatten(1).double()
    n = len(h) // 2
    a, b, c = slice(0, n), slice(n, n + n // 2), slice(n + n // 2, len(h))
    y = targets.double()
    mean, middle = h[a].mean(0), y[a].mean(0)
    h = (h - mean) / h[a].std(0).clamp(min=1e-6)
    gram = h[a] @ h[a].T
    best = y.new_full((y.shape[1],), -torch.inf)
    result = best.clone()
    for strength in (1e1, 1e2, 1e3, 1e4, 1e5, 1e6):
        eye = torch.eye(n, dtype=y.dtype, device=y.device)
        w = h[a].T @ torch.linalg.solve(gram + strength * eye, y[a] - middle)
        chosen, final = r2(y[b], h[b] @ w + middle), r2(y[c], h[c] @ w + middle)
        result = torch.where(chosen > best, final, result)
        best = torch.maximum(best, chosen)
    return result.float()


def _push(delta: Tensor, i: int, h: Tensor) -> Tensor:
    return h + delta[i]


def effect(
    net: Inner, level: Level, alpha_bar: Tensor, read: Reader,
    images: Tensor, targets: Tensor, n: int,
) -> Tensor:  # fmt: skip
    """Standard deviations moved from -1 to +1 times the difference of means."""
    side = net.unet.config.sample_size // 2**net.level
    times = times_of(alpha_bar)[:-1]
    h = torch.stack([encode(net, level, images, int(t), 2) for t in times])  # (T, m, C, h, w)
    z, m = noises(range(20_000, 20_000 + n), side), len(images) // 10
    moved = targets.new_zeros(len(NAMES))
    for k in range(len(NAMES)):
        order = targets[:, k].argsort()
        delta = h[:, order[-m:]].mean(1) - h[:, order[:m]].mean(1)
        ends = [
            read(draw(net, level, alpha_bar, z, partial(_push, s * delta)))[:, k] for s in (-1, 1)
        ]
        moved[k] = (ends[1] - ends[0]).mean()
    return moved


def compare(
    folder: Path, data: dict[int, Any], pairs: int, people: int, only: str = ""
) -> dict[str, Any]:
    net = load_run(folder)
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod
    level = level_noise(alpha_bar, net.level)
    images, targets, read, readable = data[net.level]
    found = swap(net, level, alpha_bar, read, pairs)
    if only != "swap":
        some = slice(0, 800)
        found["decode"] = decode(net, level, images, targets)
        found["effect"] = effect(net, level, alpha_bar, read, images[some], targets[some], people)
    h = encode(net, level, images[:1], 500, 0)
    _, meta = read_checkpoint(folder)
    args = json.loads((folder / "config.json").read_text(encoding="utf-8"))["args"]
    return {
        "run": folder.name,
        "level": net.level,
        "h": list(h.shape[1:]),
        "parameters": sum(p.numel() for p in net.unet.parameters()),
        "pictures": meta["seen"],
        "attention": args["attention"],
        "skip_dropout": args.get("skip_dropout", 0.0),
        "skip_exchange": args.get("skip_exchange", 0.0),
        **{
            name: {NAMES[k]: round(value[k].item(), 3) for k in readable.nonzero()[:, 0].tolist()}
            for name, value in found.items()
        },
    }


def prepared(folder: Path, level: int) -> tuple[Tensor, Tensor, Reader, Tensor]:
    """Held-out pictures of a level, their labels, the reader, and what it reads well."""

    def small(split: str) -> Tensor:
        chunks = load_images(folder, split).split(1000)
        pool = nn.functional.avg_pool2d
        return torch.cat([pool(x.float() / 127.5 - 1, 2**level) for x in chunks])

    images, targets = small("held"), load_targets(folder, "held")
    mean, spread = targets.mean(0), targets.std(0)
    if level:
        read: Reader = reader(small("train"), load_targets(folder, "train"))
    else:
        read = hsem.classifier.load().raw
    found = torch.cat([read(x) for x in images.split(500)])
    middle, width = found.mean(0), found.std(0)  # a logit has no unit: that of held-out portraits
    quality = torch.corrcoef(torch.cat([targets, found], 1).T).diagonal(len(NAMES)).square()
    targets = (targets - mean) / spread
    return images, targets, lambda x: (read(x) - middle) / width, quality >= READABLE


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Tables for the model card: one row a run, one column an attribute."""
    lines = []
    for what in (w for w in ("swap", "control", "decode", "effect") if w in rows[0]):
        names = [n for n in NAMES if all(n in row[what] for row in rows)]
        lines += ["", f"| {what} | h | pictures | " + " | ".join(names) + " | mean |"]
        lines += ["|:--|:--|--:" + "|--:" * (len(names) + 1) + "|"]
        for row in rows:
            values = [abs(row[what][n]) if what == "effect" else row[what][n] for n in names]
            cells = [f"{v:.2f}" for v in [*values, sum(values) / len(values)]]
            size = " × ".join(map(str, row["h"]))
            lines.append(f"| {row['run']} | {size} | {row['pictures']:,} | {' | '.join(cells)} |")
    return "\n".join(lines[1:])


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--pairs", type=int, default=100)
    p.add_argument("--people", type=int, default=24)
    p.add_argument("--only", choices=("swap",), default="", help="the quickest of the three")
    p.add_argument("runs", type=Path, nargs="+")
    args = p.parse_args()
    check_writable(args.out, "out")
    levels = sorted({read_checkpoint(run)[1]["level"] for run in args.runs})
    data = {level: prepared(args.data, level) for level in levels}
    rows = [
        compare(r, data, args.pairs, args.people, args.only) for r in tqdm(args.runs, desc="runs")
    ]
    with replacing(args.out, "out") as part:
        part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
