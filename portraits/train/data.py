"""Batches: pictures, noise levels, noise, and which skip connections lie.

The pictures lie on the device as bytes (30,000 portraits are 370 MB), and batches are built there:
nothing crosses over during a step.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..dataset.files import files_of, read_images
from .draws import normal, uniform, whole
from .levels import skip_dropout, skip_exchange
from .placement import draw_placement, place
from .settings import SCHEDULER, Settings


def load_images(data: Path, split: str = "train") -> Tensor:
    """All pictures of a split as uint8 (n, 3, 64, 64), from shards or packs."""
    return torch.from_numpy(read_images(data, split)).permute(0, 3, 1, 2).contiguous()


class Pictures:
    """The training portraits on a device: `images`, uint8 (n, 3, 64, 64)."""

    def __init__(self, data: Path, device: torch.device) -> None:
        self.data, self.device = data, device
        self._files: list[tuple[Path, int]] = []
        self.refresh()

    def refresh(self) -> None:
        """Read the files again if they have changed: the renderer may have drawn more."""
        files = [(path, path.stat().st_mtime_ns) for path in files_of(self.data, "train")]
        if files != self._files:
            self.images = load_images(self.data).to(self.device)
            self._files = files


class Batch(NamedTuple):
    """What the network is trained on in one step; x0 is in [-1, 1]."""

    x0: Tensor
    t: Tensor
    noise: Tensor
    keep: Tensor | None  # (n, levels), zero where a skip connection is cut or exchanged


def draw_batch(images: Tensor, settings: Settings, generator: torch.Generator) -> Batch:
    """A batch drawn on the device of `images` and of `generator`.

    Each picture is mirrored with probability one half. A mirrored head is a head with the opposite
    yaw, roll and light, all of which the data set draws symmetrically, so mirroring doubles the
    data without changing its distribution. In a `loose` run it is then shifted, turned and scaled.
    If skip connections are to be exchanged, pictures 2i and 2i + 1 are a pair, which differs in its
    pictures and not in its noise.
    """
    n = settings.batch
    x = images[whole(generator, len(images), n)].float() / 127.5 - 1
    mirrored = uniform(generator, n) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    x = place(x, draw_placement(n, generator)) if settings.loose else x
    x = nn.functional.avg_pool2d(x, 2**settings.level) if settings.level else x
    each = 2 if settings.skip_exchange else 1
    t = draw_timesteps(n // each, generator, settings.noise_levels, settings.level)
    noise = normal(generator, n // each, *x.shape[1:])
    t, noise = t.repeat_interleave(each), noise.repeat_interleave(each, 0)
    return Batch(x, t, noise, draw_skips(settings, generator))


def draw_timesteps(
    n: int, generator: torch.Generator, shape: tuple[float, ...], level: int = 0
) -> Tensor:
    """Timesteps (n,): a share uniform, the others towards the noisy side, where a face forms.

    An untrained network is a local filter: good at low noise within minutes, and blind to the
    layout that only a global view of a very noisy picture gives. That is what takes the time.
    `shape` is the share of uniform ones, then centre and width of the others before a sigmoid.
    At an inner level a picture is less noisy than its timestep says, so the draw is made in the
    angle u of the small picture, tan(pi u / 2) = sigma / alpha there, and carried back.
    """
    share, centre, width = shape
    even = uniform(generator, n)
    noisy = torch.sigmoid(centre + width * normal(generator, n))
    u = torch.where(uniform(generator, n) < share, even, noisy)
    if level:
        u = 2 / math.pi * torch.atan(2**level * torch.tan(math.pi / 2 * u))
    steps = SCHEDULER["num_train_timesteps"]
    return (u * steps).long().clamp(max=steps - 1)


def draw_skips(settings: Settings, generator: torch.Generator) -> Tensor | None:
    """Which skip connections to keep, (n, levels); None for all."""
    n, levels = settings.batch, len(settings.channels)
    if settings.skip_dropout:
        return skip_dropout(n, levels, settings.skip_dropout, generator, settings.level + 1)
    if settings.skip_exchange:
        return skip_exchange(n, levels, settings.skip_exchange, generator)
    return None
