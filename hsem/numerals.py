"""Numbers as text: a true minus sign, and no sign on what rounds to zero."""

from __future__ import annotations

import re

MINUS = "\N{MINUS SIGN}"
HYPHEN = re.compile(r"(?<![\w.)\]])-(?=\.?\d)")  # before a number, not within a name, range or date
ZERO = re.compile(rf"(?<![\w.)\]])[-+{MINUS}](?=0(?:\.0*)?%?(?![\w.]))")


def numeral(value: float, spec: str = ".2f") -> str:
    """A number as text: `format`, with a minus sign, and zero without any.

    Examples
    --------
    >>> numeral(-1.234), numeral(-0.001), numeral(-0.001, "+.0%"), numeral(2.0, "+.1f")
    ('−1.23', '0.00', '0%', '+2.0')
    """
    return signs(format(value, spec).replace("-", MINUS))


def signs(text: str) -> str:
    """A text whose hyphens before numbers are minus signs, and whose zeros have no sign.

    Hyphens in names, ranges and dates stay.

    Examples
    --------
    >>> signs("-0.5 (-0.9 to -0.0), portraits-64, 2026-11-27")
    '−0.5 (−0.9 to 0.0), portraits-64, 2026-11-27'
    """
    return ZERO.sub("", HYPHEN.sub(MINUS, text))
