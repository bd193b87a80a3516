"""The playground in a notebook: any model, any directions, a kernel that draws."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor

from ..diffusion.replay import Replay
from ..directions.direction import Direction, random_like
from ..directions.edits import Edit, add, chain, masked, only_at, swap
from ..judges.scorers import scores_of
from ..network.unet import HSpaceUNet
from . import live_link
from .live_controls import Controls
from .picture import CELL, encode, img_tag, sheet, to_uint8

KEPT = 4  # people whose run without an edit is kept
SAVED = 256  # pixels of a side of the saved picture, at least
# the smallest files would take longer to make than a step of the network
QUICK_WEBP: dict[str, Any] = {"method": 2}
QUICK_PNG: dict[str, Any] = {"compress_level": 1}


class Playground(Controls):
    """The widget that `playground` makes; its controls can be set from code as well.

    Attributes
    ----------
    images : before and after the edit, (2, 3, H, W)
    bar : counts the steps of the network that are drawn
    shown : the pictures, the picture to save, and the readings

    The controls are those of `Controls`.
    """

    images: Tensor

    def __init__(
        self, model: HSpaceUNet, directions: Mapping[str, Direction], scorer: Any,
        seed: int, steps: int, eta: float, reach: float,
    ) -> None:  # fmt: skip
        for direction in directions.values():
            direction.check_model(model)
        self.model, self.directions, self.scorer = model, dict(directions), scorer
        self._runs: dict[tuple[int, int, float], Replay] = {}
        self._read: tuple[Replay, list[float]] | None = None  # of the person without the edit
        super().__init__(
            self.directions, model.h_shape[1:], seed=seed, steps=steps, eta=eta, reach=reach
        )
        self.bar = widgets.IntProgress(
            0, 0, 1, description="steps drawn", style={"description_width": "9em"}
        )
        self.shown = widgets.HTML()
        self.children: tuple[widgets.Widget, ...] = (self.shown, self.bar, *self.children)
        self.draw()

    def edit(self) -> Edit | None:
        """What the controls ask of h; None if nothing."""
        if not self._edits():
            return None
        grid = self._current().schedule
        terms: list[Edit] = []
        if self._is_swapped():
            terms.append(swap(self._replay(self.other.value).h_seq))
        for name, slider in self.strengths.items():
            if slider.value:
                terms.append(add(self.directions[name].resampled(grid), slider.value))
        if self.random.value:
            generator = torch.Generator().manual_seed(self.random_seed.value)
            control = random_like(self.directions[self.random_like.value], generator)
            terms.append(add(control.resampled(grid), self.random.value))
        mask = torch.tensor(
            [float(cell.value) for cell in self.cells], dtype=torch.float32, device="cpu"
        )
        first, last = self.window.value
        mask = mask.reshape(self.model.h_shape[1:])
        return only_at(masked(chain(*terms), mask), range(first - 1, last))

    def draw(self) -> None:
        """Draw what the controls say, before and after, with the readings."""
        self.bar.value, self.bar.max = 0, max(self._work(), 1)
        replay, edit = self._current(), self.edit()
        after = replay.images
        if edit is not None:
            first, asyrp = self.window.value[0] - 1, self.asyrp.value
            after = replay.edited(edit, first=first, asyrp=asyrp, told=self._step)
        self.images = torch.cat([replay.images, after])
        pictures = to_uint8(self.images)
        said = f"person {self.person.value} before and after the edit"
        width = 2 * max(CELL, self.model.image_shape[2]) * 2
        self.shown.value = (
            img_tag(sheet(pictures, 2), said, width, **QUICK_WEBP)
            + self._saved(pictures[1])
            + self._readings()
        )
        self.bar.value = self.bar.max

    # ------------------------------------------------------------------------------ details

    def _is_swapped(self) -> bool:
        return self.swapped.value and self.other.value != self.person.value

    def _edits(self) -> bool:
        moved = any(slider.value for slider in (*self.strengths.values(), self.random))
        return (moved or self._is_swapped()) and any(cell.value for cell in self.cells)

    def _work(self) -> int:
        """Steps that `draw` has to run."""
        steps, first = self.steps.value, self.window.value[0]
        people = {self.person.value}
        if self._edits() and self._is_swapped():
            people.add(self.other.value)
        new = sum(self._key(seed) not in self._runs for seed in people)
        return new * steps + (steps - first + 1 if self._edits() else 0)

    def _key(self, seed: int) -> tuple[int, int, float]:
        return seed, self.steps.value, self.eta.value

    def _replay(self, seed: int) -> Replay:
        key = self._key(seed)
        run = self._runs.pop(key, None) or Replay(
            self.model, [seed], steps=key[1], eta=key[2], told=self._step
        )
        self._runs[key] = run  # the last used is last
        while len(self._runs) > KEPT:
            del self._runs[next(iter(self._runs))]
        return run

    def _current(self) -> Replay:
        return self._replay(self.person.value)

    def _step(self) -> None:
        self.bar.value += 1

    def _saved(self, picture: Any) -> str:
        """A link that saves the edited picture under a name that says what was set."""
        image = Image.fromarray(picture)
        zoom = -(-SAVED // min(image.size))
        large = image.resize((zoom * image.width, zoom * image.height), Image.Resampling.BILINEAR)
        name = live_link.write(self.state())[1:].replace("&", "_")[:150]
        data = encode(large, "PNG", **QUICK_PNG)
        return (
            f'<p><a download="portrait_{html.escape(name)}.png" '
            f'href="data:image/png;base64,{data}">Download the picture</a></p>'
        )

    def _readings(self) -> str:
        if self.scorer is None:
            return ""
        replay = self._current()
        if self._read is None or self._read[0] is not replay:
            self._read = (replay, scores_of(self.scorer, self.images[:1])[0].tolist())
        before, after = self._read[1], self._read[1]
        if not torch.equal(self.images[0], self.images[1]):
            after = scores_of(self.scorer, self.images[1:])[0].tolist()
        lines = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th><td>{b:.2f}</td><td>{a:.2f}</td></tr>"
            for name, b, a in zip(self.scorer.names, before, after, strict=True)
        )
        head = "<tr><th>reading</th><th>before</th><th>after</th></tr>"
        return f"<details><summary>Readings</summary><table>{head}{lines}</table></details>"


def playground(
    model: HSpaceUNet,
    directions: Mapping[str, Direction],
    *,
    scorer: Callable[[Tensor], Tensor] | None = None,
    seed: int = 7,
    steps: int = 16,
    eta: float = 0.0,
    reach: float = 1.5,
) -> Playground:
    """Controls for one person and all directions, as on the page "The model on this page".

    Parameters
    ----------
    model, directions : any model, and directions found for it, by name
    scorer : `images -> scores` with `names`, such as `hsem.classifier.load()`, read before and
        after the edit
    seed, steps, eta : of the person drawn first, and after *Reset*
    reach : both ends of the sliders of strength

    Returns
    -------
    A widget, which needs a running kernel. Only what a change touches is computed: the run
    without the edit is kept, and an edited run starts at the first step of its window. Its field
    `link` holds what is set in the form of the page's links, and takes such a link.

    Raises
    ------
    ValueError
        If a direction belongs to another model, or there is none.
    """
    if not directions:
        raise ValueError("directions must hold at least one Direction by name, got none")
    return Playground(model, directions, scorer, seed, steps, eta, reach)
