"""What the book computed beforehand: results that take longer than a reader should wait.

One safetensors file per chapter, in `hsem/data/results`, written by a script of the same name in
`book/_tools/results`. Each knows the weights it was made with, and refuses others: a direction of
one network means nothing in another.

    stored = load("named", model)
    stored["curve/yaw"], stored.directions["yaw"], stored.about()
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from .directions.direction import Direction, provenance_of
from .files import read_tensors, save_tensors
from .frozen import Frozen
from .network.models import DATA
from .network.unet import HSpaceUNet

FORMAT = "hsem-results/1"
FOLDER = DATA / "results"


@dataclass(frozen=True, eq=False)
class Results:
    """Numbers and directions that a script of the book has computed.

    name : of the chapter
    tensors : by name; `results[name]` is short for `results.tensors[name]`
    directions : by name
    provenance : model, fingerprint, versions, date, command, and what the script added
    """

    name: str
    tensors: Mapping[str, Tensor]
    directions: Mapping[str, Direction]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("tensors", "directions", "provenance"):
            object.__setattr__(self, part, Frozen(getattr(self, part)))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(f"{self.name!r} holds no {name!r}; it holds {', '.join(self.tensors)}")
        return self.tensors[name]

    def about(self) -> str:
        """One line: what this is, when it was computed, and how."""
        facts = self.provenance
        return (
            f"{self.name}: computed on {facts['date'][:10]} with {facts['model']} "
            f"({facts['fingerprint'][:8]}) by `{facts['command']}`"
        )


def save(
    name: str | Path,
    model: HSpaceUNet,
    tensors: Mapping[str, Tensor] | None = None,
    *,
    directions: Mapping[str, Direction] | None = None,
    command: str | None = None,
    **facts: Any,
) -> Path:
    """Write results for the book.

    Parameters
    ----------
    name : of the chapter, and after a hyphen of a variant that the same script makes; or a path,
        which then needs a folder or the suffix .safetensors
    model : with which all was computed
    tensors : floating ones are stored in half precision, integers as they are
    directions : stored in 8 bits, with one scale per step and channel: 250 KB for 20 steps of
        (192, 8, 8), and a cosine to the original above 0.9999
    command : that does this again; by default the script of the chapter
    facts : plain JSON values for the provenance: seeds, steps, eta, ...

    Returns
    -------
    The path that was written.
    """
    path = _path(name)
    directions = dict(directions or {})
    data: dict[str, Tensor] = {}
    for key, value in (tensors or {}).items():
        stored = value.half() if value.is_floating_point() else value
        if value.is_floating_point() and not bool((stored.isinf() == value.isinf()).all()):
            raise ValueError(f"{key!r} holds numbers above 65504, too large for half precision")
        data[f"tensor/{key}"] = stored.clone()  # of its own: two names must not share memory
    about: dict[str, Any] = {}
    for key, direction in directions.items():
        direction.check_model(model)
        levels, scale = _to_bytes(direction.delta_h)
        data |= {f"levels/{key}": levels, f"scale/{key}": scale}
        about[key] = [direction.timesteps, direction.method, dict(direction.provenance)]
    command = command or _script(path)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    provenance = provenance_of(model, date=now, command=command, **facts)
    metadata = {
        "format": FORMAT,
        "provenance": json.dumps(provenance),
        "directions": json.dumps(about),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, data, metadata)
    return path


def load(name: str | Path, model: HSpaceUNet | None = None, *, check: bool = True) -> Results:
    """Read results, and check that they were computed with the weights of `model`.

    Parameters
    ----------
    name : of the chapter, or a path as for `save`
    model : at hand; None looks at the file only
    check : False reads the results of other weights too. Their numbers are then about another
        network, and their directions are refused as edits.

    Raises
    ------
    OSError
        If there is no such file, or it is damaged.
    ValueError
        If it was made with other weights, or by another version of this format.
    """
    path = _path(name)
    remedy = f"compute it with: {_script(path)}"
    if not path.is_file():
        raise FileNotFoundError(f"there are no stored results at {str(path)!r}; {remedy}")
    try:
        data, meta = read_tensors(path)
    except SafetensorError as error:
        raise OSError(f"{path} is damaged or no safetensors file ({error}); {remedy}") from error
    if meta.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a file of stored results of this version: its header says "
            f"format={meta.get('format')!r}, expected {FORMAT!r}; {remedy}"
        )
    provenance = json.loads(meta["provenance"])
    if check and model is not None and provenance["fingerprint"] != model.fingerprint:
        raise ValueError(
            f"the stored results of {path.stem!r} were computed with {provenance['model']!r} "
            f"({provenance['fingerprint']}), but this is {model.name!r} ({model.fingerprint}), "
            f"about which they say nothing; {remedy}"
        )
    tensors = {
        key.removeprefix("tensor/"): value.float() if value.is_floating_point() else value
        for key, value in data.items()
        if key.startswith("tensor/")
    }
    directions = {
        key: Direction(
            _from_bytes(data[f"levels/{key}"], data[f"scale/{key}"]),
            tuple(timesteps),
            method,
            {
                "model": provenance["model"],
                "fingerprint": provenance["fingerprint"],
                **origin,
                "stored": "8 bits",
            },
        )
        for key, (timesteps, method, origin) in json.loads(meta["directions"]).items()
    }
    return Results(path.stem, tensors, directions, provenance)


# ------------------------------------------------------------------------------------- details


def _script(path: Path) -> str:
    """The command that makes a file: what follows a hyphen in its name is a variant."""
    return f"python book/_tools/results/{path.stem.split('-')[0]}.py"


def _path(name: str | Path) -> Path:
    path = Path(name)
    if path.parent == Path(".") and path.suffix != ".safetensors":
        return FOLDER / f"{path.name}.safetensors"
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")


def _to_bytes(delta_h: Tensor) -> tuple[Tensor, Tensor]:
    """(T, C, h, w) as whole numbers from -127 to 127, and what one of them is worth, (T, C)."""
    scale = delta_h.float().flatten(2).abs().amax(dim=2) / 127
    levels = delta_h.float() / scale.clamp(min=torch.finfo(scale.dtype).tiny)[:, :, None, None]
    return levels.round().clamp(-127, 127).to(torch.int8).cpu().contiguous(), scale.cpu()


def _from_bytes(levels: Tensor, scale: Tensor) -> Tensor:
    return levels.float() * scale[:, :, None, None]
