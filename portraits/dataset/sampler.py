"""Random portraits. `CORRELATIONS` names the correlations that are built in.

The order in which numbers are drawn is part of the data set: another order gives other portraits
for the same seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..renderer.colours import Colour, linear
from ..renderer.factors import (
    ANCESTRIES,
    CLOTHES,
    EYE_COLOURS,
    HAIR_STYLES,
    HATS,
    Glasses,
    Portrait,
)
from ..renderer.shape import random_shape

CORRELATIONS: dict[tuple[str, str], tuple[int, str]] = {
    ("age", "glasses"): (1, "14 % at 25 years and below, 48 % at 80"),
    ("age", "hair_grey"): (1, "none up to 42, then rising; all grey around 78"),
    ("age", "weight"): (1, "0.002 a year"),
    ("glasses", "sunglasses"): (1, "a tenth of all glasses"),
    ("gender", "hat"): (1, "9 % of women, 22 % of men"),
    ("gender", "beard"): (1, "men only: 45 % a beard, the others stubble"),
    ("gender", "makeup"): (-1, "women only"),
    ("gender", "smile"): (-1, "women smile 0.08 more"),
    ("african", "skin_tone"): (-1, "mean tone 0.22, 0.66 and 0.78 by ancestry"),
    ("caucasian", "skin_tone"): (1, "mean tone 0.22, 0.66 and 0.78 by ancestry"),
    ("caucasian", "hair_lightness"): (1, "the others have dark hair, mean lightness 1/8"),
    ("caucasian", "hair_red"): (1, "mean share of red 1/6, the others 1/13"),
    ("smile", "mouth_open"): (1, "a smile opens the mouth by up to 0.30"),
    ("yaw", "gaze_x"): (-1, "the eyes stay with the viewer while the head turns"),
    ("pitch", "gaze_y"): (-1, "the eyes stay with the viewer while the head nods"),
}
"""(cause, effect): sign and size. Besides these, hair styles and clothes depend on gender, baldness
on age, curls and eye colours on ancestry, and a woman's cap becomes a beanie."""


def sample(rng: np.random.Generator) -> Portrait:
    """One random person in one random picture."""
    p: dict[str, Any] = {}
    _pose(p, rng)
    woman = _person(p, rng)
    _expression(p, rng, woman)
    _worn_and_hair(p, rng, woman)
    _light_and_background(p, rng)
    _colours_of_what_is_worn(p, rng)
    p["shape"] = random_shape(rng)
    p["zoom"] = float(1 + rng.normal(0, 0.015))
    p["shift"] = (float(rng.normal(0, 0.012)), float(rng.normal(0, 0.012)))
    p["grain"] = float(rng.uniform(0, 1))
    del p["group"]
    return Portrait(**p)


def _clipped(value: float, low: float, high: float) -> float:
    return float(np.clip(value, low, high))


def _colour(values: np.ndarray) -> Colour:
    r, g, b = (float(v) for v in values)
    return (r, g, b)


def _muted(rng: np.random.Generator, low: float, high: float, least: float, most: float) -> Colour:
    """A grey between low and high, slightly tinted."""
    return _colour(
        linear(np.clip(rng.uniform(low, high) + rng.normal(0, 0.12, 3), least, most))
    )  # fmt: skip


def _pose(p: dict[str, Any], rng: np.random.Generator) -> None:
    p["yaw"] = _clipped(rng.normal(0, 17), -45, 45)
    p["pitch"] = _clipped(rng.normal(0, 7), -20, 20)
    p["roll"] = _clipped(rng.normal(0, 4.5), -14, 14)


def _person(p: dict[str, Any], rng: np.random.Generator) -> bool:
    """Whether it is a woman: the two halves of the distribution of `gender`."""
    woman = rng.random() < 0.5
    p["gender"] = _clipped(rng.beta(2, 14) if woman else 1 - rng.beta(2, 14), 0, 1)
    p["age"] = float(16 + 69 * rng.beta(1.2, 2.4))
    heavier = 0.002 * (p["age"] - 35)
    p["weight"] = _clipped(0.44 + rng.normal(0, 0.13) + heavier, 0.15, 0.95)
    group = int(rng.choice(3, p=[0.26, 0.28, 0.46]))
    shares = rng.dirichlet([0.35] * 3) * 0.3
    shares[group] += 0.7
    p["group"] = group
    p.update({name: float(share) for name, share in zip(ANCESTRIES, shares, strict=True)})
    p["skin_tone"] = _clipped(float(shares @ [0.22, 0.66, 0.78]) + rng.normal(0, 0.09), 0, 1)
    p["skin_tint"] = _colour(1 + rng.normal(0, 0.03, 3))
    return bool(woman)


def _expression(p: dict[str, Any], rng: np.random.Generator, woman: bool) -> None:
    p["smile"] = _clipped(rng.normal(0.28, 0.48) + (0.08 if woman else 0), -0.6, 1)
    opened = max(0, rng.normal(0, 0.30))
    p["mouth_open"] = _clipped(opened + 0.30 * max(p["smile"], 0) * rng.random(), 0, 1)
    if rng.random() > 0.14:
        p["eye_open"] = _clipped(rng.normal(0.98, 0.1), 0.7, 1.2)
    else:
        p["eye_open"] = float(rng.uniform(0, 0.6))
    p["brow_raise"] = _clipped(rng.normal(0.05, 0.40), -0.8, 1)
    p["gaze_x"] = _clipped(rng.normal(-p["yaw"] / 40, 0.35), -1.3, 1.3)
    p["gaze_y"] = _clipped(rng.normal(-p["pitch"] / 30, 0.25), -1, 1)


