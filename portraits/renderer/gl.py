"""The renderer: meshes, textures and passes on moderngl, without a window.

It asks EGL for a software renderer (Mesa's llvmpipe), so that the same pixels come out on machines
with and without a graphics card.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from .meshes import Surface
from .views import light_matrix

SHADERS = Path(__file__).parent / "shaders"
CORNER_FORMAT = "3f 3f 2f 4f"
CORNER_NAMES = ("position", "normal", "uv", "aux")
NOWHERE = (0.0, 0.0, 0.0, -1.0)
"""A clipping plane that clips nothing."""


class Material(IntEnum):
    """What surface.frag knows."""

    SKIN = 0
    EYE = 1
    HAIR = 2
    CLOTH = 3
    PLAIN = 4
    MOUTH = 5
    BROW = 6
    LENS = 7
    KNIT = 8
    CURLS = 9


NO_SHADOW = {Material.EYE, Material.MOUTH, Material.BROW, Material.LENS}


@dataclass(frozen=True)
class Draw:
    """One mesh in one material: uniforms of surface.frag; `part` counts in label pictures only."""

    mesh: GpuMesh
    material: Material
    part: str
    uniforms: Mapping[str, Any] = field(default_factory=dict)
    texture: Any = None  # instead of the mesh's own
    translucent: bool = False


class GpuMesh:
    """Buffers of one surface. Positions are written anew for every picture."""

    def __init__(self, renderer: Renderer, surface: Surface, texture: Any = None) -> None:
        self.surface = surface
        self.texture = renderer.white if texture is None else texture
        self.data = np.zeros((len(surface.vertex), 12), np.float32)
        self.data[:, 6:8] = surface.uv
        self.data[:, 8] = 1
        self._renderer = renderer
        self._corners = renderer.context.buffer(reserve=self.data.nbytes)
        self._arrays: dict[Any, Any] = {}
        self._triangles = self.index_buffer(surface.triangles)

    def index_buffer(self, triangles: np.ndarray) -> Any:
        """Triangles of corners, (m, 3): all, or some of them."""
        return self._renderer.context.buffer(triangles.astype(np.int32).tobytes())

    def update(self, v: np.ndarray, rest: np.ndarray, occlusion: Any = 1.0) -> None:
        """Posed vertices, the same before posing, and ambient occlusion (a number or (n,))."""
        vertex = self.surface.vertex
        self.data[:, :3] = v[vertex]
        self.data[:, 3:6] = self.surface.normals(v)[vertex]
        self.data[:, 8] = occlusion[vertex] if np.ndim(occlusion) else occlusion
        self.data[:, 9:12] = rest[vertex]
        self._corners.write(self.data)

    def render(self, program: Any, triangles: Any = None) -> None:
        """Draw all triangles, or those in an index buffer."""
        indices = self._triangles if triangles is None else triangles
        if (program, indices) not in self._arrays:
            content = [(self._corners, CORNER_FORMAT, *CORNER_NAMES)]
            self._arrays[program, indices] = self._renderer.context.vertex_array(
                program, content, indices, skip_errors=True
            )
        self._arrays[program, indices].render()


class Renderer:
    """Draws pictures of `size` pixels a side; with `labels`, pictures of parts instead.

    Raises
    ------
    ImportError
        Without moderngl (`pip install -e ".[render]"`).
    """

    def __init__(self, size: int, *, shadow: int = 384, labels: bool = False) -> None:
        os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
        os.environ.setdefault("LP_NUM_THREADS", "1")
        import moderngl  # here, so that everything else works without a renderer

        self.gl: Any = moderngl  # whose own types know neither `backend` nor half of the rest
        self.context = c = self.gl.create_context(standalone=True, backend="egl", require=330)
        self.size, self.labels = size, labels
        extra = "#define LABELS\n" if labels else ""
        self.programs = {
            m: self._program("surface", "surface", f"#define MATERIAL {m.value}\n{extra}")
            for m in Material
        }
        self.shadow_program = self._program("shadow", "shadow")
        self.background = self._program("screen", "background")
        self.develop = self._program("screen", "develop")
        triangle = c.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._background_array = c.vertex_array(self.background, [(triangle, "2f", "position")])
        self._develop_array = c.vertex_array(self.develop, [(triangle, "2f", "position")])
        self.colour = c.texture((size, size), 4, dtype="f2")
        depth = c.depth_renderbuffer((size, size))
        self.picture = c.framebuffer([self.colour], depth)
        self.developed = c.texture((size, size), 3)
        self._screen = c.framebuffer([self.developed])
        self.shadow = self._depth_texture(shadow)
        self.shadow.filter = (self.gl.LINEAR, self.gl.LINEAR)
        self._shadow_target = c.framebuffer(depth_attachment=self.shadow)
        self._textures: dict[tuple[Path, int], tuple[Any, np.ndarray]] = {}
        self.white = self.texture(np.full((4, 4, 4), 255, np.uint8))

    def _program(self, vertex: str, fragment: str, defines: str = "") -> Any:
        texts = [
            (SHADERS / f"{vertex}.vert").read_text(encoding="utf-8"),
            (SHADERS / f"{fragment}.frag").read_text(encoding="utf-8"),
        ]
        first, rest = texts[1].split("\n", 1)  # "#version" must stay the first line
        return self.context.program(
            vertex_shader=texts[0], fragment_shader=f"{first}\n{defines}{rest}"
        )

    def _depth_texture(self, size: int) -> Any:
        texture = self.context.depth_texture((size, size))
        texture.compare_func = ""
        return texture

    # ------------------------------------------------------------------------------- textures

    def texture(self, pixels: np.ndarray) -> Any:
        """A texture of bytes (H, W, channels), with mipmaps."""
        flipped = np.ascontiguousarray(pixels[::-1])
        texture = self.context.texture(pixels.shape[1::-1], pixels.shape[2], flipped.tobytes())
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_LINEAR, self.gl.LINEAR)
        texture.repeat_x = texture.repeat_y = True
        return texture

    def texture_file(self, path: Path, size: int = 1024) -> tuple[Any, np.ndarray]:
        """A texture from a file, made square and at most `size`, and its pixels."""
        if (path, size) not in self._textures:
            picture = Image.open(path).convert("RGBA")
            side = min(size, picture.size[0])
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
            pixels = bleed(np.array(picture))
            self._textures[path, size] = (self.texture(pixels), pixels)
        return self._textures[path, size]

    # --------------------------------------------------------------------------------- passes

    def set(self, program: Any, **uniforms: Any) -> None:
        """Set those uniforms that the program has."""
        for name, value in uniforms.items():
            if name in program:
                program[name].value = tuple(np.asarray(value, float)) if np.ndim(value) else value

    def set_all(self, **uniforms: Any) -> None:
        """Set uniforms of all materials."""
        for program in self.programs.values():
            self.set(program, **uniforms)

    def set_matrix(self, program: Any, name: str, matrix: np.ndarray) -> None:
        program[name].write(matrix.T.astype("f4").tobytes())

    def start_shadow(self, light_projection: np.ndarray) -> None:
        c = self.context
        c.enable(c.DEPTH_TEST)
        c.disable(c.CULL_FACE)
        c.disable(c.BLEND)
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        self.set_matrix(self.shadow_program, "light_projection", light_projection)
        self.white.use(0)
        self.set(self.shadow_program, texture0=0, is_hair=0, clip=NOWHERE)

    def start_picture(self, background: Mapping[str, Any]) -> None:
        c = self.context
        self.picture.use()
        self.picture.clear(depth=1.0)
        c.disable(c.DEPTH_TEST)
        if not self.labels:
            self.set(self.background, **background)
            self._background_array.render()
        c.enable(c.DEPTH_TEST)

    def start_translucent(self) -> None:
        c = self.context
        if not self.labels:
            c.enable(c.BLEND)
            c.blend_func = c.SRC_ALPHA, c.ONE_MINUS_SRC_ALPHA
        self.picture.depth_mask = False

    def finish(self) -> np.ndarray:
        """The picture: bytes (size, size, 3), or with labels float32 (size, size, 4)."""
        c = self.context
        self.picture.depth_mask = True
        c.disable(c.BLEND)
        c.disable(c.DEPTH_TEST)
        if self.labels:
            halves = np.frombuffer(self.colour.read(), np.float16)
            return halves.reshape(self.size, self.size, 4)[::-1].astype(np.float32)
        self._screen.use()
        self.colour.use(0)
        self.set(self.develop, texture0=0)
        self._develop_array.render()
        pixels = np.frombuffer(self.developed.read(alignment=1), np.uint8)
        return pixels.reshape(self.size, self.size, 3)[::-1].copy()

    def bake_occlusion(
        self, v: np.ndarray, normals: np.ndarray, meshes: Sequence[GpuMesh], centre: np.ndarray,
        directions: int = 96, size: int = 512,
    ) -> np.ndarray:  # fmt: skip
        """Share of its hemisphere that each vertex (n,) sees, by depth pictures from all around."""
        rays = np.random.default_rng(0).normal(size=(directions, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        depth = self._depth_texture(size)
        target = self.context.framebuffer(depth_attachment=depth)
        seen, weight = np.zeros(len(v)), np.zeros(len(v)) + 1e-6
        raised = np.c_[v + normals * 0.015, np.ones(len(v))]
        for ray in rays:
            projection = light_matrix(ray, centre, 3.2)
            target.use()
            target.clear(depth=1.0)
            self.context.enable(self.context.DEPTH_TEST)
            self.set_matrix(self.shadow_program, "light_projection", projection)
            self.set(self.shadow_program, is_hair=0, clip=NOWHERE)
            for mesh in meshes:
                mesh.render(self.shadow_program)
            nearest = np.frombuffer(depth.read(), np.float32).reshape(size, size)
            q = raised @ projection.T
            x, y = ((q[:, :2] * 0.5 + 0.5) * size).astype(int).clip(0, size - 1).T
            visible = (q[:, 2] * 0.5 + 0.5) - 0.004 < nearest[y, x]
            cosine = np.clip(normals @ ray, 0, 1)
            seen += cosine * visible
            weight += cosine
        return (seen / weight).astype(np.float32)


def bleed(pixels: np.ndarray) -> np.ndarray:
    """Spread the colours of an RGBA picture into what is transparent, or edges would show it."""
    alpha = pixels[..., 3]
    if alpha.min() >= 200 or alpha.max() == 0:
        return pixels
    solid = (alpha > 100).astype(np.float32)
    if not solid.any():
        pixels[..., :3] = np.where(solid[..., None] > 0, pixels[..., :3], 0)
        return pixels
    share = gaussian_filter(solid, 12) + 1e-3
    mean = pixels[solid > 0][:, :3].mean(0)
    for k in range(3):
        spread = (gaussian_filter(pixels[..., k] * solid, 12) + mean[k] * 1e-3) / share
        pixels[..., k] = np.where(solid > 0, pixels[..., k], np.clip(spread, 0, 255))
    return pixels
