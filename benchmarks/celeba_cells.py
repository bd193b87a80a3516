"""Seconds and memory of each cell of the chapter on the paper's own model, at that model's size.

    python benchmarks/celeba_cells.py                 # 113.67 M weights, 256 pixels: a quarter hour
    python benchmarks/celeba_cells.py --channels 8 --size 64     # seconds, to see that it runs

The weights are random, which costs the same. The cells are those of book/celeba.ipynb, in order,
in one process; only their amounts are smaller: few steps, few people, few rounds of the solver. So
each row says how often the network ran in it, forwards and in gradients, and time grows with that
number. Memory is the largest of the process (of the GPU's tensors, there) while the cell ran,
weights and interpreter included.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import machine, write

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "book" / "celeba.ipynb"
sys.path.insert(0, str(ROOT / "book" / "_tools"))

import execute  # noqa: E402  (of the book's tools)

SMALLER = {  # what the chapter says, and what is said in its place
    "STEPS, GPU = 10,": "STEPS, GPU = {steps},",
    "else 3  # of the Jacobian": "else {rounds}  # of the Jacobian",
    '"celebahq", size=32': '"celebahq", size={size}, channels={channels}',
    "cost.batch_that_fits(one.bytes, cost.free_bytes(model.device))": "{batch}",
    "(300, 5_000, 24)": "(300, 5_000, 8)",
    "(3, 3, 2)": "(3, 3, 1)",
    "(-5.0, -2.5, 0.0, 2.5, 5.0)": "(-5.0, 0.0, 5.0)",
    '[SEEDS["pca"]] * 5': '[SEEDS["pca"]] * 3',
    "((0, 2, -1), (0, 8, 1), (1, 4, -1))": "((0, 0, -1), (0, 0, 1), (1, 0, -1))",
    "((0, 6, 1), (1, 6, 1), (0, 2, 1))": "((0, 0, 1), (1, 0, 1), (0, 0, 1))",
    "((0, 4, 1), (0, 4, -1), (1, 8, -1))": "((0, 0, 1), (0, 0, -1), (1, 0, -1))",
    "regions, middle = [], 4": "regions, middle = [], 0",
    "at = (1, 4, 8)": "at = (0,)",
}


def cells(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Names and sources of the chapter's code, with the amounts of `options`."""
    found = set()
    for cell in execute.read(CHAPTER).cells:
        if cell.cell_type != "code" or cell.id == "setup":  # which installs, in Colab
            continue
        source = cell.source
        for old, new in SMALLER.items():
            if old in source:
                found.add(old)
                source = source.replace(old, new.format(**vars(options)))
        yield cell.id, source
    if missing := SMALLER.keys() - found:
        raise SystemExit(f"{CHAPTER} has changed: it no longer says {', '.join(missing)}")


@contextmanager
def counted(runs: dict[str, int]) -> Iterator[None]:
    """Count pictures through the network, and vectors that are multiplied with its Jacobian."""
    from hsem import HSpaceUNet
    from hsem.unsupervised.jacobian import JacobianProducts

    kinds = [
        (HSpaceUNet, "encode", "runs"),
        (JacobianProducts, "push", "products"),
        (JacobianProducts, "pull", "products"),
    ]

    def counting(method: Any, kind: str) -> Any:
        def call(self: Any, x: torch.Tensor, *more: Any) -> Any:
            runs[kind] += len(x)
            return method(self, x, *more)

        return call

    kept = [getattr(owner, name) for owner, name, _ in kinds]
    try:
        for (owner, name, kind), method in zip(kinds, kept, strict=True):
            setattr(owner, name, counting(method, kind))
        yield
    finally:
        for (owner, name, _), method in zip(kinds, kept, strict=True):
            setattr(owner, name, method)