def _style_weights(woman: bool, old: float, african: bool) -> dict[str, float]:
    if woman:
        return {
            "short01": 0.03, "short02": 0.05, "short03": 0.03, "short04": 0.02, "bob02": 0.18,
            "long01": 0.30, "ponytail01": 0.20, "braid01": 0.12,
            "curly": 0.05 + 0.12 * african, "afro": 0.02 + 0.16 * african,
        }  # fmt: skip
    return {
        "none": 0.10 + 0.2 * old, "short01": 0.19, "short02": 0.19, "short03": 0.19,
        "short04": 0.19, "long01": 0.04, "ponytail01": 0.02,
        "curly": 0.08 + 0.15 * african, "afro": 0.02 + 0.10 * african,
    }  # fmt: skip


def _worn_and_hair(p: dict[str, Any], rng: np.random.Generator, woman: bool) -> None:
    old = np.clip((p["age"] - 25) / 55, 0, 1)
    fair = p["group"] == ANCESTRIES.index("caucasian")
    p["glasses"] = bool(rng.random() < 0.14 + 0.34 * old)
    p["hat"] = bool(rng.random() < (0.09 if woman else 0.22))
    p["hat_type"] = HATS[rng.choice(3, p=[0.4, 0.35, 0.25])]
    if p["hat"] and p["hat_type"] == "cap" and woman:
        p["hat_type"] = "beanie"
    table = _style_weights(woman, old, p["african"] > 0.5)
    weights = np.array([table.get(name, 0) for name in HAIR_STYLES])
    p["hair_style"] = str(rng.choice(HAIR_STYLES, p=weights / weights.sum()))
    p["hair_volume"] = float(rng.uniform(0.6, 1.15))
    p["hair_lightness"] = _clipped(rng.beta(1.2, 1.5) if fair else rng.beta(1, 7), 0, 1)
    p["hair_red"] = float(rng.beta(1, 5)) if fair else float(rng.beta(1, 12))
    p["hair_grey"] = 0.0
    if p["age"] > 42:
        p["hair_grey"] = _clipped((p["age"] - 50) / 28 + rng.normal(0, 0.2), 0, 1)
    p["scalp"] = 0.75 if p["hair_style"] != "none" else 0.35 * rng.random()
    if fair:
        shares = [0.3, 0.15, 0.15, 0.1, 0.1, 0.08, 0.07, 0.05]
        p["eye_colour"] = str(rng.choice(EYE_COLOURS, p=shares))
    else:
        p["eye_colour"] = str(rng.choice(EYE_COLOURS[:2], p=[0.8, 0.2]))
    p["brow"] = int(rng.integers(1, 13))
    p["lash"] = int(rng.integers(1, 5))
    p["makeup"] = float(rng.beta(1.5, 2)) if woman else 0.0
    p["lip_colour"] = (1.0, float(rng.uniform(0.30, 0.6)), float(rng.uniform(0.35, 0.65)))
    p["beard"] = 0.0
    if not woman:
        p["beard"] = float(rng.uniform(*((0.45, 1) if rng.random() < 0.45 else (0, 0.3))))
    p["clothes"] = str(rng.choice(CLOTHES[:3] if woman else CLOTHES[3:]))
    p["clothes_colour"] = _muted(rng, 0.12, 0.85, 0.03, 0.95)


def _light_and_background(p: dict[str, Any], rng: np.random.Generator) -> None:
    p["light_azimuth"] = float(rng.uniform(-70, 70))
    p["light_elevation"] = float(rng.uniform(5, 55))
    p["light_ambient"] = float(rng.beta(2.4, 2))
    p["warmth"] = float(rng.normal(0, 0.6))
    grey = rng.uniform(0.15, 0.9)
    p["background"] = _colour(linear(np.clip(grey + rng.normal(0, 0.05, 3), 0.03, 1)))
    p["background_gradient"] = float(rng.uniform(0, 0.2))
    angle = rng.uniform(0, 6.28)
    p["background_direction"] = (float(np.cos(angle)), float(np.sin(angle)))
    p["background_texture"] = float(rng.uniform(0, 0.15))


def _colours_of_what_is_worn(p: dict[str, Any], rng: np.random.Generator) -> None:
    p["hat_colour"] = _muted(rng, 0.05, 0.75, 0.02, 0.95)
    if rng.random() < 0.5:
        p["brim_colour"] = _colour(linear(rng.uniform(0.05, 0.85, 3)))
    else:
        p["brim_colour"] = _colour(np.array(p["hat_colour"]) * 0.6)
    material = rng.random()
    ranges = ((0.215, 0.27), (0.14, 0.22), (2, 4.5), (0.012, 0.028), (-0.2, 1))
    p["glasses_form"] = Glasses(*(float(rng.uniform(low, high)) for low, high in ranges))
    if material < 0.7:
        p["glasses_colour"] = _colour(linear(rng.choice([0.04, 0.06, 0.1, 0.5])) * np.ones(3))
    else:
        p["glasses_colour"] = _colour(linear(np.array([0.45, 0.25, 0.12]) * rng.uniform(0.4, 1)))
    p["sunglasses"] = bool(rng.random() < 0.10)
