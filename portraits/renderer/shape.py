"""From factors to the weights of targets: who somebody is, and the face they make."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from .factors import ANCESTRIES, Portrait

HEAD_FORMS = (
    "head-round", "head-oval", "head-rectangular", "head-square", "head-triangular",
    "head-invertedtriangular", "head-diamond",
)  # fmt: skip
GENDER_STRENGTH = 1.45
"""Geometry is extrapolated beyond female and male by this, or 64 pixels would not show it."""

# name of a pair of targets: the two directions, and how far identities spread along it
DIRECTIONS: dict[str, tuple[str, str, float]] = {
    "head-scale-horiz": ("incr", "decr", 0.35),
    "head-scale-vert": ("incr", "decr", 0.3),
    "head-fat": ("incr", "decr", 0.5),
    "forehead-scale-vert": ("incr", "decr", 0.5),
    "forehead-nubian": ("incr", "decr", 0.4),
    "forehead-temple": ("incr", "decr", 0.5),
    "nose-scale-horiz": ("incr", "decr", 0.5),
    "nose-scale-vert": ("incr", "decr", 0.45),
    "nose-scale-depth": ("incr", "decr", 0.5),
    "nose-volume": ("incr", "decr", 0.4),
    "nose-hump": ("incr", "decr", 0.6),
    "nose-width1": ("incr", "decr", 0.5),
    "nose-width2": ("incr", "decr", 0.5),
    "nose-width3": ("incr", "decr", 0.5),
    "nose-point-width": ("incr", "decr", 0.5),
    "nose-point": ("up", "down", 0.5),
    "nose-base": ("up", "down", 0.4),
    "nose-greek": ("incr", "decr", 0.4),
    "mouth-scale-horiz": ("incr", "decr", 0.5),
    "mouth-scale-vert": ("incr", "decr", 0.3),
    "mouth-upperlip-volume": ("incr", "decr", 0.5),
    "mouth-lowerlip-volume": ("incr", "decr", 0.5),
    "mouth-upperlip-height": ("incr", "decr", 0.5),
    "mouth-lowerlip-height": ("incr", "decr", 0.5),
    "mouth-cupidsbow": ("incr", "decr", 0.5),
    "mouth-trans": ("up", "down", 0.3),
    "chin-width": ("incr", "decr", 0.5),
    "chin-height": ("incr", "decr", 0.45),
    "chin-prominent": ("incr", "decr", 0.5),
    "chin-bones": ("incr", "decr", 0.5),
    "chin-jaw-drop": ("incr", "decr", 0.4),
    "eyebrows-trans": ("up", "down", 0.5),
    "eyebrows-angle": ("up", "down", 0.5),
    "neck-scale-horiz": ("incr", "decr", 0.4),
}
# the same for parts that come in twos; both sides get the same weight
SIDED_DIRECTIONS: tuple[tuple[str, str, str, float], ...] = (
    ("eye-scale", "incr", "decr", 0.4),
    ("eye-trans", "in", "out", 0.35),
    ("eye-trans", "up", "down", 0.3),
    ("eye-height2", "incr", "decr", 0.4),
    ("eye-corner1", "up", "down", 0.5),
    ("eye-corner2", "up", "down", 0.5),
    ("eye-eyefold", "up", "down", 0.5),
    ("eye-bag", "incr", "decr", 0.3),
    ("cheek-bones", "incr", "decr", 0.5),
    ("cheek-volume", "incr", "decr", 0.5),
    ("cheek-inner", "incr", "decr", 0.4),
    ("ear-scale", "incr", "decr", 0.3),
    ("ear-rot", "forward", "backward", 0.3),
)


def random_shape(rng: np.random.Generator) -> dict[str, float]:
    """Weights of the targets that make one identity."""
    weights = {}
    for name, (more, less, spread) in DIRECTIONS.items():
        x = rng.normal(0, spread * 0.6)
        lowest = -0.25 if name.startswith("chin") else -1
        weights[f"{name}-{more if x > 0 else less}"] = abs(float(np.clip(x, lowest, 1)))
    for name, more, less, spread in SIDED_DIRECTIONS:
        x = rng.normal(0, spread * 0.6)
        for side in "lr":
            end = more if x > 0 else less
            weights[f"{side}-{name}-{end}"] = abs(float(np.clip(x, -1, 1)))
    for name in rng.choice(HEAD_FORMS, 2, replace=False):
        weights[str(name)] = float(rng.uniform(0, 0.45))
    return weights


def target_weights(p: Portrait, known: Collection[str]) -> dict[str, float]:
    """The weight of each target for a portrait. Identity targets not in `known` are left out."""
    gender = 0.5 + GENDER_STRENGTH * (p.gender - 0.5)
    ancestry = {name: getattr(p, name) for name in ANCESTRIES}
    weights = macro_weights(gender, p.age, ancestry, p.weight)
    details = [(name, weight) for name, weight in p.shape.items() if name in known]
    for name, weight in (*details, *_ageing(p.age), *_expression(p)):
        if weight:
            weights[name] = weights.get(name, 0) + weight
    return weights


def macro_weights(
    gender: float,
    age: float,
    ancestry: Mapping[str, float],
    weight: float = 0.5,
    muscle: float = 0.5,
) -> dict[str, float]:
    """Weights of the targets for gender, age, ancestry, weight and muscle (MakeHuman's own rule).

    gender : female 0 to male 1, and beyond
    age : in years
    ancestry : shares that sum to 1, by name
    """
    genders = {"female": 1 - gender, "male": gender}
    weights = {}
    for sex, a in genders.items():
        for stage, b in _life_stages(age).items():
            for name, c in ancestry.items():
                weights[f"{name}-{sex}-{stage}"] = a * b * c
            for m, d in _thirds(muscle, "muscle").items():
                for w, e in _thirds(weight, "weight").items():
                    weights[f"universal-{sex}-{stage}-{m}-{w}"] = a * b * d * e
    return weights


def _life_stages(age: float) -> dict[str, float]:
    if age < 25:  # 12 to 25 years
        return {"child": (25 - age) / 13.0, "young": 1 - (25 - age) / 13.0}
    t = min((age - 25) / 65.0, 1.15)
    return {"young": 1 - t, "old": t}


def _thirds(x: float, name: str) -> dict[str, float]:
    """Linear interpolation between the minimum, the average and the maximum of a target."""
    return {
        f"min{name}": max(0, 1 - 2 * x),
        f"average{name}": 1 - abs(2 * x - 1),
        f"max{name}": max(0, 2 * x - 1),
    }


def _ageing(age: float) -> Iterator[tuple[str, float]]:
    old = np.clip((age - 45) / 40, 0, 1)
    yield "mouth-laugh-lines-in", 0.5 * old
    yield "l-eye-bag-incr", 0.5 * old
    yield "r-eye-bag-incr", 0.5 * old
    yield "neck-double-incr", 0.25 * old
    yield "head-age-incr", 0.3 * old


def _expression(p: Portrait) -> Iterator[tuple[str, float]]:
    """Face units for smile, mouth, eyes and brows, and those that the portrait adds."""
    smile, frown = max(p.smile, 0), max(-p.smile, 0)
    up, down = max(p.brow_raise, 0), max(-p.brow_raise, 0)
    parted = min(1, p.mouth_open * 4)
    for side in ("Left", "Right"):
        yield f"fu-mouthSmile{side}", 1.3 * smile
        yield f"fu-cheekSquint{side}", 0.7 * smile
        yield f"fu-mouthUpperUp{side}", 0.40 * smile * parted
        yield f"fu-mouthLowerDown{side}", 0.20 * smile * parted
        yield f"fu-mouthDimple{side}", 0.25 * smile
        yield f"fu-mouthFrown{side}", 1.6 * frown
        yield f"fu-eyeBlink{side}", np.clip(1 - p.eye_open, 0, 1)
        yield f"fu-eyeWide{side}", np.clip(p.eye_open - 1, 0, 1)
        yield f"fu-eyeSquint{side}", 0.25 * smile
        yield f"fu-browOuterUp{side}", 1.9 * up
        yield f"fu-browDown{side}", 1.7 * down
    yield "fu-browInnerUp", 0.30 + 1.7 * up
    yield "l-eye-scale-incr", 0.38
    yield "r-eye-scale-incr", 0.38
    yield "fu-jawOpen", 0.75 * p.mouth_open
    yield "mouth-laugh-lines-in", 0.35 * smile
    for unit, weight in p.face_units.items():
        yield f"fu-{unit}", weight
