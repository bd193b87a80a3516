"""Random numbers, drawn where they are used: float32, on the device of the generator.

What a step draws depends on the seed of the run and on the number of the step alone, so a run that
was cut off goes on as if it had not been.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def seeded(generator: torch.Generator, seed: int, step: int) -> torch.Generator:
    """The generator, put where step `step` of a run with this seed begins to draw."""
    (word,) = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)
    return generator.manual_seed(int(word))


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Between 0 and 1."""
    device = generator.device
    return torch.rand(shape, generator=generator, dtype=torch.float32, device=device)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Mean 0, variance 1."""
    device = generator.device
    return torch.randn(shape, generator=generator, dtype=torch.float32, device=device)


def whole(generator: torch.Generator, below: int, n: int) -> Tensor:
    """n whole numbers below `below`."""
    device = generator.device
    return torch.randint(below, (n,), generator=generator, dtype=torch.int64, device=device)
