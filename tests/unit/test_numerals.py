"""Signs of numbers in texts: where they are minus signs, and where there is none."""

from __future__ import annotations

import doctest
from decimal import Decimal

import pytest

import hsem.numerals
from hsem.numerals import MINUS, numeral, signs


@pytest.mark.parametrize("value", [-12.3, -0.5, -0.006, -0.004, -0.0, 0.0, 0.004, 0.5, 12.3])
@pytest.mark.parametrize("spec", [".2f", "+.2f", ".0%", "+.1%", ".3g", " .1f", "+d", "d"])
def test_a_number_reads_as_what_it_is_and_zero_has_no_sign(value: float, spec: str) -> None:
    number = round(value) if spec.endswith("d") else value
    text = numeral(number, spec)
    read = Decimal(text.strip().replace(MINUS, "-").rstrip("%"))
    rounded = Decimal(format(number, spec).strip().rstrip("%"))
    assert read == rounded and "-" not in text
    if read == 0:
        assert not set(text) & {MINUS, "+"}
    elif spec.startswith("+"):
        assert text[0] in {MINUS, "+"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-5", "−5"),
        ("-.5 and (-5 to -1)", "−.5 and (−5 to −1)"),
        ("−0% (−1% to −0%)", "0% (−1% to 0%)"),
        ("+0.0 / -0.0", "0.0 / 0.0"),
        ("-0.", "0."),
        ("γ = -1, +0", "γ = −1, 0"),
        ("−0.05, -0.5, +0.01", "−0.05, −0.5, +0.01"),
        ("it moves by -0.3.", "it moves by −0.3."),
    ],
)
def test_signs_in_a_text(text: str, expected: str) -> None:
    assert signs(text) == expected


@pytest.mark.parametrize(
    "text",
    ["portraits-64", "2026-11-27", "seeds 0-7", "h[-1]", "x-0", "(a)-0", "a - b", "yes-no", "5−0"],
)
def test_names_ranges_and_dates_stay(text: str) -> None:
    assert signs(text) == text if text != "h[-1]" else signs(text) == "h[−1]"


def test_examples() -> None:
    assert doctest.testmod(hsem.numerals).failed == 0
