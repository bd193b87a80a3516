"""Can a machine tell two kinds of pictures apart? A small network, cross-fitted (SM G)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ..network.models import drawn_from
from .stability import Estimate, bootstrap

CHANNELS = (3, 16, 32, 64)
BATCH = 64
FLOAT: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
WHOLE: dict[str, Any] = {"dtype": torch.int64, "device": "cpu"}


@dataclass(frozen=True, eq=False)
class Detector:
    """Networks that were trained to tell `b` pictures from `a` pictures, and what they say.

    networks : one for each fold of the people
    a, b : (n,) and (m,), log-odds that a picture is of the second kind, each by the network
        that has not seen its person
    """

    networks: tuple[nn.Module, ...]
    a: Tensor
    b: Tensor

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Log-odds (n,) that pictures (n, 3, H, W) are of the second kind: mean over networks.

        For people that none of the networks has seen.
        """
        return torch.stack([_scores(net, images) for net in self.networks]).mean(dim=0)

    @property
    def accuracy(self) -> float:
        """Share of right answers, if both kinds are equally frequent."""
        return float((self.a < 0).double().mean() + (self.b > 0).double().mean()) / 2


def detector(
    a: Tensor, b: Tensor, *, paired: bool = True, folds: int = 2, epochs: int = 20, seed: int = 0
) -> Detector:
    """Train small networks to tell pictures `b` from pictures `a`; each is judged by another's.

    Parameters
    ----------
    a, b : (n, 3, H, W) and (m, 3, H, W) in [-1, 1], of one size
    paired : row k of both is the same person, so both stay in the same fold; nobody is in two
    folds : people are dealt into as many; a network is trained on all folds but one
    epochs : passes over the training pictures, mirrored at random
    seed : of the folds, the first weights and the order of pictures

    Raises
    ------
    ValueError
        If the pictures differ in size, pairs in number, or there are fewer than two a fold.
    """
    n, m = len(a), len(b)
    if a.ndim != 4 or a.shape[1:] != b.shape[1:] or (paired and n != m):
        raise ValueError(
            "a and b must be pictures (n, 3, H, W) of one size, and as many of each where they "
            f"are paired; got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if folds < 2 or min(n, m) < 2 * folds:
        raise ValueError(
            f"folds must be at least 2, with two people of each kind in a fold; got {folds=} for "
            f"{n} and {m} pictures"
        )
    a, b = (images.detach().to(**FLOAT) for images in (a, b))
    draw = torch.Generator().manual_seed(seed)
    at = [torch.randperm(size, generator=draw, **WHOLE) % folds for size in (n, m)]
    if paired:
        at[1] = at[0]
    networks, told = [], (torch.zeros(n, **FLOAT), torch.zeros(m, **FLOAT))
    for fold in range(folds):
        net = _trained(a[at[0] != fold], b[at[1] != fold], epochs, seed + fold)
        networks.append(net)
        for kind, where, scores in zip((a, b), at, told, strict=True):
            scores[where == fold] = _scores(net, kind[where == fold])
    return Detector(tuple(networks), *told)


def area(a: Tensor, b: Tensor) -> float:
    """Area under the ROC curve: how often a picture `b` gets the higher score; 0.5 is chance."""
    truth = [0] * len(a) + [1] * len(b)
    return float(roc_auc_score(truth, torch.cat([a, b]).double().numpy()))


def area_interval(a: Tensor, b: Tensor, *, repeats: int = 500) -> Estimate:
    """The area with its bootstrap interval over people, for scores (n,) of the same people."""
    return bootstrap(area, a, b, repeats=repeats)


def _trained(a: Tensor, b: Tensor, epochs: int, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    x = torch.cat([a, b])
    y = torch.cat([torch.zeros(len(a), **FLOAT), torch.ones(len(b), **FLOAT)])
    # both kinds weigh the same, however many there are of each
    weight = len(x) / 2 * torch.where(y > 0, y / len(b), (1 - y) / len(a))
    net = _network(seed)
    steps = epochs * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for k in torch.randperm(len(x), generator=draw, **WHOLE).split(BATCH):
            flip = torch.rand(len(k), generator=draw, **FLOAT)[:, None, None, None] < 0.5
            says = net(torch.where(flip, x[k].flip(-1), x[k]))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(says, y[k], weight[k])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return net.eval()


def _network(seed: int) -> nn.Module:
    with drawn_from(seed):
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(CHANNELS):
            layers += [nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()]
        head = [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * CHANNELS[-1], 1)]
        return nn.Sequential(*layers, *head)


@torch.no_grad()
def _scores(net: nn.Module, images: Tensor) -> Tensor:
    mirrored = [(net(x) + net(x.flip(-1)))[:, 0] / 2 for x in images.to(**FLOAT).split(256)]
    return torch.cat(mirrored)
