"""What it costs to find the k leading singular vectors of the decoder's Jacobian.

    python benchmarks/jacobian.py                      # minutes on a CPU
    python benchmarks/jacobian.py --model tiny --ks 1 2   # seconds, to see that it runs

For each method: products with J and Jᵀ (counted by columns), seconds, and memory until the largest
principal angle to the true subspace is 1e-2 for the first time, at several steps of one trajectory.
The truth comes from the Lanczos solver at a tolerance of 1e-4. Seconds include building the graph
and the time for comparing with the truth, which is small. Memory is the growth of the process.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import mean
from typing import Any

import numpy as np
import torch
from common import alone, machine, peak_megabytes, write
from scipy.sparse.linalg import LinearOperator, svds

import hsem
from hsem.unsupervised.jacobian import (
    JacobianProducts,
    Round,
    jacobian_subspace_iteration,
    jacobian_svd,
    largest_principal_angle,
)
from hsem.unsupervised.local import trajectory

ANGLE = 1e-2


class Reached(Exception):
    """The wanted angle has been reached: no need to go on."""


def run(method: str, f: Any, h: torch.Tensor, k: int, truth: torch.Tensor) -> int | None:
    """Products until the angle is reached; None if it never was."""

    def watch(state: Round) -> None:
        if len(state.v) == k and largest_principal_angle(state.v, truth.to(state.v)) <= ANGLE:
            raise Reached(state.products)

    many: dict[str, Any] = {"tol": 1e-4, "max_rounds": 400, "watch": watch}
    try:
        if method == "algorithm 1":
            jacobian_subspace_iteration(f, h, k, **many)
        elif method == "algorithm 1, 5 more columns":
            jacobian_subspace_iteration(f, h, k, oversample=5, **many)
        elif method == "algorithm 2, b=1":  # its rounds see one block: judged by its own estimate
            result = jacobian_subspace_iteration(f, h, k, block_size=1, tol=ANGLE, max_rounds=400)
            return result.products if result.converged else None
        elif method == "lanczos":
            jacobian_svd(f, h, k, **many)
        elif method == "lanczos, blocks of k":
            jacobian_svd(f, h, k, block=k, **many)
        elif method == "scipy svds":
            return scipy_svds(f, h, k, truth)
    except Reached as reached:
        return int(reached.args[0])
    return None


def scipy_svds(f: Any, h: torch.Tensor, k: int, truth: torch.Tensor) -> int | None:
    """ARPACK does not show its iterates: the first of some tolerances that is good enough."""
    for tol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6):
        op = JacobianProducts(f, h)

        def push(v: np.ndarray, op: JacobianProducts = op) -> np.ndarray:
            return op.push(torch.from_numpy(v).to(h).reshape(1, *h.shape)).flatten().cpu().numpy()

        def pull(u: np.ndarray, op: JacobianProducts = op) -> np.ndarray:
            stack = torch.from_numpy(u).to(h).reshape(1, *op.y.shape)
            return op.pull(stack).flatten().cpu().numpy()

        linear = LinearOperator(
            (op.y.numel(), h.numel()), matvec=push, rmatvec=pull, dtype=np.float32
        )
        start = np.random.default_rng(0).standard_normal(min(linear.shape))
        _, _, vt = svds(linear, k=k, tol=tol, v0=start)
        v = torch.from_numpy(vt.copy()).reshape(k, *h.shape)
        if largest_principal_angle(v, truth.cpu().to(v)) <= ANGLE:
            return op.pushed + op.pulled
    return None


def measure(method: str, k: int, options: argparse.Namespace, truth: dict[int, Any]) -> dict:
    """One row of the table; runs in a process of its own."""
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    model, samples = setting(options)
    counts, seconds = [], []
    points = list(trajectory(model, samples, 0, options.steps))
    before = peak_megabytes(options.device)
    for point in points:
        start = time.perf_counter()
        counts.append(
            run(
                method,
                lambda h, point=point: model.output(h, point.context),
                point.h,
                k,
                torch.from_numpy(truth[point.i][:k]).to(point.h),
            )
        )
        seconds.append(time.perf_counter() - start)
    done = None not in counts
    return {
        "k": k,
        "method": method,
        "products": mean(counts) if done else None,
        "by step": counts,
        "seconds": mean(seconds),
        "memory MB": peak_megabytes(options.device) - before,
    }


def setting(options: argparse.Namespace) -> tuple[hsem.HSpaceUNet, hsem.Samples]:
    tiny = options.model == "tiny"
    model = hsem.tiny_unet(0) if tiny else hsem.load(options.model, device=options.device)
    model.to(options.device)
    return model, hsem.sample(model, [options.seed], steps=options.T, record=(), progress=False)


def find_truth(options: argparse.Namespace) -> dict[int, Any]:
    torch.set_num_threads(options.threads)
    model, samples = setting(options)
    truth = {}
    for point in trajectory(model, samples, 0, options.steps):
        result = jacobian_svd(
            lambda h, point=point: model.output(h, point.context),
            point.h,
            max(options.ks),
            tol=1e-4,
        )
        truth[point.i] = result.v.cpu().numpy()
    return truth


METHODS = (
    "algorithm 1",
    "algorithm 1, 5 more columns",
    "algorithm 2, b=1",
    "lanczos",
    "lanczos, blocks of k",
    "scipy svds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="portraits-64", help="as for hsem.load, or 'tiny'")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--T", type=int, default=25, help="steps of the trajectory")
    parser.add_argument("--steps", type=int, nargs="+", help="step indices (default: 3 of them)")
    parser.add_argument("--ks", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--name", default="jacobian", help="of the result files")
    options = parser.parse_args()
    options.steps = options.steps or [options.T // 4, options.T // 2, 3 * options.T // 4]
    torch.set_num_threads(options.threads)
    facts = {**machine(options.device), "model": options.model, "steps": options.steps}
    truth = alone(find_truth, options)
    rows = [alone(measure, m, k, options, truth) for k in options.ks for m in options.methods]
    notes = (
        f"Until the largest principal angle to the true subspace is {ANGLE}; means over the steps. "
        "Algorithm 2 stops by its own estimate; scipy's svds is run at decreasing tolerances, and "
        "its products are those of the first that suffices, its seconds those of all tried. "
        "A dash: some step was not there after 400 rounds (of each block)."
    )
    print(write(options.name, facts, rows, notes))


if __name__ == "__main__":
    main()
