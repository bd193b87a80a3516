"""Mesh mathematics on meshes small enough to be worked out otherwise."""

import gzip

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from portraits.renderer.meshes import (
    Proxy,
    Surface,
    read_obj,
    read_target,
    rotation,
    tube,
    turn_by_share,
)
from portraits.renderer.views import light_matrix, look_at, perspective

PYRAMID = """\
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0.5 0.5 2
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g base
f 4/4 3/3 2/2 1/1
g sides
f 1/1/7 2/2/7 5/1/7
f 2 3 5
f 3//2 4//2 5//2
f 4/1 1/2 5/3
"""


@pytest.fixture
def pyramid(tmp_path):
    path = tmp_path / "pyramid.obj"
    path.write_text(PYRAMID)
    return read_obj(path)


def test_obj(pyramid):
    assert pyramid.vertices.shape == (5, 3) and pyramid.uv.shape == (4, 2)
    assert pyramid.groups == ["base", "sides", "sides", "sides", "sides"]
    assert pyramid.faces[0] == ([3, 2, 1, 0], [3, 2, 1, 0])
    assert pyramid.faces[1] == ([0, 1, 4], [0, 1, 0])
    assert pyramid.faces[2] == ([1, 2, 4], [0, 0, 0])  # no texture coordinates: the first


@pytest.mark.parametrize("suffix", [".target", ".target.gz"])
def test_target(tmp_path, suffix):
    path = tmp_path / f"nose{suffix}"
    text = b"# comment with four words\n3 0.1 0 -0.5\n\n1 1 2 3\n"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    index, moved = read_target(path)
    assert index.tolist() == [3, 1]
    np.testing.assert_allclose(moved, [[0.1, 0, -0.5], [1, 2, 3]])


