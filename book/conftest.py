"""How nbval compares a chapter's outputs with the stored ones.

Progress and warnings go to stderr and differ each time; pictures differ in their last bits between
machines. What a chapter claims in numbers it publishes or shows in a table, in cells with the tag
nbval-check-output, and those texts are compared: word by word, and numbers to within one unit of
the last digit that is printed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

SKIPPED = (
    "stderr",
    "text/html",  # says what text/plain says, in more letters
    "image/png",
    "image/jpeg",
    "application/vnd.hsem.published+json",
    "application/vnd.hsem.numbered+json",
)
NUMBER = re.compile(r"(?<![\w.])[-\u2212+]?\d+(?:\.\d+)?(?![\w.]*\d)%?")


def same(one: str, other: str) -> bool:
    """Whether two texts have the same words, and numbers that differ by one last digit at most."""
    # how many spaces and dashes there are depends on the width of the numbers
    one, other = (re.sub("--+", "--", " ".join(text.split())) for text in (one, other))
    words = [
        NUMBER.sub(lambda m: "0%" if m[0].endswith("%") else "0", text) for text in (one, other)
    ]
    if words[0] != words[1]:
        return False
    pairs = zip(*(NUMBER.findall(text) for text in (one, other)), strict=True)
    return all(_near(a.replace("\u2212", "-"), b.replace("\u2212", "-")) for a, b in pairs)


def _word(match: re.Match[str]) -> str:
    return "0%" if match[0].endswith("%") else "0"


def _near(one: str, other: str) -> bool:
    a, b = (Decimal(text.rstrip("%")) for text in (one, other))
    digits = [int(x.as_tuple().exponent) for x in (a, b)]
    exact = "." not in one + other and "%" not in one + other  # a count, or a seed
    tolerance = Decimal(0) if exact else Decimal(1).scaleb(digits[0])
    return digits[0] == digits[1] and abs(a - b) <= tolerance


def snapped(test: list[Any], stored: list[Any]) -> list[Any]:
    """The new outputs, with the stored text in place of one that is the same."""
    for new, old in zip(test, stored, strict=False):
        for a, b in ((new, old), (new.get("data", {}), old.get("data", {}))):
            for key in ("text", "text/plain"):
                if key in a and key in b and same(a[key], b[key]):
                    a[key] = b[key]
    return test


def pytest_collectstart(collector: Any) -> None:
    """Tell nbval what to leave out."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += SKIPPED


def pytest_itemcollected(item: Any) -> None:
    """Give each cell of a chapter the comparison with tolerance."""
    compare = getattr(item, "compare_outputs", None)
    if compare is not None:
        item.compare_outputs = lambda test, ref, skip_compare=None: compare(
            snapped(test, ref), ref, skip_compare
        )
