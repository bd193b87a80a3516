"""Meshes: reading them, smooth normals, meshes fitted to other meshes, and turning vertices.

Everything here is numpy on small arrays. Lengths are decimetres, y points up, z to the viewer.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

Faces = list[tuple[list[int], list[int]]]
"""Per polygon the indices of its vertices and those of its texture coordinates."""


class Obj(NamedTuple):
    """vertices (n, 3), texture coordinates (m, 2), faces, and the group of each face."""

    vertices: np.ndarray
    uv: np.ndarray
    faces: Faces
    groups: list[str]


def read_obj(path: Path) -> Obj:
    """A Wavefront OBJ file: `v`, `vt`, `g` and `f` lines."""
    vertices, uv, faces, groups, group = [], [], [], [], ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(w) for w in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(w) for w in words[1:3]])
        elif words[0] == "g":
            group = words[1] if len(words) > 1 else ""
        elif words[0] == "f":
            corners = [(word.split("/") + [""])[:2] for word in words[1:]]
            faces.append(([int(v) - 1 for v, _ in corners], [int(t or 1) - 1 for _, t in corners]))
            groups.append(group)
    return Obj(np.array(vertices, np.float32), np.array(uv or [[0, 0]], np.float32), faces, groups)


def read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertex indices (n,) and displacements (n, 3) of a MakeHuman `.target` or `.target.gz`."""
    index, moved = [], []
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if len(words) == 4 and words[0][0] != "#":
                index.append(int(words[0]))
                moved.append([float(w) for w in words[1:]])
    return np.array(index, np.int64), np.array(moved, np.float32).reshape(-1, 3)


class Surface:
    """Triangles over corners, with smooth vertex normals.

    A corner is a pair of vertex and texture coordinate, so that a vertex on a seam of the texture
    is there twice, as a graphics card wants it, while normals are summed over vertices.

    vertex : (corners,) vertex of each corner
    uv : (corners, 2)
    triangles : (m, 3) corners
    """

    def __init__(
        self, n_vertices: int, uv: np.ndarray, faces: Faces, keep: Iterable[bool] | None = None
    ) -> None:
        corners: dict[tuple[int, int], int] = {}
        triangles = []
        kept = faces if keep is None else [f for f, k in zip(faces, keep, strict=True) if k]
        for vertices, textures in kept:
            pairs = zip(vertices, textures, strict=True)
            fan = [corners.setdefault(pair, len(corners)) for pair in pairs]
            triangles += [(fan[0], fan[j], fan[j + 1]) for j in range(1, len(fan) - 1)]
        pair_list = np.array(list(corners), np.int64)
        self.vertex = pair_list[:, 0]
        self.uv = uv[pair_list[:, 1]].astype(np.float32)
        self.triangles = np.array(triangles, np.int32)
        self.vertex_triangles = self.vertex[self.triangles]
        m = len(triangles)
        entries = (self.vertex_triangles.T.ravel(), np.tile(np.arange(m), 3))
        self._sum = sp.csr_matrix((np.ones(3 * m, np.float32), entries), shape=(n_vertices, m))

    def normals(self, v: np.ndarray) -> np.ndarray:
        """Unit normals (n, 3): the mean over a vertex's triangles, weighted by area."""
        a, b, c = (v[self.vertex_triangles[:, k]] for k in range(3))
        n = self._sum @ np.cross(b - a, c - a).astype(np.float32)
        return n / (np.linalg.norm(n, axis=1, keepdims=True) + 1e-9)


