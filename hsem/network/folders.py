"""From what a user names to files on this machine: folders, the hub and its cache, JSON.

Nothing here knows what a network is, and only `fetch` can ever reach the internet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..reading import read_json

DATA = Path(__file__).parents[1] / "data"

KNOWN: dict[str, str] = {
    "portraits-64": "rendered portraits with known factors, 64x64, comes with the package",
    "portraits-64-obeys": "its twin, trained to obey h (exchanged skips), comes with the package",
    "google/ddpm-ema-celebahq-256": "CelebA-HQ faces, 256x256, the model of the paper",
    "google/ddpm-ema-church-256": "LSUN churches, 256x256 (SM H)",
    "google/ddpm-ema-bedroom-256": "LSUN bedrooms, 256x256 (SM H)",
}

STEM = "diffusion_pytorch_model"
UNET_FOLDERS = ("unet_ema", "unet", "")  # a training run keeps two, and draws with the averaged
LAYOUT = (
    f"a model folder holds config.json and {STEM}.safetensors (or .bin), at its root or under unet/"
)
SINGLE = re.compile(rf"{STEM}(?:\.(?P<variant>\w+))?\.(?P<kind>safetensors|bin)")
INDEX = re.compile(rf"{STEM}\.(?P<kind>safetensors|bin)\.index(?:\.(?P<variant>\w+))?\.json")


class Stored(NamedTuple):
    """How weights lie in a folder.

    name : of the file, or of the index that lists the files
    kind : "safetensors" or "bin"
    variant : "fp16" and the like, None for plain names
    sharded : whether `name` is an index
    """

    name: str
    kind: str
    variant: str | None
    sharded: bool

    @property
    def shards(self) -> str:
        """Pattern of the files that an index lists."""
        return f"{STEM}*-of-*.{self.kind}"


def find_folder(source: str | Path) -> Path:
    """The folder that holds the model called `source`; downloads only names from the hub."""
    if isinstance(source, str) and source == Path(source).name and source in KNOWN:
        return DATA / source  # whatever lies beside the user
    folder = Path(source).expanduser()
    if source and os.path.isdir(folder):
        return folder
    if os.path.isfile(folder):
        raise OSError(_single_file(folder))
    if isinstance(source, str):
        if source.startswith(("http:", "https:")):
            raise ValueError(
                f"source={source!r} is an address; write 'owner/name' of a model on the hub, for "
                "example 'google/ddpm-ema-celebahq-256'"
            )
        if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
            return fetch(source)
        if "/" not in source and "\\" not in source:
            raise ValueError(
                f"source={source!r} is no known model, and no folder of {Path.cwd()}; known are "
                f"{', '.join(KNOWN)}, or give 'owner/name' of a model on the hub"
            )
    raise FileNotFoundError(
        f"source={str(source)!r} is not a folder: {folder.absolute()} does not exist"
    )


def _single_file(path: Path) -> str:
    """What to say of a file where a folder is wanted."""
    kind = path.suffix.lower()
    if kind in (".safetensors", ".bin"):
        if (path.parent / "config.json").is_file() and SINGLE.fullmatch(path.name):
            return f"{path} is one file of a model; give the folder, hsem.load('{path.parent}')"
        return (
            f"{path} is a single file of weights, which does not say how the network is built; put "
            f"it into a folder as {STEM}{kind}, with the config.json of its UNet2DModel beside it, "
            "and give the folder"
        )
    if kind in (".ckpt", ".pt", ".pth"):
        return (
            f"{path} is a single checkpoint ({kind}) of the software that trained it, and hsem "
            "reads folders in diffusers' layout; convert it, a DDPM for example with diffusers' "
            "scripts/convert_ddpm_original_checkpoint_to_diffusers.py, and give the folder that "
            "results. Such files are pickles: convert only those you trust"
        )
    return f"{path} is a file; give the folder that it lies in, {path.parent}"


# ------------------------------------------------------------------------------------- the hub


def fetch(repository: str) -> Path:
    """Local copy of a hub model: from the cache if it is there, else downloaded."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        cached = Path(snapshot_download(repository, allow_patterns="*", local_files_only=True))
        if complete(cached):  # a cache may hold the configs alone
            return cached
    except Exception:  # not in the cache, in one of a dozen kinds
        pass
    try:
        names = HfApi().list_repo_files(repository)
        wanted = needed(names)
        if wanted is not None:
            return Path(snapshot_download(repository, allow_patterns=wanted))
    except Exception as error:
        raise OSError(_unreachable(repository, error)) from error
    raise OSError(
        f"{repository!r} on the Hugging Face hub holds no network that hsem reads: {LAYOUT}, but "
        f"this one has {', '.join(sorted(names)[:8]) or 'no files'}"
    )


