"""Results for "h-space" and "Does h matter by itself?": whose attributes follow a swapped h.

    python -m hsem.recipes.swap                            # default model and its twin
    python -m hsem.recipes.swap --also "300k=runs/early"   # and other weights, by a label
    python -m hsem.recipes.swap --model FOLDER --output swap-mine.safetensors   # one other model

What the file holds of the same weights is kept, and so is what it holds of weights that are not
named: earlier points of the training need not be at hand. Parts that an older version of this
recipe did not measure are added.

Two portraits are drawn, S1 and S2. Then S1 is drawn again with its own noise and the h of S2 at
every step (Fig. 2a), and the other way round. Controls: the same h with its channels in another
order, and a random h of equal norm at each step; and as the stricter one a stranger's h, which is
as good an h as that of S2, scaled to the norm of S2's at each step. Then the h of S2 is given in
one quarter of the steps only. Stored are scores, in standard deviations of held-out portraits,
which the chapters turn into shares, and pictures of the first pairs. About 21,000 runs of the
network for each model with a hundred pairs (16,000 for those named with `--also`: no quarters).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hsem
from hsem import results

from . import command
from .parts import FLOAT, WHOLE, Parts, drawn, finish
from .reference import Judge, judges_of

STEPS, ETA, SECOND = 20, 0.0, 500_000  # SECOND: seed of the first S2
QUARTERS, TIMED, SHOWN = 4, 64, 5  # pairs whose h is swapped by quarters; pairs with pictures
MEASURED_BY = "the second judge"
TWIN = "portraits-64-obeys"
MORE = ("stranger", "quarters", "pictures")
PACKAGED = ("ordinary", "obeys")  # labels of those whose h is swapped by quarters
SMALL = {"n": 12}


def shuffled_channels(h_seq: Tensor, seed: int) -> Tensor:
    """The same values in other channels: norm and layout in space stay, the meaning goes."""
    order = torch.randperm(h_seq.shape[2], generator=torch.Generator().manual_seed(seed), **WHOLE)
    return h_seq[:, :, order]


def like_in_norm(h_seq: Tensor, seed: int) -> Tensor:
    """Gaussian noise with the norm of each h."""
    noise = torch.randn(h_seq.shape, generator=torch.Generator().manual_seed(seed), **FLOAT)
    return to_norm_of(noise, h_seq)


def to_norm_of(h_seq: Tensor, like: Tensor) -> Tensor:
    """h scaled, for each person and step, to the norm of another."""
    axes = (2, 3, 4)
    norm = torch.linalg.vector_norm
    return h_seq * norm(like, dim=axes, keepdim=True) / norm(h_seq, dim=axes, keepdim=True)


def quarter(k: int) -> range:
    """Steps of the k-th quarter."""
    return range(STEPS * k // QUARTERS, STEPS * (k + 1) // QUARTERS)


def swaps(model: hsem.HSpaceUNet, judge: Judge, n: int) -> Tensor:
    """Scores (6, n, attributes): S1, S2, S1 with h of S2, S2 with h of S1, and two controls."""
    one, two = range(n), range(SECOND, SECOND + n)
    s1, s2 = (hsem.sample(model, seeds=seeds, steps=STEPS, eta=ETA) for seeds in (one, two))
    assert s1.h_seq is not None and s2.h_seq is not None
    edits = (
        (one, s2.h_seq),
        (two, s1.h_seq),
        (one, shuffled_channels(s2.h_seq, 0)),
        (one, like_in_norm(s2.h_seq, 0)),
    )
    images = [s1.images, s2.images]
    images += [drawn(model, who, edit=hsem.swap(h), steps=STEPS, eta=ETA) for who, h in edits]
    return torch.stack([judge(x.clamp(-1, 1)) / judge.spread for x in images])


def more(model: hsem.HSpaceUNet, judge: Judge, n: int, timed: int = TIMED) -> dict[str, Tensor]:
    """What is measured with the h of the same S2.

    stranger : (n, attributes), S1 with the h of the S2 of the *next* pair, at the norm of its own
    quarters : (4, m, attributes), S1 of the first m pairs with the h of S2 in one quarter of steps;
        only if any are `timed`
    pictures : (3, few, 3, H, W) bytes, S1, S2, and S1 with the h of S2
    """
    one, m, few = range(n), min(n, timed), min(n, SHOWN)
    common: dict[str, Any] = {"steps": STEPS, "eta": ETA, "progress": False}
    s2 = hsem.sample(model, seeds=range(SECOND, SECOND + n), **common)
    h2 = s2.h_seq
    assert h2 is not None

    def shows(seeds: range, edit: hsem.Edit | None = None) -> Tensor:
        return drawn(model, seeds, edit=edit, steps=STEPS, eta=ETA).clamp(-1, 1)

    strange = to_norm_of(h2.roll(-1, 0), h2)
    shown = [shows(one[:few]), s2.images[:few], shows(one[:few], hsem.swap(h2[:few]))]
    pictures = ((torch.stack(shown).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    found = {"stranger": judge(shows(one, hsem.swap(strange))) / judge.spread, "pictures": pictures}
    if m:
        edits = (hsem.only_at(hsem.swap(h2[:m]), quarter(k)) for k in range(QUARTERS))
        found["quarters"] = torch.stack([judge(shows(one[:m], e)) / judge.spread for e in edits])
    return found


def stored(output: str, **asked: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What an earlier run with the same settings measured, and of which weights, by label."""
    try:
        found = results.load(output, check=False)
    except (OSError, ValueError):
        return {}, {}
    asked["measured_by"] = MEASURED_BY
    if any(found.provenance.get(key) != value for key, value in asked.items()):
        return {}, {}
    return dict(found.tensors), dict(found.provenance["fingerprints"])


