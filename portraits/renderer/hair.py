"""Hair, brows and lashes. Most styles are textured cards; curls are six shells of the scalp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from .colours import linear, luminance
from .factors import HAIR_STYLES
from .gl import Draw, GpuMesh, Material, Renderer
from .hats import Plane, scalp_faces
from .head import Head
from .meshes import Surface
from .parts import Part
from .sitter import Sitter

CURLS = {"curly": 0.16, "afro": 0.46}
"""Styles made of shells, and how far the outermost stands off."""
SHELLS = 6
FRINGED = ("bob02", "short03", "braid01")  # strands in front of their eyes are cut
BROWS, LASHES = range(1, 13), range(1, 5)


class Hair:
    """Hair, brows and lashes of every style."""

    def __init__(self, renderer: Renderer, head: Head, assets: Path) -> None:
        def card(path: Path, texture: Path | None, size: int = 1024) -> Part:
            return Part(renderer, head, path, texture, size)

        brows = {k: assets / f"eyebrows/eyebrow{k:03d}/eyebrow{k:03d}" for k in BROWS}
        lashes = {k: assets / f"eyelashes/eyelashes0{k}/eyelashes0{k}" for k in LASHES}
        self.brows = {k: card(_of(b, "mhclo"), _of(b, "png"), 512) for k, b in brows.items()}
        self.lashes = {k: card(_of(b, "mhclo"), _of(b, "png"), 512) for k, b in lashes.items()}
        self.cards, self.luminance = {}, {}
        for style in HAIR_STYLES:
            if style == "none" or style in CURLS:
                continue
            base = assets / "hair" / style / style
            file = Path(f"{base}_diffuse.png")
            part = card(_of(base, "mhclo"), file if file.exists() else None)
            self.luminance[style] = 0.18
            if part.pixels is None:
                part.mesh.texture = renderer.texture(_curl_texture())
            else:
                solid = part.pixels[part.pixels[..., 3] > 128][:, :3] / 255.0
                self.luminance[style] = float(luminance(linear(solid)).mean())
            self.cards[style] = part
        v = head.vertices
        hairline = np.interp(
            v[:, 2], [-0.3, 0.35, 0.75, 1.05, 1.5], [-0.75, -0.35, -0.15, 0.28, 0.36]
        )
        self.above_hairline = v[:, 1] - 7.60 - hairline
        faces = scalp_faces(head, self.above_hairline, -0.05, 0.80)
        shell = Surface(len(head), head.uv, head.faces, faces)
        self.shells = [GpuMesh(renderer, shell) for _ in range(SHELLS)]

    def put(self, sitter: Sitter, clip: Plane) -> list[Draw]:
        """Brows, lashes and hair; `clip` is the plane of a hat."""
        p = sitter.portrait
        brow, lash = self.brows[p.brow], self.lashes[p.lash]
        brow.put(sitter)
        lash.put(sitter)
        strength = 0.5 + 0.5 * p.makeup if p.gender < 0.5 else 0.45
        of_brow = {"colour": p.hair_rgb * 0.45 + 0.004, "cut": 0.6, "gloss": 0.95}
        of_lash = {"colour": (0.01, 0.008, 0.008), "cut": 0.6, "gloss": strength}
        draws = [
            Draw(brow.mesh, Material.BROW, "brows", of_brow, translucent=True),
            Draw(lash.mesh, Material.BROW, "eyes", of_lash, translucent=True),
        ]
        if p.hair_style in CURLS:
            return draws + self._put_curls(sitter, clip)
        if p.hair_style != "none":
            draws.append(self._put_cards(sitter, clip))
        return draws

    def _put_cards(self, sitter: Sitter, clip: Plane) -> Draw:
        p, between = sitter.portrait, sitter.between
        part = self.cards[p.hair_style]
        part.put(sitter)
        look = {
            "colour": p.hair_rgb,
            "cut": 0.45,
            "gloss": 0.35,
            "mean_luminance": self.luminance[p.hair_style],
            "volume": 0.55,
            "clip": clip,
            "trim": (
                sitter.eye_distance * 0.95,
                between[1] + 0.20 * sitter.scale,
                between[2] - 0.12,
                1.0 if p.hair_style in FRINGED else 0.0,
            ),
        }
        return Draw(part.mesh, Material.HAIR, "hair", look, translucent=True)

    def _put_curls(self, sitter: Sitter, clip: Plane) -> list[Draw]:
        """Shells of the scalp one above the other, with holes where no curl is."""
        p, v = sitter.portrait, sitter.v
        out = v - np.array([0, sitter.between[1] + 0.15, 0.40])
        out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-9
        soft = np.clip((self.above_hairline + 0.05) / 0.5, 0, 1)[:, None] ** 0.5
        bumps = 1 + 0.12 * np.sin(out @ [9, 5, 3.0]) * np.sin(out @ [-4, 8, 6.0])
        draws = []
        for i, mesh in enumerate(self.shells):
            t = (i + 1) / SHELLS
            by = 0.015 + CURLS[p.hair_style] * p.hair_volume * t * soft * bumps[:, None]
            mesh.update(sitter.pose((v + out * by).astype(np.float32)), v, 0.55 + 0.45 * t)
            holes = max(t - 0.35, 0) / 0.65 if CURLS[p.hair_style] > 0.3 else t * 0.8
            look = {"colour": p.hair_rgb, "gloss": holes, "cut": 0.5, "clip": clip}
            draws.append(Draw(mesh, Material.CURLS, "hair", look))
        return draws


def _of(base: Path, suffix: str) -> Path:
    return Path(f"{base}.{suffix}")


def _curl_texture(size: int = 512) -> np.ndarray:
    """Grey and transparent blotches (size, size, 4), for a style without a texture."""
    rng = np.random.default_rng(3)
    noise = sum(
        gaussian_filter(rng.normal(size=(size, size)), width, mode="wrap") * width
        for width in (2.0, 4.0, 7.0)
    )
    noise = (noise - noise.mean()) / noise.std()
    grey = np.clip(120 + 45 * noise, 20, 255)
    return np.dstack([grey, grey, grey, np.clip(200 + 90 * noise, 0, 255)]).astype(np.uint8)
