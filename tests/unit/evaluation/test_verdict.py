"""The rule of verdicts, case by case."""

from __future__ import annotations

import pytest

from hsem.evaluation.stability import Estimate
from hsem.evaluation.verdict import FAILS, HOLDS, IN_PART, UNTESTED, overall, verdict


def e(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 50)


@pytest.mark.parametrize(
    ("estimate", "settings", "expected"),
    [
        (e(0.2, 0.4), {}, HOLDS),
        (e(-0.1, 0.4), {}, FAILS),  # the interval holds zero
        (e(-0.4, -0.2), {}, FAILS),  # clearly the other way
        (e(0.2, 0.4), {"control": 0.2}, FAILS),  # touches
        (e(0.2, 0.4), {"control": e(0.0, 0.19)}, HOLDS),
        (e(0.2, 0.4), {"control": e(0.0, 0.21)}, FAILS),  # intervals overlap
        (e(0.2, 0.4), {"goal": 0.3}, IN_PART),
        (e(0.2, 0.4), {"goal": 0.5}, IN_PART),
        (e(0.2, 0.4), {"goal": 0.1}, HOLDS),
        (e(0.2, 0.4), {"control": 0.3, "goal": 0.1}, FAILS),
        (None, {"goal": 0.1}, UNTESTED),
        (e(0.2, 0.4), {"control": 0.5, "smaller": True}, HOLDS),
        (e(0.2, 0.4), {"control": 0.3, "smaller": True}, FAILS),
        (e(0.2, 0.4), {"control": e(0.41, 0.6), "smaller": True}, HOLDS),
        (e(0.2, 0.4), {"control": e(0.39, 0.6), "smaller": True}, FAILS),
        (e(0.2, 0.4), {"control": 0.5, "goal": 0.3, "smaller": True}, IN_PART),
        (e(0.2, 0.4), {"control": 0.5, "goal": 0.45, "smaller": True}, HOLDS),
        (e(float("nan"), 1), {}, None),
    ],
)
def test_rule(estimate: Estimate | None, settings: dict, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="low <= high"):
            verdict(estimate, **settings)
    else:
        assert verdict(estimate, **settings) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, FAILS], IN_PART),
        ([FAILS, UNTESTED], FAILS),
        ([IN_PART], IN_PART),
        ([UNTESTED], UNTESTED),
        ([], UNTESTED),
    ],
)
def test_of_several_rows(rows: list[str], expected: str) -> None:
    assert overall(rows) == expected


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        overall(["perhaps"])
