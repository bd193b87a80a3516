"""What the benchmarks share: facts about the machine, peak memory, and dated result files."""

from __future__ import annotations

import json
import os
import platform
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def machine(device: str) -> dict[str, Any]:
    """What a reader needs to judge a time."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "date": date.today().isoformat(),
        "cpu": cpu,
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def peak_megabytes(device: str) -> float:
    """Largest memory of this process so far (of the GPU, if that is where the work is)."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    scale = 1e6 if platform.system() == "Darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def alone(task: Callable[..., Any], *arguments: Any) -> Any:
    """Run `task` in a process of its own, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def write(
    name: str, facts: dict[str, Any], rows: list[dict[str, Any]], notes: str,
    published: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Results as JSON, and as a markdown table for people.

    What is published can be quoted in the book: `<data value="benchmarks/NAME:KEY"></data>`.
    """
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{name}-{facts['date']}"
    stored = {**facts, "rows": rows} | ({"published": published} if published else {})
    stem.with_suffix(".json").write_text(
        json.dumps(stored, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    heads = list(rows[0])
    table = [heads, ["---"] * len(heads), *([_text(row[h]) for h in heads] for row in rows)]
    about = ", ".join(f"{k} {v}" for k, v in facts.items() if v is not None)
    lines = [f"# {name}", "", about, "", notes, "", *("| " + " | ".join(r) + " |" for r in table)]
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n", "utf-8")
    return stem.with_suffix(".md")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value}"
