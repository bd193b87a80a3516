"""What nbval leaves out when it compares a chapter's outputs with the stored ones."""

from __future__ import annotations

from typing import Any

# Progress and warnings go to stderr and differ each time; pictures differ in their last bits
# between machines. What a chapter claims in numbers is printed in cells marked
# NBVAL_CHECK_OUTPUT, and those are compared.
SKIPPED = ("stderr", "text/html", "image/png", "image/jpeg")


def pytest_collectstart(collector: Any) -> None:
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += SKIPPED
