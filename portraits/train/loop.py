"""Training: steps that never wait for the device, and a checkpoint at least once a minute."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import nn
from tqdm.auto import tqdm

from .checkpoint import Run
from .compiled import forward_of
from .data import Batch, Pictures, draw_batch
from .draws import seeded
from .levels import Level, level_noise
from .loss import Network, v_loss
from .settings import SCHEDULER, Settings
from .sheet import save_sheet

log = logging.getLogger("portraits.train")

BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
SAVE_SECONDS = 45  # a borrowed machine can go away: this is what is lost


def train(settings: Settings) -> Run:
    """Carry out one phase of the run in `settings.out`, or what is left of it."""
    run = Run(settings)
    pictures = Pictures(settings.data, run.device)
    level = level_noise(DDPMScheduler(**SCHEDULER).alphas_cumprod.to(run.device), settings.level)
    net = forward_of(run.net, level, settings)
    generator = torch.Generator(run.device)
    phase, now = run.phase, time.monotonic()
    saved, marked = now, (now, run.seen)
    bar = tqdm(total=1.0, desc="training", disable=settings.quiet, bar_format=BAR)
    while (done := phase.progress(run.step)) < 1:
        bar.update(done - bar.n)
        share = phase.plan[2]
        if share and 1 - done <= share and not phase.cooling:
            run.save_before_cooling()
        seeded(generator, settings.seed, run.step)
        take_step(run, net, level, draw_batch(pictures.images, settings, generator))
        last, now = now, time.monotonic()
        phase.seconds += now - last
        if run.step % settings.log_every == 0:
            line = note(run, *marked)
            bar.set_postfix(loss=line["loss"], rate=line["images_per_second"])
            marked = time.monotonic(), run.seen
        if run.step % settings.save_every == 0 or now - saved > SAVE_SECONDS:
            run.save()
            pictures.refresh()
            saved = time.monotonic()
        if run.step % settings.grid_every == 0:
            save_sheet(run)
    bar.close()
    phase.over = True
    run.save()
    save_sheet(run)
    return run


def take_step(run: Run, net: Network, level: Level, batch: Batch) -> None:
    """One step: loss, gradient, weights, average. Nothing here waits for the device.

    A gradient that is not finite leaves weights and optimisers as they are.
    """
    settings, scale = run.settings, run.phase.rate(run.step)
    # where a new level has just been grown, the inner ones wait for it
    hold = run.entered > 0 and run.step - run.entered < settings.hold
    each = v_loss(net, batch, level, settings.skip_exchange > 0)
    each.mean().backward()
    norm = nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
    bad = (~norm.isfinite()).float()
    for opt in run.opts:
        for group in opt.param_groups:
            group["lr"] = 0.0 if hold and group["held"] else opt.defaults["lr"] * scale
        opt.found_inf = bad  # type: ignore[attr-defined]
        opt.step()
        opt.zero_grad(set_to_none=True)
    run.step += 1
    run.seen += len(batch.t)
    run.average()
    each = each.detach()
    counted = torch.stack([torch.where(each.isfinite(), each, 0.0), each.isfinite().float()], 1)
    run.sums.index_add_(0, batch.t * 5 // len(level.alpha), counted)
    run.skipped += bad


def note(run: Run, began: float, seen: int) -> dict[str, Any]:
    """Add a line to the log: mean losses since the last, and the speed since `began`."""
    skipped = int(run.skipped)  # here we wait for the device
    if skipped >= max(2, run.settings.log_every):
        raise FloatingPointError(
            f"no gradient was finite in {skipped} steps up to step {run.step}; {run.out} still "
            "holds the last checkpoint: go on from it with a lower --lr"
        )
    total, count = run.sums.cpu().unbind(1)
    line = {
        "step": run.step,
        "pictures": run.seen,
        "level": run.net.level,
        "loss": round(float(total.sum() / count.sum().clamp(min=1)), 5),
        "loss_by_noise_level": [round(v, 4) for v in (total / count.clamp(min=1)).tolist()],
        "rate": float(f"{run.settings.lr * run.phase.rate(run.step - 1):.4g}"),
        "images_per_second": round((run.seen - seen) / (time.monotonic() - began), 1),
        "skipped": skipped,
    }
    run.log.append(line)
    run.sums.zero_()
    run.skipped.zero_()
    if skipped:
        log.warning("step %d: %d gradients were not finite, and were skipped", run.step, skipped)
    return line
