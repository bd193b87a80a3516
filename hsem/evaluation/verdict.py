"""Does a claim hold? One rule for the whole book, from estimate, interval, and control."""

from __future__ import annotations

from collections.abc import Iterable

from .stability import Estimate

HOLDS, IN_PART, FAILS, UNTESTED = "holds", "in part", "does not hold", "not tested"


def verdict(
    estimate: Estimate | None,
    *,
    control: Estimate | float = 0.0,
    goal: float | None = None,
    smaller: bool = False,
) -> str:
    """The verdict on the claim that something is larger than its control.

    Parameters
    ----------
    estimate : what was measured; None if nothing was
    control : the same measure where the claim says there is nothing: a random direction, mere
        shortening, chance. With an interval of its own, the two must not overlap.
    goal : how large it should be to be called what the claim calls it
    smaller : the claim is that the estimate is smaller than the control, and than the goal

    Returns
    -------
    "holds" if the whole interval lies beyond the control, and beyond the goal if there is one;
    "in part" if it lies beyond the control, but not wholly beyond the goal;
    "does not hold" if it does not lie beyond the control; "not tested" without an estimate.

    Examples
    --------
    >>> removed = Estimate(0.29, 0.25, 0.32, n=200)
    >>> verdict(removed, control=0.10), verdict(removed, control=0.10, goal=0.40)
    ('holds', 'in part')
    """
    if estimate is None:
        return UNTESTED
    if not estimate.low <= estimate.high:
        raise ValueError(f"estimate must have low <= high, got {estimate!r}")
    sign = -1.0 if smaller else 1.0
    nearest = sign * (estimate.high if smaller else estimate.low)
    if isinstance(control, Estimate):
        bar = sign * (control.low if smaller else control.high)
    else:
        bar = sign * control
    if not nearest > bar:
        return FAILS
    return HOLDS if goal is None or nearest > sign * goal else IN_PART


def overall(verdicts: Iterable[str]) -> str:
    """One verdict on a claim about several rows: that of all if they agree, else "in part".

    Rows that were not tested do not count; if none was, neither was the claim.
    """
    tested = {v for v in verdicts if v != UNTESTED}
    unknown = tested - {HOLDS, IN_PART, FAILS}
    if unknown:
        raise ValueError(f"{sorted(unknown)} is no verdict; they are given by verdict()")
    if not tested:
        return UNTESTED
    return tested.pop() if len(tested) == 1 else IN_PART