def needed(names: Iterable[str]) -> list[str] | None:
    """Of the files of a repository, those to download; None if it holds no model."""
    names = list(names)
    for place in UNET_FOLDERS:
        prefix = f"{place}/" if place else ""
        inside = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
        stored = choose_weights(inside)
        if stored is None or "config.json" not in inside:
            continue
        files = ["config.json", stored.name, *([stored.shards] if stored.sharded else [])]
        about = [n for n in names if n.endswith(("scheduler_config.json", "model_index.json"))]
        return [prefix + file for file in files] + about
    return None


def _unreachable(repository: str, error: Exception) -> str:
    """What to say when the hub did not give a model: only advice that can help."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    name = repository.split("/")[1]
    start = (
        f"there is no folder {repository!r} in {Path.cwd()}, and the Hugging Face hub did not give "
        f"a model of that name ({type(error).__name__}): "
    )
    if isinstance(error, GatedRepoError):
        return start + "its owner asks for an agreement; accept it there, and run `hf auth login`"
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return start + "it has none that is public; check the spelling"
    return start + (
        f"where there is network, run `hf download {repository} --local-dir {name}`, bring that "
        f"folder here, and call hsem.load('path/to/{name}')"
    )


# ------------------------------------------------------------------------------ inside a folder


def unet_place(folder: Path) -> Path:
    """Where in a model folder the network lies: `unet_ema`, `unet`, or the folder itself.

    A pipeline of somebody's own may call it otherwise; then its model_index.json says how.
    """
    for name in (*UNET_FOLDERS, *_named_by_index(folder)):
        if os.path.lexists(folder / name / "config.json"):
            return folder / name
    runs = [p for p in folder.glob("checkpoint-*") if p.is_dir()]
    if runs:
        latest = max(runs, key=lambda p: (len(p.name), p.name))
        raise FileNotFoundError(
            f"{folder} is a training run; give one of its checkpoints, for example {latest}"
        )
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".ckpt", ".pt", ".pth")]
    raise FileNotFoundError(
        f"{folder / 'config.json'} is missing; "
        + (_single_file(files[0]) if files else f"{LAYOUT}, and this one {listing(folder)}")
    )


def _named_by_index(folder: Path) -> list[str]:
    """Parts of a pipeline that its model_index.json calls a UNet2DModel."""
    try:
        index = read_json(folder / "model_index.json")
    except OSError:  # there is none, or a damaged one: nothing depends on it
        return []
    return [k for k, v in index.items() if isinstance(v, list) and v[1:] == ["UNet2DModel"]]


def listing(folder: Path) -> str:
    """What lies in a folder, for messages."""
    names = sorted(p.name for p in folder.iterdir())
    return f"has {', '.join(names[:6])}{', ...' * (len(names) > 6)}" if names else "is empty"


def scheduler_path(folder: Path) -> Path | None:
    """The scheduler's config of a model folder.

    Beside the network; for `run/checkpoint-500/unet_ema`, in `run/checkpoint-500` or in `run`,
    where the training script of diffusers writes it; for a part of a pipeline, in the pipeline.
    A link such as `run/latest` is looked at by its own name first, and then by what it leads to.
    """
    around = []
    for way in (Path(os.path.normpath(folder.absolute())), folder.resolve()):
        around.append(way)
        if way.name in UNET_FOLDERS or way.name in _named_by_index(way.parent):
            around.append(way.parent)
        if around[-1].name.startswith("checkpoint-"):
            around.append(around[-1].parent)
    for place in around:
        for name in ("scheduler/scheduler_config.json", "scheduler_config.json"):
            if os.path.lexists(path := place / name):
                return path
    return None


def choose_weights(names: Iterable[str]) -> Stored | None:
    """Which files to read, as diffusers does: plain names before variants, safe before pickles."""
    found = []
    for name in names:
        for pattern, sharded in ((SINGLE, False), (INDEX, True)):
            if match := pattern.fullmatch(name):
                found.append(Stored(name, match["kind"], match["variant"], sharded))
    if not found:
        return None

    def rank(s: Stored) -> tuple[bool, bool, bool]:
        return s.variant is not None, s.kind == "bin", not s.sharded

    found.sort(key=rank)
    variants = sorted({str(s.variant) for s in found})
    if found[0].variant is not None and len(variants) > 1:
        raise OSError(
            f"the folder holds the weights as {', '.join(variants)} only, and nothing says which "
            "is meant; keep one of them in the folder"
        )
    return found[0]


def complete(folder: Path) -> bool:
    """Whether a folder holds a network's config and all of its weights."""
    try:
        place = unet_place(folder)
        stored = choose_weights(p.name for p in place.iterdir())
        return stored is not None and all(p.is_file() for p in weight_files(place, stored))
    except OSError:
        return False


def weight_files(place: Path, stored: Stored) -> list[Path]:
    """The files with the weights themselves."""
    if not stored.sharded:
        return [place / stored.name]
    index = place / stored.name
    listed = read_json(index).get("weight_map")
    shards = set(listed.values()) if isinstance(listed, dict) else set()
    if not shards or any(not isinstance(s, str) or Path(s).name != s for s in shards):
        raise OSError(f"{index} is damaged: its weight_map must name files of the same folder")
    return [place / shard for shard in sorted(shards)]
