"""Finished parts of a long computation, on disk, so that it goes on where it was stopped.

    parts = Parts("named", model, n=1600, eta=1.0)
    images = parts("images", lambda: hsem.sample(...).images)
    ...
    parts.clear()  # when the result itself has been written

A part is written whole or not at all, in the precision it was computed in: what is read again is
what was computed, to the bit, so a run that was killed ends as one that was not. Parts know what
they were made with: weights, settings, the stored results that the settings name, and the recipes
themselves; others are not found. They lie in the folder `parts` of `hsem.results.cache()`. Samples
that several recipes begin with (`crowd`) lie beside them, and go with them unless a recipe was told
to leave them to the next (`--keep-crowd`, as `make results` does).
"""

from __future__ import annotations

import hashlib
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import results
from .._version import __version__
from ..diffusion.sampling import Samples, sample
from ..directions.direction import Direction, random_like
from ..files import as_json, make_folder, prepare, read_tensors, save_tensors
from ..network.unet import HSpaceUNet
from ..reading import refusing
from ..results import cache, places
from .command import said

FLOAT: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
WHOLE: dict[str, Any] = {"dtype": torch.int64, "device": "cpu"}
"""Of what recipes make and store, whatever torch's defaults are."""


def _mark(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


RECIPES = _mark(*(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
"""Of the text of all recipes as this process runs them: they take constants from each other."""


class Parts:
    """Parts of the result `name` of a model, for these settings (plain JSON values).

    keep_crowd : leave the samples of `crowd` when the parts go; it is none of the settings
    """

    def __init__(
        self, name: str | Path, model: HSpaceUNet, /, *, keep_crowd: bool = False, **settings: Any
    ) -> None:
        facts = {
            "model": model.fingerprint, "dtype": str(model.dtype), "device": model.device.type,
            "torch": torch.__version__, "hsem": __version__, "recipes": RECIPES, **settings,
        }  # fmt: skip
        taken = [
            path.read_bytes()
            for key, value in sorted(settings.items())
            if key != "output" and isinstance(value, str) and Path(value).name
            for path in places(value, model)
            if path.is_file()
        ]
        mark = _mark(as_json(facts, sort_keys=True).encode(), *taken)
        self.model, self.keep_crowd = model, keep_crowd
        self.crowds: list[Parts] = []
        self.folder = cache() / "parts" / f"{Path(name).stem}-{mark}"
        prepare(self.folder / "part", "HSEM_CACHE")

    def tensors(
        self, key: str, make: Callable[..., Mapping[str, Tensor]], *args: Any
    ) -> dict[str, Tensor]:
        """The tensors of a part: read if they are there, else made and written."""
        path = self.folder / f"{key.replace('/', '-')}.safetensors"
        if path.is_file():
            with refusing(path, "a part of a computation", "delete it, and start again", OSError):
                return read_tensors(path)[0]
        found = dict(make(*args))
        make_folder(self.folder)  # again: another run may have cleared it meanwhile
        save_tensors(path, {k: v.cpu().clone().contiguous() for k, v in found.items()}, {})
        return found

    def __call__(self, key: str, make: Callable[..., Tensor], *args: Any) -> Tensor:
        """The same for one tensor."""
        return self.tensors(key, lambda: {"value": make(*args)})["value"]

    def over(
        self, key: str, rows: Sequence[int], make: Callable[[Sequence[int]], Mapping[str, Tensor]],
        size: int = 100,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Tensors over `rows`, such as seeds, made and kept `size` rows at a time."""
        chunks = [rows[k : k + size] for k in range(0, len(rows), size)]
        found = [self.tensors(f"{key}/{k}", make, chunk) for k, chunk in enumerate(chunks)]
        return {name: torch.cat([part[name] for part in found]) for name in found[0]}

    def finish(
        self, recipe: str, args: Namespace, tensors: Mapping[str, Tensor], **facts: Any
    ) -> Path:
        """Write the result, with the command that makes it again, and let the parts go."""
        return finish(recipe, args, self.model, tensors, [self], **facts)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for crowd in () if self.keep_crowd else self.crowds:
            crowd.clear()


def finish(
    recipe: str, args: Namespace, model: HSpaceUNet, tensors: Mapping[str, Tensor],
    kept: Iterable[Parts], **facts: Any,
) -> Path:  # fmt: skip
    """The same for the parts of several models, of which the result belongs to one."""
    path = results.save(args.output, model, tensors, command=said(recipe, args), **facts)
    for parts in kept:
        parts.clear()
    return path


def drawn(model: HSpaceUNet, seeds: Sequence[int] | None = None, **how: Any) -> Tensor:
    """The pictures of a run alone, as `sample` draws them, without a bar."""
    return sample(model, seeds, record=(), progress=False, **how).images


def pieces(parts: Parts, n: int, *, steps: int, eta: float, size: int = 100) -> Iterator[Samples]:
    """`hsem.sample` of the seeds 0 to n - 1 with their h, `size` of them at a time."""
    model, schedule = parts.model, parts.model.schedule(steps)
    kept = Parts("crowd", model, steps=steps, eta=eta)
    parts.crowds.append(kept)

    def some(seeds: range) -> dict[str, Tensor]:
        run = sample(model, seeds, schedule=schedule, eta=eta)
        assert run.h_seq is not None
        # in the precision of the network, in which h was computed: nothing is lost
        return {"images": run.images, "x_T": run.x_T, "h_seq": run.h_seq.to(model.dtype)}

    for first in range(0, n, size):
        seeds = range(first, min(first + size, n))
        found = kept.tensors(f"{first}-{seeds.stop}", some, seeds)
        yield Samples(
            found["images"], found["x_T"], tuple(seeds), (float(eta),) * schedule.steps, schedule,
            h_seq=found["h_seq"].to(model.outer_dtype),
        )  # fmt: skip


def crowd(parts: Parts, n: int, *, steps: int, eta: float) -> Samples:
    """The pieces, all at once."""
    found = list(pieces(parts, n, steps=steps, eta=eta))
    images, x_T, h_seq = (
        torch.cat([getattr(piece, name) for piece in found]) for name in ("images", "x_T", "h_seq")
    )
    return replace(found[0], images=images, x_T=x_T, seeds=tuple(range(n)), h_seq=h_seq)


def as_long_as_any(directions: Mapping[str, Direction]) -> Direction:
    """A random direction of the norm of the longest: the control beside all of them."""
    longest = max(directions.values(), key=Direction.norm)
    return random_like(longest, torch.Generator().manual_seed(0))
