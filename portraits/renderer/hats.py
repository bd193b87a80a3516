"""Hats. A fedora is a fitted mesh; beanie and cap are the scalp itself, puffed out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .gl import Draw, GpuMesh, Material, Renderer
from .head import Head
from .meshes import Faces, Surface
from .parts import Part
from .sitter import Sitter

Plane = tuple[float, float, float, float]
SLOPE = 0.28  # of the edge of a beanie: lower at the back
BRIM_ROWS, BRIM_COLUMNS = 5, 15


class Hats:
    """Puts a hat on a head, and says where it cuts off the hair."""

    def __init__(self, renderer: Renderer, head: Head, assets: Path) -> None:
        self.fedora = Part(renderer, head, assets / "clothes/fedora_cocked/fedora_cocked.mhclo")
        self.fedora.turns[:] = 1
        v = head.vertices
        self.above_edge = v[:, 1] - 7.72 - SLOPE * (v[:, 2] - 1.2)
        covered = scalp_faces(head, self.above_edge, -0.12, 0.86)
        self.scalp = GpuMesh(renderer, Surface(len(head), head.uv, head.faces, covered))
        faces = _brim_faces()
        n = 2 * BRIM_ROWS * BRIM_COLUMNS
        self.brim = GpuMesh(renderer, Surface(n, np.zeros((1, 2), np.float32), faces))

    def put(self, sitter: Sitter) -> tuple[list[Draw], Plane]:
        """What to draw, and the plane above which hair is hidden."""
        p = sitter.portrait
        if p.hat_type == "fedora":
            return self._put_fedora(sitter)
        rest = self._puffed(sitter)
        # instead of z the height above the edge: the pattern of the knit follows it
        place = np.c_[rest[:, :2], self.above_edge].astype(np.float32)
        self.scalp.update(sitter.pose(rest), place, 0.95)
        draws = [Draw(self.scalp, Material.KNIT, "hat", {"colour": p.hat_colour})]
        at_edge = (self.above_edge > -0.12) & (self.above_edge < 0.02)
        front = at_edge & sitter.head.on_head & (sitter.head.vertices[:, 2] > 1.2)
        edge = sitter.v[front].mean(0)
        if p.hat_type == "cap":
            brim = _brim(edge)
            self.brim.update(sitter.pose(brim), brim, 0.9)
            look = {"colour": p.brim_colour, "gloss": 0.05}
            draws.append(Draw(self.brim, Material.PLAIN, "hat", look))
        return draws, (0, 1, -SLOPE, -(edge[1] - SLOPE * edge[2]))

    def _put_fedora(self, sitter: Sitter) -> tuple[list[Draw], Plane]:
        p, rest = sitter.portrait, self.fedora.fit(sitter)
        self.fedora.put(sitter, rest=rest)
        # the plane through the brim: a line fitted to all of the hat, lowered to its lower quarter
        z, y = rest[:, 2].astype(float), rest[:, 1]
        slope = np.linalg.lstsq(np.c_[z, np.ones(len(z))], y, rcond=None)[0][0]
        low = np.percentile(y - slope * z, 25)
        draw = Draw(self.fedora.mesh, Material.KNIT, "hat", {"colour": p.hat_colour})
        return [draw], (0, 1, -slope, -low)

    def _puffed(self, sitter: Sitter) -> np.ndarray:
        """The scalp moved out from a centre in the head, more towards the crown."""
        centre = np.array([0, sitter.between[1] + 0.25, 0.45])
        out = sitter.v - centre
        length = np.linalg.norm(out, axis=1, keepdims=True)
        fullness = 1.1 if sitter.portrait.hat_type == "beanie" else 0.5
        by = 0.10 + 0.10 * np.clip(self.above_edge, 0, 0.8)[:, None] * fullness
        return (sitter.v + out / length * by).astype(np.float32)


def scalp_faces(head: Head, height: np.ndarray, lowest: float, widest: float) -> list[bool]:
    """Faces of the skin whose vertices are above a line (`height` (n,)) and not too far aside."""
    return [
        group == "body"
        and bool(min(height[face]) > lowest)
        and bool(max(abs(head.vertices[face, 0])) < widest)
        for (face, _), group in zip(head.faces, head.groups, strict=True)
    ]


def _brim(edge: np.ndarray) -> np.ndarray:
    """Upper and lower side of the brim of a cap, as a grid of points, (150, 3)."""
    x = np.linspace(-1, 1, BRIM_COLUMNS)
    rows = [
        np.c_[
            x * 0.68,
            edge[1] + 0.10 - 0.16 * x**2 * (0.3 + t) - 0.20 * t,
            edge[2] + 0.02 - 0.55 * x**2 + t * 0.75 * np.sqrt(1 - (x * 0.95) ** 2),
        ]
        for t in np.linspace(0, 1, BRIM_ROWS)
    ]
    upper = np.vstack(rows)
    return np.r_[upper, upper - [0, 0.03, 0]].astype(np.float32)


def _brim_faces() -> Faces:
    faces = []
    for first, order in ((0, 1), (BRIM_ROWS * BRIM_COLUMNS, -1)):
        for row in range(BRIM_ROWS - 1):
            for column in range(BRIM_COLUMNS - 1):
                k = first + row * BRIM_COLUMNS + column
                square = [k, k + 1, k + 1 + BRIM_COLUMNS, k + BRIM_COLUMNS]
                faces.append((square[::order], [0] * 4))
    return faces
