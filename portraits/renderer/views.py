"""Matrices of cameras and lights, for columns (x, y, z, 1), in the conventions of OpenGL."""

from __future__ import annotations

import numpy as np


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """View matrix (4, 4) of a camera that stands upright."""
    forward = target - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    return _view(right, np.cross(right, forward), forward, eye)


def perspective(focal: float, near: float, far: float) -> np.ndarray:
    """Projection (4, 4): `focal` is the distance over half of the height seen there."""
    m = np.zeros((4, 4))
    m[0, 0] = m[1, 1] = focal
    m[2, 2] = -(far + near) / (far - near)
    m[2, 3] = -2 * far * near / (far - near)
    m[3, 2] = -1
    return m


def light_matrix(light: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Orthographic view (4, 4) of what is around `centre`, from the direction of the light."""
    light = np.asarray(light, float)
    up = [0, 0, 1] if abs(light[1]) > 0.95 else [0, 1, 0]
    forward = -light
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    view = _view(right, np.cross(right, forward), forward, centre)
    return np.diag([1 / radius, 1 / radius, -1 / (radius * 1.6), 1.0]) @ view


def _view(right: np.ndarray, up: np.ndarray, forward: np.ndarray, eye: np.ndarray) -> np.ndarray:
    m = np.eye(4)
    m[0, :3], m[1, :3], m[2, :3] = right, up, -forward
    m[:3, 3] = -m[:3, :3] @ eye
    return m