def networks(
    args: argparse.Namespace, model: hsem.HSpaceUNet
) -> Iterator[tuple[str, hsem.HSpaceUNet]]:
    """The model ("ordinary"), its twin ("obeys") if it has one, and those that `--also` names."""
    yield "ordinary", model
    others = {"obeys": TWIN} if model.name == "portraits-64" else {}
    for label, source in (others | dict(pair.split("=", 1) for pair in args.also)).items():
        yield label, hsem.load(source, device=model.device, dtype=model.dtype)


def parser() -> argparse.ArgumentParser:
    return command.parser(__doc__, n=(100, "pairs"), also=([], "LABEL=FOLDER of more models"))


def runs(args: argparse.Namespace) -> int:
    """How often the networks run."""
    each = 8 * args.n + 2 * min(args.n, SHOWN)
    return int(STEPS * (each * (1 + len(args.also)) + QUARTERS * min(args.n, TIMED)))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """Scores of the model ("ordinary"), of its twin if it has one, and of others by a label."""
    kept: list[Parts] = []
    before, prints_before = stored(args.output, n=args.n)
    tensors, prints = dict(before), dict(prints_before)
    for label, one in networks(args, model):
        judge = judges_of(one)[1]
        prints[label] = one.fingerprint
        parts = Parts(args.output, one, n=args.n, steps=STEPS, eta=ETA, second=SECOND)
        same = prints_before.get(label) == one.fingerprint
        if not same:
            tensors[label] = parts("scores", lambda m=one, j=judge: swaps(m, j, args.n))  # type: ignore[misc]
        timed = TIMED if label in PACKAGED else 0
        keys = {f"{label}/{key}" for key in MORE if timed or key != "quarters"}
        if not same or not keys <= tensors.keys():
            found = parts.tensors("more", lambda m=one, j=judge, t=timed: more(m, j, args.n, t))  # type: ignore[misc]
            tensors |= {f"{label}/{key}": value for key, value in found.items()}
        kept.append(parts)
    return finish(
        "swap", args, model, tensors, kept, columns=list(judge.names), fingerprints=prints,
        rows=["S1", "S2", "S1 with h of S2", "S2 with h of S1", "channels shuffled", "noise"],
        n=args.n, measured_by=MEASURED_BY, steps=STEPS, eta=ETA, first_seeds=[0, SECOND],
    )  # fmt: skip


if __name__ == "__main__":
    command.run(__name__)
