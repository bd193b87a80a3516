"""Marks for the lab: each task is compared with something computed in another way.

In the notebook: `from grade import grade; grade(globals())`. On the command line, for a folder of
submissions: `python grade.py lab.ipynb ...` runs each and prints its marks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

import hsem

Task = Callable[[Mapping[str, Any]], None]
TASKS: list[tuple[str, int, Task]] = []


def task(title: str, marks: int) -> Callable[[Task], Task]:
    def keep(check: Task) -> Task:
        TASKS.append((title, marks, check))
        return check

    return keep


def close(found: Any, expected: Tensor, what: str, tolerance: float = 1e-3) -> None:
    """Raise with a hint unless `found` is `expected` to a share of its size."""
    if found is None or found is ...:
        raise AssertionError("still blank")
    if not isinstance(found, Tensor):
        raise AssertionError(f"{what}: expected a tensor, got {type(found).__name__}")
    if found.shape != expected.shape:
        raise AssertionError(
            f"{what}: expected shape {tuple(expected.shape)}, got {tuple(found.shape)}"
        )
    gap = float((found - expected).norm() / expected.norm())
    if not gap < tolerance:
        raise AssertionError(f"{what}: off by {gap:.3g} of its size")


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@task("1. add noise (equation 1)", 3)
def noising(given: Mapping[str, Any]) -> None:
    x0, noise = draw(0, 4, 3, 8, 8), draw(1, 4, 3, 8, 8)
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2")
    for t in (10, 400, 990):
        a = float(scheduler.alphas_cumprod[t])
        expected = scheduler.add_noise(x0, noise, torch.tensor([t] * 4))
        close(given["add_noise"](x0, noise, a), expected, f"add_noise at alpha_bar = {a:.3f}")


@task("2. one step of the sampler (equations 2 to 4)", 5)
def stepping(given: Mapping[str, Any]) -> None:
    x, eps, z = (draw(k, 2, 3, 8, 8) for k in range(3))
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", clip_sample=False, set_alpha_to_one=True
    )
    scheduler.set_timesteps(20)
    for eta in (0.0, 0.5, 1.0):
        for t in (950, 500, 50):
            a = float(scheduler.alphas_cumprod[t])
            a_prev = float(scheduler.alphas_cumprod[t - 50])
            expected = scheduler.step(eps, t, x, eta=eta, variance_noise=z).prev_sample
            found = given["step"](x, eps, a, a_prev, eta, z)
            close(found, expected, f"step at t = {t}, eta = {eta:g}")


@task("3. read h with a hook", 4)
def reading(given: Mapping[str, Any]) -> None:
    model = hsem.load(device="cpu")
    x, t = draw(3, 2, 3, 64, 64), 700
    expected, _ = model.encode(x, t)
    before = len(model.unet.mid_block._forward_hooks)
    close(given["read_h"](model.unet, x, t), expected, "h of two pictures")
    if len(model.unet.mid_block._forward_hooks) != before:
        raise AssertionError("the hook is still there: remove it, also after an error")


@task("4. a direction from examples (equation 11)", 3)
def averaging(given: Mapping[str, Any]) -> None:
    positive, negative = draw(4, 6, 5, 2, 3, 3), draw(5, 9, 5, 2, 3, 3)
    expected = torch.einsum("nabcd->abcd", positive) / 6 - torch.einsum("nabcd->abcd", negative) / 9
    close(given["difference"](positive, negative), expected, "difference of means")


@task("5. shut out another direction (equation 12)", 5)
def projecting(given: Mapping[str, Any]) -> None:
    v, others = draw(6, 40), [draw(7, 40), draw(8, 40)]
    # another way: what is left of v is the residual of least squares
    basis = torch.stack(others, 1)
    expected = v - basis @ torch.linalg.lstsq(basis, v[:, None]).solution[:, 0]
    found = given["project_out"](v, others)
    close(found, expected, "v without two others that are not orthogonal")


@task("6. an effect with its interval", 5)
def measuring(given: Mapping[str, Any]) -> None:
    before = draw(9, 64)
    after = before + 0.4 + 0.1 * draw(10, 64)
    found = given["effect"](before, after)
    if found is None or found is ...:
        raise AssertionError("still blank")
    mean, low, high = (float(x) for x in found)
    if abs(mean - float((after - before).mean())) > 1e-3:
        raise AssertionError("the effect is the mean of the *paired* differences")
    half = 1.96 * float((after - before).std()) / 8
    if not (0.5 * half < mean - low < 2 * half and 0.5 * half < high - mean < 2 * half):
        raise AssertionError(
            f"an interval of 95 % around {mean:.3f} should reach about {half:.3f} to each side, "
            f"yours is {low:.3f} to {high:.3f}; do not forget that people are paired"
        )


def grade(given: Mapping[str, Any]) -> list[tuple[str, int, int, str]]:
    """Marks of each task: (title, reached, possible, hint)."""
    rows = []
    for title, marks, check in TASKS:
        try:
            check(given)
        except AssertionError as wrong:
            rows.append((title, 0, marks, str(wrong)))
        except KeyError as missing:
            rows.append((title, 0, marks, f"there is no {missing}"))
        except Exception as error:  # whatever a student's code raises
            rows.append((title, 0, marks, f"{type(error).__name__}: {error}"))
        else:
            rows.append((title, marks, marks, ""))
    return rows


def report(rows: list[tuple[str, int, int, str]]) -> str:
    lines = [f"{title:50} {got} of {all_}  {hint}".rstrip() for title, got, all_, hint in rows]
    got, possible = (sum(row[k] for row in rows) for k in (1, 2))
    return "\n".join([*lines, f"{'together':50} {got} of {possible}"])


def namespace(notebook: Path) -> dict[str, Any]:
    """What the code cells of a submission define. Runs them: only for people you trust."""
    import nbformat

    found: dict[str, Any] = {"__name__": "lab", "grade": lambda _: None, "report": lambda _: ""}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and "from grade import" not in cell.source:
            exec(compile(cell.source, str(notebook), "exec"), found)
    return found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}\n{report(grade(namespace(Path(name))))}\n")
