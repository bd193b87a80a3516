"""Whole numbers that callers give: steps, batch sizes, numbers of components."""

from __future__ import annotations

from operator import index
from typing import Any


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """`value` as an int, if it is a whole number of at least `least`; numpy's are welcome."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be {least} or more, got {number}")
    return number
