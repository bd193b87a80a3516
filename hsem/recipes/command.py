"""What the recipes share as commands: which model, on which device, where the result goes.

A recipe is a module with `VARIANTS`, the options of each result it makes; `SMALL`, sizes for a
first look at another model; `EXACT`, whether it needs float32; `parser`, `runs` and `fill`.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from typing import Any

import torch

from ..files import prepare
from ..network.models import fast_dtype, load
from ..results import path_of

ROOM = __package__ or "hsem.recipes"


def parser(doc: str | None, **options: tuple[Any, str]) -> argparse.ArgumentParser:
    """What all recipes take, and the options of one: name=(default, help).

    A type in place of a default makes an option without any; False makes a flag.
    """
    found = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    found.add_argument("--model", default="portraits-64", help="name or folder of a model")
    found.add_argument("--device", help="such as cuda; by default a GPU if there is one")
    found.add_argument("--output", help="name or path of the result; by default all variants")
    keep = "leave the samples that other recipes begin with, too, in the cache"
    found.add_argument("--keep-crowd", action="store_true", help=keep)
    for name, (default, about) in options.items():
        how: dict[str, Any] = {"default": default, "type": type(default)}
        if isinstance(default, type):
            how = {"type": default}
        elif default is False:
            how = {"action": "store_true"}
        elif isinstance(default, list):
            how = {"default": default, "nargs": "+" if default else "*"}
        found.add_argument(f"--{name.replace('_', '-')}", help=about, **how)
    return found


def variants(recipe: Any) -> dict[str, dict[str, Any]]:
    """The options of each result that a recipe makes: of one alone unless it says more."""
    return getattr(recipe, "VARIANTS", {recipe.__spec__.name.rpartition(".")[2]: {}})


def run(name: str) -> None:
    """The recipe that runs as the module `name`, with the options of the command line.

    Without `--output` it makes all its variants, and with the name of one, that one.
    """
    recipe, known = sys.modules[name], variants(sys.modules[name])
    given = recipe.parser().parse_args()
    if given.output in known:
        own = recipe.parser()
        own.set_defaults(**known[given.output])
        given = own.parse_args()
    for output, flags in known.items() if given.output is None else [(given.output, {})]:
        prepare(path_of(output), "output")
        args = argparse.Namespace(**{**vars(given), "output": output, **flags})
        model = load(args.model, device=args.device, dtype=dtype_of(recipe, args.device))
        path = recipe.fill(args, model)
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.2f} MB\n")


def find(name: str) -> tuple[Any, argparse.Namespace]:
    """The recipe of a result, and its options: what follows a hyphen is a variant."""
    stem = name.split("-")[0]
    try:
        recipe = importlib.import_module(f"{ROOM}.{stem}")
        flags, _ = variants(recipe)[name], recipe.fill
    except (ImportError, AttributeError, KeyError):
        raise ValueError(f"there is no recipe for {name!r} in {ROOM}") from None
    args = recipe.parser().parse_args([])
    return recipe, argparse.Namespace(**{**vars(args), **flags})


def dtype_of(recipe: Any, device: str | torch.device | None) -> torch.dtype:
    """Exact where derivatives or inversions are taken, else as fast as it gets."""
    return torch.float32 if getattr(recipe, "EXACT", False) else fast_dtype(device)


def said(recipe: str, args: argparse.Namespace) -> str:
    """The command that makes this again, with the options that are not the recipe's own."""
    usual = importlib.import_module(f"{ROOM}.{recipe}").parser()
    words: list[str] = []
    for key, value in vars(args).items():
        if value == usual.get_default(key) or value is None or key == "keep_crowd":
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{key.replace('_', '-')}", *([] if value is True else map(str, values))]
    return shlex.join(["python", "-m", f"{ROOM}.{recipe}", *words])
