"""Sheets of samples during training, from fixed seeds, so that they can be compared."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image

from hsem.files import replacing

from .checkpoint import Run
from .draws import normal
from .levels import Inner, level_noise
from .loss import placed, predict
from .settings import SCHEDULER


def save_sheet(run: Run) -> None:
    """Draw samples with the average of the weights, and leave them in the run's folder."""
    with torch.random.fork_rng(devices=[]):
        average = Inner(UNet2DModel(**run.config), run.net.level)
    average.load_state_dict(run.ema)
    sample_grid(placed(average, run.device).eval(), run.out / f"grid_{run.step:07d}.png")


@torch.no_grad()
def sample_grid(net: Inner, path: Path, n: int = 24, steps: int = 25) -> None:
    """Deterministic (DDIM, eta 0) samples of seeds 0 to n - 1."""
    device, side = next(net.parameters()).device, net.unet.config.sample_size // 2**net.level
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod.to(device)
    level = level_noise(alpha_bar, net.level)
    where: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    times = torch.linspace(len(alpha_bar) - 1, 0, steps + 1, **where).long().to(device)
    seeds = [torch.Generator("cpu").manual_seed(s) for s in range(n)]
    noise = torch.stack([normal(g, 3, side, side) for g in seeds]).to(device)
    x = level.sigma[-1] * noise
    for now, then in pairwise(times):
        t = now.expand(n)
        x0, noise = level.split(x, predict(net, x, t), t)
        x = level.noisy(x0, noise, then.expand(n))
    pictures = ((x0.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(pictures[r : r + 8]), 1) for r in range(0, n, 8)]
    sheet = Image.fromarray(np.concatenate(rows, 0))
    with replacing(path) as part:
        sheet.resize((8 * 128, n // 8 * 128), Image.Resampling.NEAREST).save(part, "PNG")
