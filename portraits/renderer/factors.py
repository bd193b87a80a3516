"""What a portrait is made of: the record of its factors, and the labels that are stored of it.

`dataset.sampler` draws such records at random, `renderer.studio` draws the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .colours import GAMMA, Colour, hair_colour, skin_colour

ANCESTRIES = ("african", "asian", "caucasian")
HAIR_STYLES = (
    "none", "short01", "short02", "short03", "short04", "bob02", "long01", "ponytail01", "braid01",
    "curly", "afro",
)  # fmt: skip
HATS = ("fedora", "beanie", "cap")
CLOTHES = (
    "female_casualsuit01", "female_elegantsuit01", "female_sportsuit01", "male_casualsuit02",
    "male_casualsuit03", "male_casualsuit04", "male_casualsuit05", "male_casualsuit06",
    "male_elegantsuit01", "male_worksuit01",
)  # fmt: skip
EYE_COLOURS = (
    "brown", "brownlight", "blue", "bluegreen", "green", "grey", "lightblue", "deepblue",
)  # fmt: skip


class Glasses(NamedTuple):
    """A pair of glasses. Lengths in decimetres for a face whose eyes are 0.62 apart.

    width, height : half axes of a lens
    shape : exponent of the superellipse: 2 is an ellipse, large ones are rectangles
    rim : radius of the rim
    tilt : how much the outer corners rise
    """

    width: float
    height: float
    shape: float
    rim: float
    tilt: float


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """Everything that determines one picture. `FACTORS` gives meanings, units and ranges.

    Colours are linear light. "Nuisance" fields have no label: they vary, and nobody asks for them.
    """

    # pose in degrees, gaze
    yaw: float
    pitch: float
    roll: float
    gaze_x: float
    gaze_y: float
    # person
    gender: float
    age: float
    weight: float
    african: float
    asian: float
    caucasian: float
    skin_tone: float
    shape: Mapping[str, float]  # identity: weights of targets (nuisance)
    skin_tint: Colour  # factors of the skin colour around 1 (nuisance)
    # expression
    smile: float
    mouth_open: float
    eye_open: float
    brow_raise: float
    face_units: Mapping[str, float] = field(default_factory=dict)  # added; none in the data set
    # hair, brows, lashes, beard, make-up
    hair_style: str
    hair_lightness: float
    hair_red: float
    hair_grey: float
    hair_volume: float  # of curls (nuisance)
    scalp: float  # how much hair colour shows on the scalp (nuisance)
    eye_colour: str
    brow: int  # texture, 1 to 12 (nuisance)
    lash: int  # texture, 1 to 4 (nuisance)
    beard: float
    makeup: float
    lip_colour: Colour  # factors of the skin colour (nuisance)
    # what is worn
    glasses: bool
    sunglasses: bool
    glasses_form: Glasses
    glasses_colour: Colour
    hat: bool
    hat_type: str
    hat_colour: Colour
    brim_colour: Colour
    clothes: str
    clothes_colour: Colour
    # light and background
    light_azimuth: float
    light_elevation: float
    light_ambient: float
    warmth: float  # of the light (nuisance)
    background: Colour
    background_gradient: float
    background_direction: tuple[float, float]
    background_texture: float
    # camera (nuisance)
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    grain: float = 0.0  # seed of the noise in shaders, 0 to 1

    def __post_init__(self) -> None:
        for name in ("shape", "face_units"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def skin_rgb(self) -> np.ndarray:
        return skin_colour(self.skin_tone) * self.skin_tint

    @property
    def hair_rgb(self) -> np.ndarray:
        return hair_colour(self.hair_lightness, self.hair_red, self.hair_grey)

    @property
    def ancestry(self) -> str:
        """The largest of the three."""
        return max(ANCESTRIES, key=lambda name: float(getattr(self, name)))


class Factor(NamedTuple):
    """meaning; unit ("" for a plain number); lowest and highest value in the data set."""

    meaning: str
    unit: str
    low: float
    high: float


FACTORS: dict[str, Factor] = {
    "yaw": Factor("head turns; positive to the right of the picture", "degrees", -45, 45),
    "pitch": Factor("head nods; positive is up", "degrees", -20, 20),
    "roll": Factor("head tilts; positive is anticlockwise in the picture", "degrees", -14, 14),
    "gender": Factor("rendering parameter of shape and skin, female 0 to male 1", "", 0, 1),
    "age": Factor("rendering parameter of shape and skin", "years", 16, 85),
    "weight": Factor("from thin to heavy", "", 0.15, 0.95),
    "african": Factor("share in shape and skin texture", "", 0, 1),
    "asian": Factor("share in shape and skin texture", "", 0, 1),
    "caucasian": Factor("share in shape and skin texture", "", 0, 1),
    "skin_tone": Factor("from dark to light", "", 0, 1),
    "smile": Factor("frown below 0, smile above", "", -0.6, 1),
    "mouth_open": Factor("closed 0, open 1", "", 0, 1),
    "eye_open": Factor("closed 0, usual 1, wide above", "", 0, 1.2),
    "brow_raise": Factor("lowered below 0, raised above", "", -0.8, 1),
    "gaze_x": Factor("eyes against the head, sideways (1 is 18 degrees)", "", -1.3, 1.3),
    "gaze_y": Factor("eyes against the head, up (1 is 12 degrees)", "", -1, 1),
    "glasses": Factor("no 0, yes 1", "yes/no", 0, 1),
    "glasses_shape": Factor("exponent of the lens outline, 2 round; 0 without", "", 0, 4.5),
    "sunglasses": Factor("no 0, yes 1", "yes/no", 0, 1),
    "hat": Factor("no 0, yes 1", "yes/no", 0, 1),
    "hat_type": Factor("0 none, 1 fedora, 2 beanie, 3 cap", "kind", 0, 3),
    "hair_style": Factor("index of " + ", ".join(HAIR_STYLES), "kind", 0, 10),
    "hair_lightness": Factor("black 0, blond 1", "", 0, 1),
    "hair_red": Factor("share of red", "", 0, 1),
    "hair_grey": Factor("share of grey", "", 0, 1),
    "hair_r": Factor("red of the hair colour on a screen", "", 0, 1),
    "hair_g": Factor("green of the hair colour", "", 0, 1),
    "hair_b": Factor("blue of the hair colour", "", 0, 1),
    "light_azimuth": Factor("main light from the left below 0, right above", "degrees", -70, 70),
    "light_elevation": Factor("main light, height", "degrees", 5, 55),
    "light_ambient": Factor("hard light 0, soft light 1", "", 0, 1),
    "bg_r": Factor("red of the background on a screen", "", 0, 1),
    "bg_g": Factor("green of the background", "", 0, 1),
    "bg_b": Factor("blue of the background", "", 0, 1),
    "makeup": Factor("lip colour and lashes", "", 0, 1),
    "cloth": Factor("index of " + ", ".join(CLOTHES), "kind", 0, 9),
    "beard": Factor("clean 0, stubble, full 1", "", 0, 1),
}
"""What is stored of each portrait, in the order of the columns."""

LABELS = tuple(FACTORS)


def labels(p: Portrait) -> np.ndarray:
    """The labels (37,) of a portrait, float32, in the order of `LABELS`."""
    values: dict[str, float] = {
        "glasses_shape": p.glasses_form.shape if p.glasses else 0,
        "sunglasses": p.glasses and p.sunglasses,
        "hat_type": HATS.index(p.hat_type) + 1 if p.hat else 0,
        "hair_style": HAIR_STYLES.index(p.hair_style),
        "cloth": CLOTHES.index(p.clothes),
    }
    for k, c in enumerate("rgb"):
        values[f"hair_{c}"] = p.hair_rgb[k] ** (1 / GAMMA)
        values[f"bg_{c}"] = min(1, p.background[k]) ** (1 / GAMMA)
    each = [values[n] if n in values else getattr(p, n) for n in LABELS]
    return np.array([float(v) for v in each], np.float32)
