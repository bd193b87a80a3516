"""Train the attribute classifier on rendered portraits.

    python -m portraits.train.classifier --data DATA --out hsem/data/portrait-classifier
    python -m portraits.train.classifier --data DATA --out hsem/data/portrait-classifier-2 \
        --kind residual --seed 2 --first 15000 --epochs 8    # the second judge
    python -m portraits.train.classifier --data DATA --out JUDGE --loose \
        --init hsem/data/portrait-classifier                 # one that reads moved portraits

Numbers are standardised and fitted by least squares, yes-or-no attributes by cross-entropy; their
temperature is then set on one half of the held-out portraits and everything is measured on the
other. Pictures are mirrored, blurred, made noisy and slightly darker or brighter on the way in,
because the classifier will judge samples of a diffusion model, not renders. With `--loose` they are
moved first, and where to is read, too: shift, turn and scale become attributes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import r2_score, roc_auc_score
from torch import Tensor, nn
from tqdm.auto import tqdm

from hsem import classifier
from hsem.files import prepare
from hsem.judges.classifier import Attribute, PortraitClassifier
from hsem.judges.stored import WEIGHTS

from ..dataset.files import read_labels
from .data import load_images
from .draws import normal, uniform, whole
from .loss import half_precision, layout
from .placement import PLACEMENT, draw_placement, place

# Order of the columns in the shards, as the renderer writes them.
COLUMNS = [
    "yaw",
    "pitch",
    "roll",
    "gender",
    "age",
    "weight",
    "african",
    "asian",
    "caucasian",
    "skin_tone",
    "smile",
    "mouth_open",
    "eye_open",
    "brow_raise",
    "gaze_x",
    "gaze_y",
    "glasses",
    "glasses_shape",
    "sunglasses",
    "hat",
    "hat_type",
    "hair_style",
    "hair_lightness",
    "hair_red",
    "hair_grey",
    "hair_r",
    "hair_g",
    "hair_b",
    "light_azimuth",
    "light_elevation",
    "light_ambient",
    "bg_r",
    "bg_g",
    "bg_b",
    "makeup",
    "cloth",
    "beard",
]
LONG_STYLES = (5, 6, 7, 8)  # bob, long, ponytail, braid
Rule = Callable[[np.ndarray], np.ndarray]


def _column(name: str) -> Rule:
    return lambda labels: labels[:, COLUMNS.index(name)]


TARGETS: dict[str, tuple[str, bool, Rule]] = {
    **{n: ("degrees", False, _column(n)) for n in ("yaw", "pitch", "roll")},
    "age": ("years", False, _column("age")),
    **{
        n: ("", False, _column(n))
        for n in ("gender", "skin_tone", "smile", "mouth_open", "eye_open", "brow_raise")
        + ("beard", "makeup", "hair_lightness", "hair_grey")
    },
    **{n: ("degrees", False, _column(n)) for n in ("light_azimuth", "light_elevation")},
    "light_ambient": ("", False, _column("light_ambient")),
    "background": (
        "",
        False,
        lambda labels: labels[:, [COLUMNS.index(f"bg_{c}") for c in "rgb"]].mean(1),
    ),
    **{n: ("probability", True, _column(n)) for n in ("glasses", "sunglasses", "hat")},
    "long_hair": (
        "probability",
        True,
        lambda labels: np.isin(labels[:, COLUMNS.index("hair_style")], LONG_STYLES) * 1.0,
    ),
}
HELD_SEED = 7  # of the placements of the held-out portraits
MIRRORED = ("yaw", "roll", "light_azimuth")  # change sign when the picture is mirrored


def load_targets(data: Path, split: str) -> Tensor:
    """Targets (n, k) in natural units, from shards or packs."""
    labels = read_labels(data, split)
    columns = [rule(labels) for _, _, rule in TARGETS.values()]
    return torch.from_numpy(np.stack(columns, 1)).float()


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blur some pictures, add noise to some, change brightness and contrast a little."""
    n = len(x)
    blurred = nn.functional.avg_pool2d(nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = (uniform(generator, n, 1, 1, 1) - 0.4).clamp(min=0)
    x = torch.lerp(x, blurred, share)
    sigma = 0.08 * (uniform(generator, n, 1, 1, 1) - 0.3).clamp(min=0)
    x = x + sigma * normal(generator, *x.shape)
    gain = 1 + 0.03 * normal(generator, n, 1, 1, 1)
    return x * gain + 0.02 * normal(generator, n, 1, 1, 1)


def train(
    data: Path,
    epochs: float,
    batch: int,
    lr: float,
    seed: int,
    init: Path | None = None,
    *,
    kind: str = "plain",
    first: int = 0,
    loose: bool = False,
) -> PortraitClassifier:
    """Train on the training portraits from number `first` on, moved at random if `loose`."""
    images, targets = load_images(data)[first:], load_targets(data, "train")[first:]
    held_images, held = load_images(data, "held").float() / 127.5 - 1, load_targets(data, "held")
    rules = {name: (unit, binary) for name, (unit, binary, _) in TARGETS.items()}
    if loose:
        placement = draw_placement(len(held), torch.Generator().manual_seed(HELD_SEED))
        held_images, held = place(held_images, placement), torch.cat([held, placement], 1)
        rules |= dict.fromkeys(PLACEMENT, ("", False)) | {"turn": ("degrees", False)}
    attributes = tuple(
        Attribute(n, unit, float(held[:, k].mean()), float(held[:, k].std()), binary)
        for k, (n, (unit, binary)) in enumerate(rules.items())
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PortraitClassifier(attributes, kind=kind)
    if init:
        net.load_state_dict(begun(net, classifier.load(init)))
        net.train().requires_grad_(True)
    binary = torch.tensor([a.binary for a in attributes], dtype=torch.bool, device="cpu")
    mean = targets.new_tensor([a.mean for a in attributes])
    spread = targets.new_tensor([a.spread for a in attributes])
    # mirroring maps v to -v: in standardised units (v - mean) / spread to (-v - mean) / spread
    sign = targets.new_tensor([-1.0 if name in MIRRORED else 1.0 for name in TARGETS])
    generator = torch.Generator().manual_seed(seed)
    opt = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.02)
    steps = int(epochs * len(images) / batch)
    for step in tqdm(range(steps), desc="classifier"):
        for group in opt.param_groups:
            group["lr"] = (
                lr * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        index = whole(generator, len(images), batch)
        flip = uniform(generator, batch) < 0.5
        x = images[index].float() / 127.5 - 1
        x = torch.where(flip[:, None, None, None], x.flip(-1), x)
        y = torch.where(flip[:, None], targets[index] * sign, targets[index])
        if loose:
            placement = draw_placement(batch, generator)
            x, y = place(x, placement), torch.cat([y, placement], 1)
        x, y = augment(x, generator), torch.where(binary, y, (y - mean) / spread)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half_precision(x.device)):
            out = net.raw(x.contiguous(memory_format=layout(x.device)))
        out = out.float()
        squared = (out - y)[:, ~binary].pow(2).mean()
        crossed = nn.functional.binary_cross_entropy_with_logits(out[:, binary], y[:, binary])
        loss = squared + crossed
        opt.zero_grad()
        loss.backward()
        opt.step()
    net.eval().requires_grad_(False)
    return measured(net, held_images, held)


def begun(net: PortraitClassifier, init: PortraitClassifier) -> dict[str, Tensor]:
    """The weights of `init`; attributes that it does not know begin as in `net`."""
    weights, own = init.state_dict(), net.state_dict()
    return {k: torch.cat([v, own[k][len(v) :]]) if v.ndim else v for k, v in weights.items()}


@torch.no_grad()
def measured(net: PortraitClassifier, images: Tensor, targets: Tensor) -> PortraitClassifier:
    """Calibrate on the first half of the held-out portraits, measure on the second."""
    raw = torch.cat([net.raw(images[k : k + 256]) for k in range(0, len(images), 256)])
    half = len(images) // 2
    attributes, metrics = [], {}
    for k, a in enumerate(net.attributes):
        truth = targets[:, k]
        if not a.binary:
            attributes.append(a)
            value = raw[half:, k] * a.spread + a.mean
            metrics[a.name] = {"R2": round(float(r2_score(truth[half:], value)), 3)}
            continue
        grid = torch.logspace(-1, 1, 81, dtype=raw.dtype, device=raw.device)
        losses = [
            nn.functional.binary_cross_entropy_with_logits(raw[:half, k] / t, truth[:half])
            for t in grid
        ]
        temperature = float(grid[int(torch.stack(losses).argmin())])
        attributes.append(Attribute(a.name, a.unit, a.mean, a.spread, True, temperature))
        p = torch.sigmoid(raw[half:, k] / temperature)
        metrics[a.name] = {
            "AUC": round(float(roc_auc_score(truth[half:], p)), 4),
            "calibration_error": round(calibration_error(p, truth[half:]), 3),
        }
    best = PortraitClassifier(tuple(attributes), net.width, metrics, net.kind)
    best.load_state_dict(net.state_dict())
    return best.eval()


def calibration_error(p: Tensor, truth: Tensor, bins: int = 10) -> float:
    """Expected calibration error: mean gap between confidence and frequency over equal bins."""
    which = (p * bins).long().clamp(max=bins - 1)
    gaps = [
        float((which == b).float().mean() * (p[which == b].mean() - truth[which == b].mean()).abs())
        for b in range(bins)
        if (which == b).any()
    ]
    return sum(gaps)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("hsem/data/portrait-classifier"))
    p.add_argument("--epochs", type=float, default=6)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--init", type=Path, help="folder of a classifier to go on from")
    p.add_argument("--kind", choices=classifier.KINDS, default="plain")
    p.add_argument("--first", type=int, default=0, help="training portraits to leave out, in front")
    p.add_argument("--loose", action="store_true", help="move the portraits, and read where to")
    args = p.parse_args()
    prepare(args.out / WEIGHTS, "out")
    net = train(
        args.data, args.epochs, args.batch, args.lr, args.seed, args.init,
        kind=args.kind, first=args.first, loose=args.loose,
    )  # fmt: skip
    net.save(args.out)
    print(json.dumps(net.metrics, indent=1))


if __name__ == "__main__":
    main()