class Peak:
    """The largest memory since `start`, in gigabytes, and how it was measured."""

    def __init__(self) -> None:
        self.gpu, self.clear = torch.cuda.is_available(), Path("/proc/self/clear_refs")
        self.each = self.gpu or os.access(self.clear, os.W_OK)

    def start(self) -> None:
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        elif self.each:
            self.clear.write_text("5", "utf-8")  # Linux: forget the largest size so far

    def gigabytes(self) -> float:
        if self.gpu:
            return torch.cuda.max_memory_allocated() / 1e9
        if self.each:
            lines = Path("/proc/self/status").read_text("utf-8").splitlines()
            (kilobytes,) = (x.split()[1] for x in lines if x.startswith("VmHWM"))
            return int(kilobytes) * 1024 / 1e9
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--channels", type=int, default=128, help="of the first level")
    parser.add_argument("--steps", type=int, default=1, help="of the sampler; the chapter has 10")
    parser.add_argument("--rounds", type=int, default=3, help="of the Jacobian solver, 3 or more")
    parser.add_argument("--batch", type=int, default=4, help="pictures at once")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--limit", type=float, default=8.0, help="stop above so many gigabytes")
    parser.add_argument("--name", default="celeba_cells", help="of the result files")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "steps=1 ")  # begins at another noise level, at equal cost
    os.environ["HSEM_MODEL"] = "random"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    facts = {
        **machine(device),
        **{x: getattr(options, x) for x in ("size", "steps", "rounds", "batch")},
    }
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown: None}
    peak, rows, runs = Peak(), [], {"runs": 0, "products": 0}
    try:
        with counted(runs):
            for name, source in cells(options):
                runs |= {"runs": 0, "products": 0}
                peak.start()
                start, worked = time.perf_counter(), time.process_time()
                exec(compile(source, name, "exec"), space)
                if device == "cuda":
                    torch.cuda.synchronize()
                took = {
                    "seconds": time.perf_counter() - start,
                    "CPU seconds": time.process_time() - worked,
                }
                rows.append({"cell": name, **runs, **took, "peak GB": peak.gigabytes()})
                print(rows[-1], file=sys.stderr, flush=True)
                if rows[-1]["peak GB"] > options.limit:
                    raise SystemExit(f"{name} took more than {options.limit} GB")
    finally:  # half an hour of measuring is not thrown away for the cell that failed
        if rows:
            facts |= about(space)
            said = published(facts, rows) if "run seconds" in facts else None
            print(write(options.name, facts, rows, notes(space, rows, peak), said))


def about(space: dict[str, Any]) -> dict[str, Any]:
    """The size of the network, once the cells have made it."""
    if "model" not in space:
        return {}
    facts = {"weights": sum(p.numel() for p in space["model"].unet.parameters())}
    if "one" in space:
        facts |= {"run seconds": space["one"].seconds, "run GB": space["one"].bytes / 1e9}
    return facts


CARD = 15  # gigabytes of a T4 that programs get


def published(facts: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, str]:
    """What the chapter quotes, by name: one run, what fits on a T4, and each cell's row."""
    weights, beyond = facts["weights"] * 4 / 1e9, facts["run GB"]
    texts = {
        "date": facts["date"],
        "weights": f"{facts['weights'] / 1e6:.2f} million",
        "weights/GB": f"{weights:.2f}",
        "run/s": f"{facts['run seconds']:.1f}",
        "run/GB": f"{beyond:.2f}",
        "two/GB": f"{2 * beyond:.2f}",
        "t4/pictures": f"{int(0.6 * (CARD - weights) / beyond)}",
        "most/GB": f"{max(row['peak GB'] for row in rows):.1f}",
        "products": f"{max(row['products'] for row in rows)}",
        **{name: f"{facts[name]}" for name in ("threads", "steps", "batch", "rounds")},
    }
    for row in rows:
        texts |= {
            f"{row['cell']}/runs": f"{row['runs']}",
            f"{row['cell']}/s": f"{row['seconds']:.0f}",
            f"{row['cell']}/GB": f"{row['peak GB']:.1f}",
        }
    return texts


def notes(space: dict[str, Any], rows: list[dict[str, Any]], peak: Peak) -> str:
    """What the columns mean, what one run costs, and where the measuring stopped."""
    one = space.get("one")
    parts = [
        "Runs are pictures through the network once, products vectors times its Jacobian.",
        f"{one.seconds:.3g} s a run, {one.bytes / 1e9:.2g} GB beyond the weights." if one else "",
        "" if peak.each else "Memory is the largest so far, not of the cell alone.",
        "" if rows[-1]["cell"] == "ex3-solution" else f"Stopped after {rows[-1]['cell']}.",
    ]
    return " ".join(filter(None, parts))


if __name__ == "__main__":
    main()