class Proxy:
    """A mesh bound to the head by an `.mhclo` file: hair, clothes, eyes.

    Each vertex is a weighted mean of three vertices of the head plus an offset that grows with the
    head, so what fits the neutral head fits every other one.

    reference, weights, offset : (n, 3) each
    deleted : vertices of the head that it covers
    """

    def __init__(self, path: Path) -> None:
        rows: list[list[float]] = []
        self.deleted: set[int] = set()
        self.scale: dict[int, tuple[int, int, float]] = {}
        section, mesh_name = "", ""
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            match words[0]:
                case "obj_file":
                    mesh_name = words[1]
                case "x_scale" | "y_scale" | "z_scale":
                    axis = "xyz".index(words[0][0])
                    self.scale[axis] = (int(words[1]), int(words[2]), float(words[3]))
                case "verts" | "delete_verts" | "weights":
                    section = words[0]
                case _ if section == "verts" and words[0][0].isdigit():
                    rows.append(_bound(words))
                case _ if section == "delete_verts" and words[0][0].isdigit():
                    self.deleted |= _ranges(words)
        table = np.array(rows, np.float64)
        self.reference = table[:, :3].astype(np.int64)
        self.weights = table[:, 3:6].astype(np.float32)
        self.offset = table[:, 6:].astype(np.float32)
        self.mesh = read_obj(path.parent / mesh_name)
        if len(self.mesh.vertices) != len(table):
            raise ValueError(
                f"{path} binds {len(table)} vertices, but {mesh_name} has "
                f"{len(self.mesh.vertices)}; the two files do not belong together"
            )

    def __len__(self) -> int:
        return len(self.reference)

    def fit(self, head: np.ndarray) -> np.ndarray:
        """Its vertices (n, 3) on a head with vertices (m, 3)."""
        stretch = np.ones(3, np.float32)
        for axis, (a, b, distance) in self.scale.items():
            stretch[axis] = abs(head[a, axis] - head[b, axis]) / distance
        mean = (head[self.reference] * self.weights[:, :, None]).sum(1)
        return mean + self.offset * stretch

    def carry(self, values: np.ndarray) -> np.ndarray:
        """A quantity of the head's vertices, such as how far they turn, at the proxy's: (n,)."""
        w = self.weights / (self.weights.sum(1, keepdims=True) + 1e-9)
        w = np.clip(w, 0, 1)
        w /= w.sum(1, keepdims=True)
        return (values[self.reference] * w).sum(1)


def _bound(words: Sequence[str]) -> list[float]:
    """Three vertices, three weights, an offset; one number alone is that vertex itself."""
    if len(words) == 1:
        return [float(words[0])] * 3 + [1.0, 0, 0, 0, 0, 0]
    return [float(w) for w in words[:9]]


def _ranges(words: Sequence[str]) -> set[int]:
    """{3, 5, 6, 7} from the words of "3 5 - 7"."""
    numbers: set[int] = set()
    for word in " ".join(words).replace(" - ", "-").split():
        first, _, last = word.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


# --------------------------------------------------------------------------------------- turning


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Matrix (3, 3) that turns columns by pitch about x, then yaw about y, then roll about z."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def turn_by_share(
    v: np.ndarray,
    share: np.ndarray,
    pivot: np.ndarray,
    angles: tuple[float, float, float],
    steps: int = 16,
) -> np.ndarray:
    """Turn each vertex about the pivot by its own share (n,), 0 to 1, of yaw, pitch and roll.

    The matrices are interpolated in a table of `steps` + 1, which is cheap and, between two entries
    so close, as good as a rotation.
    """
    table = [rotation(*(a * t for a in angles)) for t in np.linspace(0, 1, steps + 1)]
    matrices = np.stack(table).astype(np.float32)
    x = np.clip(share, 0, 1) * steps
    i = np.minimum(x.astype(np.int64), steps - 1)
    f = (x - i)[:, None, None].astype(np.float32)
    each = matrices[i] * (1 - f) + matrices[i + 1] * f
    return np.einsum("nij,nj->ni", each, (v - pivot).astype(np.float32)) + pivot


def tube(
    path: np.ndarray, radii: tuple[float, float], sides: int = 8, closed: bool = True
) -> tuple[np.ndarray, Faces]:
    """Vertices and faces of a tube with an elliptic section along a line of points (n, 3)."""
    n = len(path)
    along = (
        np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    )  # fmt: skip
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0]) if closed else np.array([0.0, 1.0, 0.0])
    across = np.cross(along, up)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    third = np.cross(along, across)
    t = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    vertices = (
        path[:, None]
        + across[:, None] * np.cos(t)[None, :, None] * radii[0]
        + third[:, None] * np.sin(t)[None, :, None] * radii[1]
    )
    faces = []
    for i in range(n if closed else n - 1):
        here, there = i * sides, ((i + 1) % n) * sides
        for j in range(sides):
            k = (j + 1) % sides
            faces.append(([there + j, there + k, here + k, here + j], [0] * 4))
    return vertices.reshape(-1, 3), faces
