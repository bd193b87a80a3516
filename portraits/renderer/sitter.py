"""The head of one portrait: shaped, posed, and looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .factors import Portrait
from .head import Head
from .meshes import rotation, turn_by_share
from .shape import target_weights
from .views import look_at, perspective

DISTANCE = 13.0  # of the camera
FRAME = 1.02  # half of the height of the picture, for a head of average size
STIFF = 0.35  # share of the yaw that neck and shoulders take part in
ARMS_DOWN = 32.0  # degrees; the base mesh holds its arms out


class Camera(NamedTuple):
    """Where it is (3,), and the matrix (4, 4) to the picture."""

    eye: np.ndarray
    view_projection: np.ndarray


class Sitter:
    """A head with a portrait's shape.

    v : (n, 3) vertices before posing
    left_eye, right_eye, between : points before posing; left is positive x
    scale : size of the head against the average
    """

    def __init__(self, head: Head, portrait: Portrait) -> None:
        self.head, self.portrait = head, portrait
        self.v = head.shape(target_weights(portrait, head.names)).astype(np.float32)
        self.left_eye, self.right_eye = self.joint("l-eye"), self.joint("r-eye")
        self.between = (self.left_eye + self.right_eye) / 2
        self.eye_distance = np.linalg.norm(self.left_eye - self.right_eye)
        height = self.joint("head-2")[1] - self.joint("head")[1]
        self.scale = 0.5 * self.eye_distance / 0.615 + 0.5 * height / 1.43
        self._pivot = self.joint("neck") * 0.4 + self.joint("head") * 0.6

    def joint(self, name: str) -> np.ndarray:
        """Place of a joint before posing, (3,)."""
        return self.v[self.head.joints[name]].mean(0)

    def pose(
        self,
        points: np.ndarray,
        turns: np.ndarray | None = None,
        arms: dict[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Points (n, 3) where the pose takes them.

        `turns` (n,) is their share of the head's rotation, 1 if not given; `arms` their share in
        the lowering of each arm.
        """
        p = self.portrait
        turns = np.ones(len(points), np.float32) if turns is None else turns
        for side, share in (arms or {}).items():
            shoulder = self.joint(f"{side.lower()}-shoulder")
            down = (0.0, 0.0, -ARMS_DOWN if side == "L" else ARMS_DOWN)
            points = turn_by_share(points, share, shoulder, down, steps=8)
        angles = (p.yaw * (1 - STIFF), -p.pitch, p.roll)
        points = turn_by_share(points, turns, self._pivot, angles)
        stiff = rotation(p.yaw * STIFF, 0, 0).T.astype(np.float32)
        return (points - self._pivot) @ stiff + self._pivot

    def camera(self) -> Camera:
        """In front of the posed face.

        Eyes and skull, which no expression moves, say where that is; so a smile moves no picture.
        """
        p, between = self.portrait, self.between
        low = np.array([0, between[1] - 0.62, between[2] + 0.25])
        landmarks = np.stack([between + [0, 0, 0.18], low]).astype(np.float32)
        eyes, chin = self.pose(landmarks)
        centre = eyes * 0.66 + chin * 0.34 + [p.shift[0], p.shift[1] + 0.14, 0]
        eye = centre + np.array([0, 0, DISTANCE])
        focal = DISTANCE / (FRAME * self.scale * p.zoom)
        projection = perspective(focal, DISTANCE - 6, DISTANCE + 6)
        return Camera(eye, projection @ look_at(eye, centre))

    def middle(self) -> np.ndarray:
        """A point inside the posed head, (3,)."""
        inside = np.array([[0, self.between[1] + 0.15, 0.45]], np.float32)
        return self.pose(inside)[0]
