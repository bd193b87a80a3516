"""What is set in a playground, as the part of an address behind `#`, in the page's own form."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

# What a link leaves out; as in book/_static/playground/state.js. Steps count from 1.
PLAIN: Mapping[str, Any] = {
    "seed": 7, "steps": 16, "eta": 0.0, "asyrp": False, "from": 1, "to": None, "swap": None,
    "random": 0.0, "randomSeed": 0, "randomLike": None, "mask": None,
}  # fmt: skip
PERSON = (0, 2**32 - 1, True)
SHOWN = 40  # signs of something that was left out


def write(state: Mapping[str, Any]) -> str:
    """`#seed=7&yaw=0.5` of a state; `read` says what is in one. The seed is always written."""
    pairs: dict[str, Any] = {"seed": state["seed"]}
    for key in ("steps", "eta"):
        pairs[key] = state[key]
    pairs |= {name: value for name, value in state["strengths"].items() if value}
    if state["random"]:
        pairs |= {key: state[key] for key in ("random", "randomSeed", "randomLike")}
    pairs |= {"asyrp": int(state["asyrp"]), "from": state["from"], "swap": state["swap"]}
    pairs["to"] = None if state["to"] == state["steps"] else state["to"]
    if state["mask"] is not None and not all(state["mask"]):
        bits = "".join(str(int(on)) for on in state["mask"])
        fours = [bits[k : k + 4].ljust(4, "0") for k in range(0, len(bits), 4)]
        pairs["mask"] = "".join(f"{int(four, 2):x}" for four in fours)
    plain = {**PLAIN, "seed": None}
    kept = {key: value for key, value in pairs.items() if value != plain.get(key, ...)}
    return "#" + urlencode({key: _text(value) for key, value in kept.items()})


def read(
    link: str, directions: Collection[str], cells: int, *, reach: float, most: int
) -> tuple[dict[str, Any], list[str]]:
    """The state in a link, and what was left out because it is unknown or out of range.

    Parameters
    ----------
    link : a whole address or what stands behind its `#`; anybody may have written it
    directions : names that have a slider
    cells : number of cells of h
    reach : largest strength
    most : largest number of steps

    Returns
    -------
    A state: `PLAIN` and `strengths` by name, with `mask` a list of bool; and texts `key=value`.
    """
    strength, step = (-reach, reach, False), (1, most, True)
    ranges = {
        "seed": PERSON, "swap": PERSON, "randomSeed": PERSON, "random": strength,
        "eta": (0, 1, False), "steps": (2, most, True), "from": step, "to": step,
    }  # fmt: skip
    found: dict[str, Any] = dict(PLAIN) | {"strengths": {}}
    ignored = []
    for key, text in parse_qsl(link.rpartition("#")[2].strip(), keep_blank_values=True):
        value: Any = None
        if key in ranges:
            value = _number(text, *ranges[key])
            found[key] = found[key] if value is None else value
        elif key in directions:
            value = _number(text, *strength)
            if value is not None:
                found["strengths"][key] = value
        elif key == "randomLike" and text in directions:
            value = found[key] = text
        elif key == "asyrp" and text in ("0", "1"):
            value, found[key] = text, text == "1"
        elif key == "mask":
            value = _mask(text, cells)
            found[key] = value or found[key]
        elif key == "on":
            value = text  # where the page computes; a kernel has its device
        if value is None:
            ignored.append(f"{key}={text}"[:SHOWN])
    return found, ignored


def _number(text: str, least: float, most: float, whole: bool) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not (math.isfinite(value) and least <= value <= most and (not whole or value.is_integer())):
        return None
    return int(value) if whole else value


def _mask(text: str, cells: int) -> list[bool] | None:
    try:
        bits = "".join(f"{int(digit, 16):04b}" for digit in text)
    except ValueError:
        return None
    return [bit == "1" for bit in bits[:cells]] if len(text) == -(-cells // 4) else None


def _text(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