def test_normals_are_area_weighted_means_of_the_faces_around(pyramid):
    surface = Surface(5, pyramid.uv, pyramid.faces)
    assert len(surface.triangles) == 6  # the square is two
    v = pyramid.vertices.astype(float)
    expected = np.zeros((5, 3))
    fans = [[3, 2, 1], [3, 1, 0], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
    for a, b, c in fans:
        for corner in (a, b, c):
            expected[corner] += np.cross(v[b] - v[a], v[c] - v[a])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(surface.normals(pyramid.vertices), expected, atol=1e-6)
    np.testing.assert_allclose(surface.normals(pyramid.vertices)[4], [0, 0, 1], atol=1e-6)
    flipped = [(f[::-1], t[::-1]) for f, t in pyramid.faces]  # control: inside out
    inside = Surface(5, pyramid.uv, flipped).normals(pyramid.vertices)
    np.testing.assert_allclose(inside[4], [0, 0, -1], atol=1e-6)


def test_a_vertex_on_a_seam_is_there_twice_and_has_one_normal(pyramid):
    surface = Surface(5, pyramid.uv, pyramid.faces)
    seen = {(int(v), tuple(uv)) for v, uv in zip(surface.vertex, surface.uv, strict=True)}
    assert len(seen) == len(surface.vertex) > 5
    only_base = Surface(5, pyramid.uv, pyramid.faces, [True, False, False, False, False])
    assert set(only_base.vertex) == {0, 1, 2, 3}


def test_a_sphere_points_outwards():
    t, p = np.meshgrid(np.arange(24), np.arange(1, 12))
    angle, height = t * 2 * np.pi / 24, p * np.pi / 12
    v = np.stack(
        [np.sin(height) * np.cos(angle), np.cos(height), np.sin(height) * np.sin(angle)], -1
    )
    faces = []
    for i in range(10):
        for j in range(24):
            k = (j + 1) % 24
            square = [i * 24 + j, i * 24 + k, (i + 1) * 24 + k, (i + 1) * 24 + j]
            faces.append((square, [0] * 4))
    v = v.reshape(-1, 3).astype(np.float32)
    n = Surface(len(v), np.zeros((1, 2)), faces).normals(v)
    inner = slice(24, -24)  # rows that have faces on both sides
    assert (n * v).sum(1)[inner].min() > 0.99


@pytest.mark.parametrize("angles", [(30, 0, 0), (0, -20, 0), (0, 0, 75), (40, 15, -10)])
def test_rotation_agrees_with_scipy(angles):
    yaw, pitch, roll = angles
    expected = Rotation.from_euler("ZYX", [roll, yaw, pitch], degrees=True).as_matrix()
    np.testing.assert_allclose(rotation(*angles), expected, atol=1e-12)


def test_turning_by_a_share():
    rng = np.random.default_rng(0)
    v, pivot = rng.normal(size=(50, 3)).astype(np.float32), np.array([0.2, 1.0, -0.3], np.float32)
    angles = (35.0, -12.0, 8.0)

    def turned(share):
        return turn_by_share(v, np.full(50, share, np.float32), pivot, angles)

    np.testing.assert_allclose(turned(0.0), v, atol=1e-6)
    whole = (v - pivot) @ rotation(*angles).T + pivot
    np.testing.assert_allclose(turned(1.0), whole, atol=1e-5)
    np.testing.assert_allclose(turned(9.0), whole, atol=1e-5)  # shares end at one
    part = (v - pivot) @ rotation(*(a * 0.43 for a in angles)).T + pivot
    np.testing.assert_allclose(turned(0.43), part, atol=1e-3)  # between entries of the table
    assert abs(turned(0.43) - whole).max() > 0.1


MHCLO = """\
# a comment
name patch
obj_file patch.obj
x_scale 0 1 1.0
z_scale 0 4 2.0
material patch.mhmat
verts 0
2
0 1 2 0.5 0.25 0.25 0.1 0.2 0.3
0 4 4 0.5 0.5 0.0 0 0 1
delete_verts
1 3 - 5 8-9
"""


def test_a_fitted_mesh_follows_the_head(pyramid, tmp_path):
    (tmp_path / "patch.mhclo").write_text(MHCLO)
    (tmp_path / "patch.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    proxy = Proxy(tmp_path / "patch.mhclo")
    assert len(proxy) == 3 and proxy.deleted == {1, 3, 4, 5, 8, 9}
    head = pyramid.vertices
    np.testing.assert_allclose(
        proxy.fit(head), [[1, 1, 0], [0.6, 0.45, 0.3], [0.25, 0.25, 2.0]], atol=1e-6
    )
    stretched = head * np.array([3, 1, 0.5], np.float32)  # offsets along x and z stretch with it
    expected = [[3, 1, 0], [0.5 * 3 + 0.1 * 3, 0.45, 0.15], [0.75, 0.25, 1.0]]
    np.testing.assert_allclose(proxy.fit(stretched), expected, atol=1e-6)
    np.testing.assert_allclose(proxy.carry(np.array([0, 1, 0, 0, 1.0])), [0, 0.25, 0.5], atol=1e-6)
    (tmp_path / "patch.obj").write_text("v 0 0 0\n")
    with pytest.raises(ValueError, match="do not belong together"):
        Proxy(tmp_path / "patch.mhclo")


def test_a_tube_keeps_its_distance_from_its_line():
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.c_[np.cos(t), np.sin(t), 0 * t]
    v, faces = tube(ring, (0.1, 0.1))
    assert v.shape == (480, 3) and len(faces) == 480
    from_line = np.linalg.norm(v.reshape(60, 8, 3) - ring[:, None], axis=2)
    np.testing.assert_allclose(from_line, 0.1, atol=1e-6)
    n = Surface(len(v), np.zeros((1, 2)), faces).normals(v.astype(np.float32))
    outwards = (v.reshape(60, 8, 3) - ring[:, None]).reshape(-1, 3) / 0.1
    assert abs((n * outwards).sum(1).mean()) > 0.97  # all to one side; shaders turn them
    _, open_faces = tube(ring, (0.1, 0.1), closed=False)
    assert len(open_faces) == 59 * 8


def test_a_camera_puts_its_target_in_the_middle():
    eye, target = np.array([0.3, 1.0, 9.0]), np.array([0.1, 1.5, 0.0])
    matrix = perspective(6.0, 3.0, 15.0) @ look_at(eye, target)

    def seen(point):
        q = matrix @ [*point, 1.0]
        return q[:3] / q[3]

    np.testing.assert_allclose(seen(target)[:2], 0, atol=1e-12)
    assert seen(target + [0.5, 0, 0])[0] > 0 > seen(target - [0, 0.5, 0])[1]
    distance = np.linalg.norm(target - eye)
    up = np.array([0, 1.0, 0]) - (target - eye) * (0.5 / distance**2)  # across the line of sight
    edge = target + up / np.linalg.norm(up) * distance / 6.0
    assert seen(edge)[1] == pytest.approx(1.0)  # half of the height, at the focal length


def test_light_looks_along_its_direction():
    light, centre = np.array([0.0, 0.6, 0.8]), np.array([1.0, 2.0, 3.0])
    matrix = light_matrix(light, centre, 2.0)
    np.testing.assert_allclose(matrix @ [*centre, 1], [0, 0, 0, 1], atol=1e-12)
    nearer, farther = (matrix @ [*(centre + s * light), 1] for s in (1, -1))
    assert nearer[2] < farther[2]
    np.testing.assert_allclose(nearer[:2], 0, atol=1e-12)
