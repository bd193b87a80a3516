"""What the book computed beforehand: results that take longer than a reader should wait.

One safetensors file per chapter, in `hsem/data/results`, written by the recipe of the same name in
`hsem/recipes`. Each knows the weights it was made with, and refuses others: a direction of one
network means nothing in another.

    stored = load("named", model)                # of the packaged weights
    stored = load_or_make("named", model)        # of any: computed once, and kept in `cache()`
    stored["curve/yaw"], stored.directions["yaw"], stored.provenance["date"]
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .directions.direction import Direction, provenance_of
from .files import as_json, make_folder, prepare, read_tensors, save_tensors
from .frozen import Frozen
from .network.cost import run_cost
from .network.models import DATA
from .network.unet import HSpaceUNet
from .reading import check_file, refusing

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
    path = path_of(name)
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
    make_folder(path.parent, "name")
    header = {"provenance": as_json(provenance), "directions": as_json(about)}
    save_tensors(path, data, {"format": FORMAT, **header})
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
    path = path_of(name)
    remedy = f"compute it with: {_script(path)}"
    check_file(path, "file of stored results", remedy)
    if path.parent != FOLDER:  # a command writes into the package, unless told otherwise
        remedy = f"delete it, and {remedy} --output {path}, or by load_or_make"
    with refusing(path, "a file of stored results", remedy, OSError):
        data, meta = read_tensors(path)
    if meta.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a file of stored results of this version: its header says "
            f"format={meta.get('format')!r}, expected {FORMAT!r}; {remedy}"
        )
    with refusing(path, "a file of stored results", remedy, OSError):
        provenance = json.loads(meta["provenance"])
        origin = {key: provenance[key] for key in ("model", "fingerprint")}
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
                {**origin, **own, "stored": "8 bits"},
            )
            for key, (timesteps, method, own) in json.loads(meta["directions"]).items()
        }
    if check and model is not None and origin["fingerprint"] != model.fingerprint:
        raise ValueError(
            f"the stored results of {path.stem!r} were computed with {origin['model']!r} "
            f"({origin['fingerprint']}), but this is {model.name!r} ({model.fingerprint}), "
            f"about which they say nothing; {remedy}"
        )
    return Results(path.stem, tensors, directions, provenance)


def load_or_make(name: str | Path, model: HSpaceUNet, **sizes: Any) -> Results:
    """Read results if there are any for these weights, else compute them and keep them.

    Parameters
    ----------
    name : of a recipe in `hsem.recipes`, and after a hyphen of a variant; or a path, which is read
    model : any model; it is left as it is
    sizes : options of the recipe, such as n=400. Without any, what is there is taken whatever its
        sizes, and what is not there is computed in the recipe's small sizes (`SMALL`): for a first
        look, in minutes on a GPU.

    Returns
    -------
    Those of the package for the packaged weights; else those in `cache()`, by the fingerprint of
    the weights. A computation that is stopped goes on where it was at the next call.

    Raises
    ------
    ValueError
        If there is no such recipe, or it knows no such size.
    OSError
        If what is there is damaged; or before anything is computed, if it could not be kept.

    Notes
    -----
    A progress bar counts runs of the network, and says beforehand about how many minutes they take.
    """
    where = places(name, model)
    if len(where) == 1:
        return load(where[0], model)
    command = importlib.import_module("hsem.recipes.command")  # recipes stand above this module
    recipe, args = command.find(str(name))
    unknown = sizes.keys() - vars(args).keys()
    if unknown:
        raise ValueError(f"the recipe {name!r} knows {sorted(vars(args))}, not {sorted(unknown)}")
    for path in where:
        if os.path.isfile(path) and load(path).provenance["fingerprint"] == model.fingerprint:
            found = load(path, model)
            if all(found.provenance.get(key, value) == value for key, value in sizes.items()):
                return found
    mine = prepare(where[-1], "HSEM_CACHE")
    vars(args).update(recipe.SMALL | sizes | {"model": model.name, "output": str(mine)})
    dtype = command.dtype_of(recipe, model.device)
    with in_dtype(model, dtype), _counted(model, str(name), recipe.runs(args)):
        recipe.fill(args, model)
    return load(mine, model)


def places(name: str | Path, model: HSpaceUNet) -> list[Path]:
    """Where `load_or_make` looks: at a path, or by a name in the package and then in the cache."""
    if Path(name).name != str(name) or Path(name).suffix:
        return [path_of(name)]
    return [path_of(name), cache() / "results" / model.fingerprint / f"{name}.safetensors"]


def cache() -> Path:
    """Where results of other models are kept: HSEM_CACHE, or `hsem` in the user's cache folder."""
    if given := os.environ.get("HSEM_CACHE"):
        return Path(given)  # some users have no home
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hsem"
    except RuntimeError as error:
        raise OSError(
            "this user has no home folder in which results could be kept; name a folder for them "
            "in the environment variable HSEM_CACHE"
        ) from error


# ------------------------------------------------------------------------------------- details


@contextmanager
def in_dtype(model: HSpaceUNet, dtype: torch.dtype) -> Iterator[None]:
    """The model in another precision within the block; its own weights come back as they were."""
    before = model.dtype
    if before == dtype:
        yield
        return
    kept = {key: value.clone() for key, value in model.unet.state_dict().items()}
    try:
        model.to(dtype=dtype)
        yield
    finally:
        model.to(dtype=before)
        model.unet.load_state_dict(kept)


@contextmanager
def _counted(model: HSpaceUNet, name: str, runs: int) -> Iterator[None]:
    """A progress bar over runs of the network, with the minutes that a first measurement says."""
    minutes = runs * run_cost(model, batch_size=4, repeats=1).seconds / 60
    told = f"{name}, about {minutes:.0f} min" if minutes >= 1 else name
    with tqdm(total=runs, desc=told, unit="run", smoothing=0) as bar:

        def count(_: Any, given: tuple[Tensor, ...], __: Tensor) -> None:
            bar.update(len(given[0]))  # not returned: what a hook returns stands in for h

        watch = model.unet.mid_block.register_forward_hook(count)
        try:
            yield
        finally:
            watch.remove()


def _script(path: Path) -> str:
    """The command that makes a file: what follows a hyphen in its name is a variant."""
    return f"python -m hsem.recipes.{path.stem.split('-')[0]}"


def path_of(name: str | Path) -> Path:
    """The file of results: in the package by the name of a chapter, else a path."""
    path = Path(name)
    if not path.name:
        raise ValueError(f"name must be that of a file, got {str(name)!r}")
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
