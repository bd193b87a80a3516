"""How long the playground of a notebook takes when a slider moves, by the steps of its window.

    python benchmarks/live.py [--device cuda] [--model google/ddpm-ema-celebahq-256]

Without a name: the packaged model, and random weights in the layout of CelebA-HQ's network with a
quarter of its channels and of its side, which is what a processor can wait for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import torch
from common import machine, write

import hsem
from hsem import viz

STEPS, WINDOWS, REPEATS = 16, (1, 4, 8, 16), 8


def directions(model: hsem.HSpaceUNet) -> dict[str, hsem.Direction]:
    """Two random directions: what they show does not matter here."""
    generator = torch.Generator().manual_seed(0)
    grid = model.schedule(STEPS).timesteps
    facts = hsem.provenance_of(model)
    return {
        name: hsem.Direction(
            torch.randn(STEPS, *model.h_shape, generator=generator), grid, "random", facts
        )
        for name in ("first", "second")
    }


def measure(model: hsem.HSpaceUNet) -> list[dict[str, Any]]:
    """Move a slider a few times in the last steps of the run, for windows of several lengths."""
    play = viz.playground(model, directions(model), steps=STEPS)
    slider = play.strengths["first"]
    rows = []
    for length in WINDOWS:
        slider.value = 0.0
        play.window.value = (STEPS - length + 1, STEPS)
        slider.value = 0.1  # the first move of a window encodes its first step
        seconds = []
        for k in range(REPEATS):
            began = time.perf_counter()
            slider.value = 0.2 + 0.1 * k
            seconds.append(time.perf_counter() - began)
        rows.append({
            "model": model.name,
            "device": str(model.device),
            "steps edited": length,
            "slider, ms, best": 1000 * min(seconds),
            "slider, ms, median": 1000 * statistics.median(seconds),
            "ms a step, best": 1000 * min(seconds) / length,
            "load average": os.getloadavg()[0],
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model")
    args = parser.parse_args()
    if args.model:
        models = [hsem.load(args.model, device=args.device)]
    else:
        models = [
            hsem.load(device=args.device),
            hsem.random_network(size=64, channels=32).to(args.device),
        ]
    rows = [row for model in models for row in measure(model)]
    notes = "A person of 16 steps, two directions, no judge; the window ends with the last step."
    print(write("live", machine(args.device), rows, notes))


if __name__ == "__main__":
    main()
