"""Parts that are fitted to every head: eyes, teeth, tongue, clothes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .factors import CLOTHES, EYE_COLOURS
from .gl import Draw, GpuMesh, Material, Renderer
from .head import LOWEST, Head
from .meshes import Proxy, Surface, rotation
from .sitter import Sitter

GAZE = (18.0, 12.0)  # degrees sideways and up, for a gaze of 1


class Part:
    """A proxy mesh and what it shares of the head's movements."""

    def __init__(
        self,
        renderer: Renderer,
        head: Head,
        path: Path,
        texture: Path | None = None,
        size: int = 1024,
        keep: Callable[[np.ndarray], bool] | None = None,
    ) -> None:
        self.name = path.stem
        self.proxy = proxy = Proxy(path)
        neutral = proxy.fit(head.vertices)
        faces = proxy.mesh.faces
        kept = [keep(neutral[vertices]) for vertices, _ in faces] if keep else None
        surface = Surface(len(proxy), proxy.mesh.uv, faces, kept)
        self.pixels: np.ndarray | None = None
        loaded = None
        if texture is not None:
            loaded, self.pixels = renderer.texture_file(texture, size)
        self.mesh = GpuMesh(renderer, surface, loaded)
        self.turns = proxy.carry(head.turns)
        self.arms = {side: proxy.carry(share) for side, share in head.arms.items()}

    def fit(self, sitter: Sitter) -> np.ndarray:
        """Its vertices (n, 3) on this head, before posing."""
        return self.proxy.fit(sitter.v).astype(np.float32)

    def put(
        self,
        sitter: Sitter,
        occlusion: float | np.ndarray = 1.0,
        rest: np.ndarray | None = None,
        arms: bool = False,
    ) -> None:
        """Pose it with the head; `rest` in place of `fit(sitter)`."""
        rest = self.fit(sitter) if rest is None else rest
        posed = sitter.pose(rest, self.turns, self.arms if arms else None)
        self.mesh.update(posed, rest, occlusion)


class Parts:
    """Eyes, teeth and tongue, and the clothes there are."""

    def __init__(self, renderer: Renderer, head: Head, body: GpuMesh, assets: Path) -> None:
        def part(path: str, texture: str, size: int = 1024) -> Part:
            return Part(renderer, head, assets / path, assets / texture, size)

        self.eyes = Part(renderer, head, assets / "eyes/low-poly/low-poly.mhclo")
        materials = assets / "eyes/materials"
        self.irises = {
            name: renderer.texture_file(materials / f"{name}_eye.png", 512)[0]
            for name in EYE_COLOURS
        }
        teeth, tongue = "teeth/teeth_base/teeth", "tongue/tongue01/tongue01"
        self.teeth = part(f"{teeth}_base.mhclo", f"{teeth}.png", 512)
        self.tongue = part(f"{tongue}.mhclo", f"{tongue}_diffuse.png", 256)
        self.clothes, self.uncovered = {}, {}
        for name in CLOTHES:
            path = assets / "clothes" / name / name
            self.clothes[name] = clothes = Part(
                renderer, head, path.with_suffix(".mhclo"), Path(f"{path}_diffuse.png"),
                keep=lambda corners: bool(corners[:, 1].min() > LOWEST),
            )  # fmt: skip
            triangles = _uncovered(head, body.surface, clothes.proxy.deleted)
            self.uncovered[name] = body.index_buffer(triangles)

    def put(self, sitter: Sitter) -> list[Draw]:
        p = sitter.portrait
        self.eyes.put(sitter, np.full(len(self.eyes.proxy), 0.8, np.float32), self._look(sitter))
        light = 0.62 if "brown" in p.eye_colour else 0.85
        inside = 0.55 + 0.4 * np.clip(p.mouth_open + 0.4 * max(p.smile, 0), 0, 1)
        self.teeth.put(sitter, inside * 0.9)
        self.tongue.put(sitter, inside * 0.5)
        yellowed = 1 - 0.15 * np.clip((p.age - 40) / 50, 0, 1)
        teeth_colour = np.array([1.0, 0.97, 0.92]) * 0.80 * yellowed
        clothes = self.clothes[p.clothes]
        clothes.put(sitter, 0.9, arms=True)
        of_clothes = {"colour": p.clothes_colour, "dyed": 1.0, "cut": 0.4}
        iris = self.irises[p.eye_colour]
        return [
            Draw(self.eyes.mesh, Material.EYE, "eyes", {"colour": (light,) * 3}, iris),
            Draw(self.teeth.mesh, Material.MOUTH, "mouth", {"colour": teeth_colour}),
            Draw(self.tongue.mesh, Material.MOUTH, "mouth", {"colour": (0.6, 0.5, 0.5)}),
            Draw(clothes.mesh, Material.CLOTH, "clothes", of_clothes),
        ]

    def _look(self, sitter: Sitter) -> np.ndarray:
        """Eyeballs turned by the gaze, each about its centre."""
        p, rest = sitter.portrait, self.eyes.fit(sitter)
        gaze = rotation(p.gaze_x * GAZE[0], -p.gaze_y * GAZE[1], 0).T.astype(np.float32)
        for joint, side in ((sitter.left_eye, 1), (sitter.right_eye, -1)):
            ball = rest[:, 0] * side > 0
            centre = rest[ball].mean(0)
            if np.linalg.norm(centre - joint) < 0.3:
                centre = joint
            rest[ball] = (rest[ball] - centre) @ gaze + centre
        return rest


def _uncovered(head: Head, body: Surface, deleted: set[int]) -> np.ndarray:
    """Triangles (m, 3) of the body, as corners of `body`, without faces that clothes cover."""
    keep = [
        bool(kept) and not all(i in deleted for i in face)
        for kept, (face, _) in zip(head.in_bust, head.faces, strict=True)
    ]
    part = Surface(len(head), head.uv, head.faces, keep)
    pairs = zip(body.vertex, body.uv, strict=True)
    corner = {(v, tuple(uv)): i for i, (v, uv) in enumerate(pairs)}
    own = [corner[v, tuple(uv)] for v, uv in zip(part.vertex, part.uv, strict=True)]
    return np.array(own, np.int32)[part.triangles]
