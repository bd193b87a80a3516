"""The noise that the authors' code makes of a seed, for the seeds that they name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .sampling import checked_seeds


def official_noise(
    shape: tuple[int, ...], seeds: Sequence[int], steps: int
) -> tuple[Tensor, Tensor]:
    """x_T (b, 3, H, W) of generator `seed`, and z (b, T, 3, H, W) of generator `seed + 1`.

    For `hsem.sample(model, x_T=x_T, z=z)` with seeds that the authors publish. Do not use it for
    crowds: the first noise of a seed *is* the x_T of the next one, so neighbours are not
    independent. `hsem.draw_noise` has no such tie.

    Notes
    -----
    As we read their code, on the CPU; whether their pictures come out can be seen only with their
    weights.
    """
    seeds = checked_seeds(seeds)
    x_T, z = [], []
    for seed in seeds:
        first = torch.Generator().manual_seed(seed)
        second = torch.Generator().manual_seed(seed + 1)
        where = {"dtype": torch.float32, "device": "cpu"}
        x_T.append(torch.randn(shape, generator=first, **where))  # type: ignore[call-overload]
        z.append(torch.randn((steps, *shape), generator=second, **where))  # type: ignore[call-overload]
    return torch.stack(x_T), torch.stack(z)
