"""Glasses built around a face: rims, bridge, temples and lenses, in the position before posing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .factors import Glasses
from .head import Head
from .meshes import Faces, tube

OUTLINE = 40  # points of a rim


class GlassesMesh(NamedTuple):
    """Vertices and faces of the frame and of the lenses."""

    frame: np.ndarray
    frame_faces: Faces
    lenses: np.ndarray
    lens_faces: Faces


class _Parts:
    """Collects meshes into one."""

    def __init__(self) -> None:
        self.vertices: list[np.ndarray] = []
        self.faces: Faces = []

    def add(self, vertices: np.ndarray, faces: Faces) -> None:
        offset = sum(map(len, self.vertices))
        self.vertices.append(vertices)
        self.faces += [([i + offset for i in face], uv) for face, uv in faces]


def build_glasses(
    head: Head, v: np.ndarray, left_eye: np.ndarray, right_eye: np.ndarray, form: Glasses
) -> GlassesMesh:
    """Glasses for a head with vertices v (n, 3) and eyes at two points.

    Each rim is a superellipse; the front bends back at the sides, and the temples follow the head.
    """
    apart, height = (left_eye[0] - right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2 - 0.035
    a, b = form.width * apart / 0.31, form.height * apart / 0.31
    near = (
        (abs(v[:, 1] - height) < 0.32) & (abs(abs(v[:, 0]) - apart) < a) & head.on_head
        & (head.vertices[:, 1] > 6.2)
    )  # fmt: skip
    front = np.percentile(v[near, 2], 97) + 0.06

    def depth(x: np.ndarray | float) -> np.ndarray:
        return front - 0.30 * np.maximum(abs(np.asarray(x)) - apart * 0.6, 0) ** 1.5

    frame, lenses = _Parts(), _Parts()
    centre = max(apart + 0.02, a + 0.07)
    for side in (1, -1):
        x, y = _superellipse(a, b, form.shape)
        x, y = side * centre + x, height + y
        y += form.tilt * 0.12 * (x - side * centre) * side
        frame.add(*tube(np.c_[x, y, depth(x)], (form.rim, form.rim * 1.2)))
        middle = [[side * centre, height, float(depth(centre))]]
        fan: Faces = [([i, (i + 1) % OUTLINE, OUTLINE], [0] * 3) for i in range(OUTLINE)]
        lenses.add(np.r_[np.c_[x, y, depth(x) - 0.004], middle], fan)
        temple = _temple(head, v, side, centre + a, height, float(depth(side * (centre + a))))
        frame.add(*tube(temple, (form.rim * 0.8, form.rim * 1.1), closed=False))
    x = np.linspace(-(centre - a), centre - a, 7)
    arch = height + 0.10 * b / 0.2 + 0.03 * np.cos(x / max(centre - a, 0.01) * 1.5)
    bridge = np.c_[x, arch, front + 0.02 * np.cos(x * 9)]
    frame.add(*tube(bridge, (form.rim, form.rim), closed=False))
    return GlassesMesh(
        np.vstack(frame.vertices).astype(np.float32),
        frame.faces,
        np.vstack(lenses.vertices).astype(np.float32),
        lenses.faces,
    )


def _superellipse(a: float, b: float, n: float) -> tuple[np.ndarray, np.ndarray]:
    """|x / a|^n + |y / b|^n = 1, as points."""
    t = np.linspace(0, 2 * np.pi, OUTLINE, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    return a * np.sign(c) * abs(c) ** (2 / n), b * np.sign(s) * abs(s) ** (2 / n)


def _temple(
    head: Head, v: np.ndarray, side: int, start: float, height: float, front: float
) -> np.ndarray:
    """Eight points (8, 3) from the hinge along the side of the head to the ear."""
    z = np.linspace(front, 0.12, 8)
    beside = head.on_head & (abs(v[:, 1] - height - 0.1) < 0.22)
    widths = [abs(v[beside & (abs(v[:, 2] - k) < 0.12)][:, 0]).max(initial=0.5) for k in z]
    x = np.maximum(np.minimum(widths, 0.80) + 0.015, np.linspace(start, 0, 8))
    x[0] = start
    return np.c_[side * x, height + 0.09 * np.ones(8) + np.linspace(0, 0.05, 8), z]
