"""The lab's marks: all for the solutions, none for the blanks, none for the usual mistakes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
import torch

LAB = Path(__file__).resolve().parents[2] / "book" / "_lab"


@pytest.fixture(scope="module")
def grader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grade", LAB / "grade.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def solved(grader: ModuleType) -> dict:
    return grader.namespace(LAB / "solutions.ipynb")


def test_solutions_get_all_marks(grader: ModuleType, solved: dict) -> None:
    rows = grader.grade(solved)
    assert [(got, hint) for _, got, _, hint in rows] == [(marks, "") for _, _, marks, _ in rows]
    assert sum(marks for _, _, marks, _ in rows) == 25


def test_blanks_get_none_and_say_so(grader: ModuleType) -> None:
    rows = grader.grade(grader.namespace(LAB / "lab.ipynb"))
    assert all(got == 0 and hint == "still blank" for _, got, _, hint in rows)


def test_the_two_differ_in_the_blanks_only() -> None:
    lab, solutions = (
        nbformat.read(LAB / f"{name}.ipynb", as_version=4).cells for name in ("lab", "solutions")
    )
    blank = [c.source for c in lab if "return ..." in c.source]
    assert len(blank) == 6 and len(lab) == len(solutions)
    for left, right in zip(lab[1:], solutions[1:], strict=True):
        if "return ..." in left.source:
            assert right.source.startswith(left.source.split("    return ...")[0])
        else:
            assert left.source == right.source


def variance_for_deviation(x0, noise, a):
    return a * x0 + (1 - a) * noise


def forgets_the_noise(x, eps, a, a_prev, eta, z):
    x0 = (x - (1 - a) ** 0.5 * eps) / a**0.5
    return a_prev**0.5 * x0 + (1 - a_prev) ** 0.5 * eps


def leaves_the_hook(unet, x, t):
    kept = []
    unet.mid_block.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        unet(x, t)
    return kept[0]


def one_after_the_other(v, others):
    for u in others:
        v = v - (v @ u) / (u @ u) * u
    return v


def as_if_unpaired(before, after):
    mean = (after - before).mean()
    half = 1.96 * (before.var() / len(before) + after.var() / len(after)) ** 0.5
    return mean, mean - half, mean + half


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("add_noise", variance_for_deviation),
        ("step", forgets_the_noise),
        ("read_h", leaves_the_hook),
        ("difference", lambda p, n: p.sum(0) - n.sum(0)),
        ("project_out", one_after_the_other),
        ("effect", as_if_unpaired),
        ("effect", lambda before, after: 1 / 0),
    ],
)
def test_usual_mistakes_get_no_marks(grader: ModuleType, solved: dict, name, wrong) -> None:
    rows = grader.grade({**solved, name: wrong})
    lost = [hint for _, got, marks, hint in rows if got < marks]
    assert len(lost) == 1 and lost[0] and "blank" not in lost[0]


def test_a_missing_function_is_named(grader: ModuleType, solved: dict) -> None:
    rows = grader.grade({k: v for k, v in solved.items() if k != "step"})
    assert [hint for _, _, _, hint in rows if hint] == ["there is no 'step'"]
    assert "20 of 25" in grader.report(rows)
