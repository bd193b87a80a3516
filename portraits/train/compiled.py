"""The network compiled, where that leaves its gradient as it was.

On a GPU this more than halves the time of a step. But torch 2.13 compiled this network on one of
our processors (no bfloat16) to something with the right loss and no gradient at all in three
quarters of the weights, and a run would not show it. So the two are compared first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from .data import draw_batch
from .draws import seeded, whole
from .levels import Inner, Level
from .loss import Network, half_precision, v_loss
from .settings import Settings

log = logging.getLogger("portraits.train")

Gradient = Sequence[Tensor | None]


def forward_of(net: Inner, level: Level, settings: Settings) -> Network:
    """The network as it is, or compiled; by default where bfloat16 is fast.

    Raises
    ------
    RuntimeError
        If `settings.compile` is true and the gradient of the compiled network is wrong.
    """
    device = next(net.parameters()).device
    if not (half_precision(device) if settings.compile is None else settings.compile):
        return net
    try:
        compiled = torch.compile(net, dynamic=False)
        ours, slow = _gradient(net, net, level, settings)
        theirs, fast = _gradient(compiled, net, level, settings)
    except Exception as error:  # a missing compiler, or one of the many ways in which one fails
        if settings.compile:
            raise
        log.warning("torch.compile fails here (%s): training without it", error)
        return net
    same, of = alike(ours, theirs)
    log.info(
        "compiled: %d of %d gradients as before, %.0f ms instead of %.0f forward and backward",
        same, of, 1e3 * fast, 1e3 * slow,
    )  # fmt: skip
    if same_gradient(ours, theirs):
        return compiled
    if settings.compile:
        raise RuntimeError(
            "compile=True: torch.compile gives this network a wrong gradient on this machine "
            f"({same} of {of} weights agree; torch {torch.__version__}, {device}); train with "
            "--no-compile"
        )
    log.warning("torch.compile gives a wrong gradient on this machine: training without it")
    return net


def alike(ours: Gradient, theirs: Gradient) -> tuple[int, int]:
    """How many weights have gradients of one direction (rounding may differ), and of how many."""
    cosines = [
        float(torch.cosine_similarity(a.flatten(), (0 * a if b is None else b).flatten(), dim=0))
        for a, b in zip(ours, theirs, strict=True)
        if a is not None and a.norm() > 0
    ]
    return sum(c > 0.9 for c in cosines), len(cosines)


def same_gradient(ours: Gradient, theirs: Gradient) -> bool:
    """Whether two gradients point the same way in nearly all weights.

    Not in all: the biases before a normalisation have none, and rounding gives them one.
    """
    same, of = alike(ours, theirs)
    return same >= 0.95 * of


def _gradient(
    net: Network, inner: Inner, level: Level, settings: Settings
) -> tuple[Gradient, float]:
    """The gradient of a batch of noise, and the seconds that it takes once all is compiled."""
    parameters = [p for _, p in inner.parameters_in_use()]
    device = parameters[0].device
    generator = seeded(torch.Generator(device), settings.seed, 0)
    images = whole(generator, 256, 256 * 3 * 64 * 64).view(256, 3, 64, 64).byte()
    batch = draw_batch(images, settings, generator)
    for _ in range(2):
        start = time.perf_counter()
        loss = v_loss(net, batch, level, settings.skip_exchange > 0).mean()
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
        float(sum(g.sum() for g in gradient if g is not None))  # waits for the device
    return gradient, time.perf_counter() - start
