"""Effects are linear in what is planted; a matrix does not care about the order of its parts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsem.evaluation.curves import attribute_curve
from hsem.evaluation.effects import EffectMatrix, effect_matrix, table_one
from tests.painter import HALVES, Painter

MODEL = Painter()
QUICK = {"n": 3, "repeats": 2, "progress": False}
PART = st.floats(-0.1, 0.1)


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0, check_dtype=False)


@settings(max_examples=15, deadline=None)
@given(PART, PART, PART, PART, st.floats(-1.5, 1.5))
def test_the_matrix_is_what_was_planted(
    a: float, b: float, c: float, d: float, scale: float
) -> None:
    planted = {"upper": MODEL.last_step(2, a, b), "lower": MODEL.last_step(2, c, d)}
    matrix = effect_matrix(MODEL, planted, HALVES, scale=scale, **QUICK)
    close(matrix.mean, scale * torch.tensor([[a, b], [c, d]]))


@settings(max_examples=10, deadline=None)
@given(PART, st.floats(0.01, 0.1))
def test_a_slider_moves_in_the_direction_of_its_sign(lower: float, upper: float) -> None:
    curve = attribute_curve(
        MODEL, MODEL.last_step(2, upper, lower), HALVES, (-1, 0, 1), range(3), progress=False
    )
    back = attribute_curve(
        MODEL, MODEL.last_step(2, -upper, -lower), HALVES, (-1, 0, 1), range(3), progress=False
    )
    assert (curve.mean("upper").diff() > 0).all() and (back.mean("upper").diff() < 0).all()
    close(curve.scores, back.scores.flip(0))


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 2.8), st.floats(0.2, 1.0))
def test_projection_never_lengthens_and_leaves_no_part_of_the_other(
    angle: float, length: float
) -> None:
    """Two planted directions at any angle: what is left is sin(angle) of the first."""
    second = (
        torch.tensor([angle]).cos().item() * length,
        torch.tensor([angle]).sin().item() * length,
    )
    planted = {
        "upper": MODEL.last_step(1, 0.2, 0.0),
        "lower": MODEL.last_step(1, 0.2 * second[0], 0.2 * second[1]),
    }
    clean = table_one(MODEL, planted, HALVES, **QUICK).disentangled.mean[0]
    assert float(clean.norm()) == pytest.approx(0.2 * abs(math.sin(angle)), abs=1e-4)
    assert abs(float(clean @ torch.tensor(second, dtype=clean.dtype))) < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.permutations(["a", "b", "c"]), st.integers(0, 1000))
def test_order_of_rows_and_columns_does_not_matter(order: list[str], seed: int) -> None:
    effects = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed))
    names = ("a", "b", "c")
    matrix = EffectMatrix(names, names, effects, effects.abs(), torch.tensor([0.5, 1, 2]), 10)
    moved = matrix.only(order)
    assert moved.strongest == matrix.strongest
    counted = matrix.in_deviations().only(order)
    close(counted.effects, matrix.only(order).in_deviations().effects)
