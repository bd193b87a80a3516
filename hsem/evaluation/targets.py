"""How good a packaged model should be, and is: one rule for command, chapter and model card.

    reached = quality("portraits-64")        # {key: value}, None where nothing was measured
    TARGETS["ks"].said(reached["ks"]), TARGETS["ks"].short(reached["ks"])

Five rows are about samples; `python -m portraits.evaluate` measures them and writes them beside the
weights. The others are about handles, and are read from the results of the book: what a swapped h
decides (`swap`), named directions by the second judge (`named`; `ages` of other networks), smile
and mouth in pixels (`geometry`). For the mouth, the direction that was found in more samples counts
where there is one (`named-mouth`, `geometry-mouth`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import results
from ..judges import classifier
from ..network.models import DATA
from ..reading import read_json
from .stability import bootstrap
from .swapped import share_of_h

HANDLES = ("yaw", "pitch", "smile", "gender", "age", "glasses", "hat", "mouth_open")
"""The eight of "Directions with names"."""
END_TO_END = 1.5  # sd that the whole interval of a handle must exceed
Value = float | tuple[float, int] | None


class Target(NamedTuple):
    """One row of the table: what it is, which side is good, the goal, and digits."""

    words: str
    sign: str
    goal: float
    form: str = ".2f"
    people: int = 0  # of so many that must move

    def said(self, value: Value) -> str:
        """A value as text; with people, "27×, 8 of 8"."""
        if value is None:
            return "–"
        if isinstance(value, tuple):
            return f"{value[0]:{self.form}}×, {value[1]} of {self.people}"
        return f"{value:{self.form}}"

    @property
    def asked(self) -> str:
        """The goal as text."""
        return f"{self.sign} {self.said((self.goal, self.people) if self.people else self.goal)}"

    def short(self, value: Value) -> bool | None:
        """Whether a value misses the goal; None if there is no value."""
        if value is None:
            return None
        many = isinstance(value, tuple)
        number, people = value if isinstance(value, tuple) else (value, 0)
        good = number <= self.goal if self.sign == "≤" else number >= self.goal
        return not (good and (people >= self.people or not many))


TARGETS: dict[str, Target] = {
    "ks": Target("KS distance, mean", "≤", 0.10),
    "frechet": Target("Fréchet distance", "≤", 30, ".1f"),
    "spread": Target("spread, mean", "≥", 0.85),
    "told": Target("told from renders", "≤", 0.88, ".0%"),
    "nearest": Target("nearest render, ratio", "≥", 0.90),
    "exchange": Target("share of a swapped h", "≥", 0.42),
    "handles": Target("handles of 8 that pass", "≥", 8, ".0f"),
    "smile": Target("smile in pixels", "≥", 5, ".0f", 8),
    "mouth": Target("mouth in pixels", "≥", 5, ".0f", 8),
}
"""`nearest` is the distance of samples to their nearest training portrait over that of held-out
renders: 1 if they are as far. `smile` and `mouth` are times the change by random directions, and
how many of the first eight people lie beyond 95 % of those."""


def evaluation(name: str | Path, file: str = "evaluation.json") -> dict[str, Any]:
    """What `portraits.evaluate` measured: in the package by the name of a model, else in a folder.

    Raises
    ------
    OSError
        If it was not measured, or the file is damaged.
    """
    folder = DATA / name if (DATA / name).is_dir() else Path(name)
    remedy = "measure it with python -m portraits.evaluate"
    return read_json(folder / file, remedy, finite=False)  # what was measured may be NaN


def of_samples(measured: Mapping[str, Any], halves: bool = False) -> dict[str, Value]:
    """The five numbers about samples, or what they are between two halves of real portraits."""
    end = "_two_halves_of_real" if halves else ""
    told = "real_or_fake_two_halves_of_real" if halves else "real_or_fake_accuracy"
    return {
        "ks": mean(measured[f"ks{end}"].values()),
        "frechet": measured[f"frechet{end}"],
        "spread": mean(measured[f"spread{end}"].values()),
        "told": measured[told],
        "nearest": 1.0 if halves else measured["nearest_ratio"],
    }


def of_handles(fingerprint: str) -> dict[str, Value]:
    """The four numbers about handles of the weights with this fingerprint; None if not stored."""
    found: dict[str, Value] = dict.fromkeys(("exchange", "handles", "smile", "mouth"))
    swap = results.load("swap", check=False)
    for label, mark in swap.provenance["fingerprints"].items():
        if mark == fingerprint:
            found["exchange"] = exchange(swap[label], swap.provenance["columns"])
    if named := _stored(fingerprint, "named", "named-obeys"):
        found["handles"] = passing(named, _stored(fingerprint, "named-mouth"))
    if found["handles"] is None:
        found["handles"] = passing_as_one_of("ages", fingerprint)
    pixels = _stored(fingerprint, "geometry", "geometry-obeys")
    wider = _stored(fingerprint, "geometry-mouth") or pixels
    for key, what, where in (("smile", "smile", pixels), ("mouth", "mouth_open", wider)):
        found[key] = beyond_chance(where, what) if where else None
    return found


def quality(name: str | Path = "portraits-64") -> dict[str, Value]:
    """All rows of one model, by the keys of `TARGETS`."""
    measured = evaluation(name)
    return of_samples(measured) | of_handles(measured["model"])


def earlier() -> dict[str, dict[str, Any]]:
    """Networks that were the default once: their rows, and "how" those were measured.

    Their weights are not in the package, so nothing but the exchange is computed again.
    """
    found: dict[str, dict[str, Any]] = evaluation("portraits-64", "history.json")
    for row in found.values():
        row |= {k: v for k, v in of_handles(row["fingerprint"]).items() if v is not None}
    return found


def exchange(scores: Tensor, columns: list[str]) -> float:
    """Mean share of an attribute that goes with a swapped h, of the rows of `hsem.recipes.swap`."""
    shares = []
    for k in (k for k, name in enumerate(columns) if name != "sunglasses"):
        shares.append(float(share_of_h(*scores[:4, :, k].double())))
    return mean(shares)


def passing(named: results.Results, more: results.Results | None = None) -> float | None:
    """How many of the eight handles move their attribute, monotonely, by more than 1.5 sd.

    Directions that are also in `more` have a second try.
    """
    if not all(f"curve/{name}" in named.tensors for name in HANDLES):
        return None
    unit = classifier.load(classifier.SECOND).spread

    def good(found: results.Results | None, name: str) -> bool:
        if found is None or f"curve/{name}" not in found.tensors:
            return False
        k = list(found.provenance["columns"]).index(name)
        return passes(found[f"curve/{name}"][..., k] / unit[k])

    return float(sum(good(named, name) or good(more, name) for name in HANDLES))


def passing_as_one_of(name: str, fingerprint: str) -> float | None:
    """The same, of a network that stands in a result of several (see `hsem.recipes.ages`)."""
    ages = results.load(name, check=False)
    columns = list(ages.provenance["columns"])
    for label, mark in ages.provenance["fingerprints"].items():
        if mark == fingerprint:
            curves = (ages[f"{label}/{n}"][..., columns.index(n)] for n in HANDLES)
            return float(sum(map(passes, curves)))
    return None


def passes(curve: Tensor) -> bool:
    """Whether an attribute (scales, people), in sd, rises steadily by more than 1.5 end to end."""
    steady = bool((curve.mean(1).diff() > -0.01).all())
    return steady and bootstrap(torch.mean, curve[-1] - curve[0]).low > END_TO_END


def beyond_chance(pixels: results.Results, what: str) -> tuple[float, int]:
    """Change of a length over that by random directions, and who of the first 8 is beyond them."""
    k = pixels.provenance["columns"].index(pixels.provenance["own"][what])

    def pushed(key: str) -> Tensor:
        return (pixels[key][-1] - pixels[key][0])[:, k]

    own = pushed(f"curve/{what}")
    marks = [key for key in pixels.tensors if key.startswith(f"random/{what}/") and key[-1] != "n"]
    chance = torch.stack([pushed(key) for key in sorted(marks)]).abs()
    times = float(own.abs().mean() / chance.mean())
    return times, int((own[:8] > chance.flatten().quantile(0.95)).sum())


def _stored(fingerprint: str, *names: str) -> results.Results | None:
    """The first of some results that is about these weights."""
    for name in names:
        found = results.load(name, check=False)
        if found.provenance["fingerprint"] == fingerprint:
            return found
    return None
