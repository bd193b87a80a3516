"""The playground in a notebook: any model, any directions, a kernel that draws."""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from ..diffusion.replay import Replay
from ..directions.direction import Direction, random_like
from ..directions.edits import Edit, add, chain, masked, only_at, swap
from ..judges.scorers import scores_of
from ..network.unet import HSpaceUNet
from .picture import CELL, img_tag, sheet, to_uint8

WIDE = {"description_width": "9em"}
LAYOUT = {"width": "min(100%, 34em)"}


class Playground(widgets.VBox):
    """The widget that `playground` makes; its controls can be set from code as well.

    Attributes
    ----------
    person, steps, eta : seed, number of steps, fresh noise
    strengths : one slider per direction, by name
    random, random_seed, random_like : the control: a random direction as long as a named one
    asyrp, window : Asyrp on or off; first and last step in which the edit acts, from 1
    swapped, other : take h from the person with this seed
    cells : buttons over h, row by row
    images : before and after the edit, (2, 3, H, W)
    """

    images: Tensor

    def __init__(
        self, model: HSpaceUNet, directions: Mapping[str, Direction], scorer: Any,
        seed: int, steps: int, eta: float, reach: float,
    ) -> None:  # fmt: skip
        for direction in directions.values():
            direction.check_model(model)
        self.model, self.directions, self.scorer = model, dict(directions), scorer
        self._replay = lru_cache(maxsize=4)(self._new_replay)
        self._read: tuple[Replay, list[float]] | None = None  # of the person without the edit
        self._quiet = False

        def number(label: str, value: int) -> widgets.BoundedIntText:
            return widgets.BoundedIntText(
                value, 0, 2**32 - 1, description=label, style=WIDE, continuous_update=False
            )

        def slide(label: str) -> widgets.FloatSlider:
            return widgets.FloatSlider(
                0.0, min=-reach, max=reach, step=reach / 30, description=label, style=WIDE,
                layout=LAYOUT, continuous_update=False,
            )  # fmt: skip

        self.person = number("seed", seed)
        self.dice = widgets.Button(description="Another person")
        self.steps = widgets.IntSlider(
            steps, 2, 100, description="steps", style=WIDE, layout=LAYOUT, continuous_update=False
        )
        self.eta = widgets.FloatSlider(
            eta, min=0, max=1, step=0.1, description="η", style=WIDE, layout=LAYOUT,
            continuous_update=False,
        )  # fmt: skip
        self.strengths = {name: slide(name.replace("_", " ")) for name in self.directions}
        self.random = slide("random")
        self.random_seed = number("its seed", 0)
        self.random_like = widgets.Dropdown(
            options=list(self.directions), description="as long as", style=WIDE
        )
        self.asyrp = widgets.Checkbox(False, description="Asyrp", style=WIDE)
        self.window = widgets.IntRangeSlider(
            value=(1, steps), min=1, max=steps, description="from, to step", style=WIDE,
            layout=LAYOUT, continuous_update=False,
        )  # fmt: skip
        self.swapped = widgets.Checkbox(False, description="h from another", style=WIDE)
        self.other = number("seed of the other", seed + 1)
        _, rows, columns = model.h_shape
        self.cells = [
            widgets.ToggleButton(
                True, tooltip=f"row {k // columns + 1}, column {k % columns + 1}",
                button_style="info", layout={"width": "auto", "height": "1.6em"},
            )
            for k in range(rows * columns)
        ]  # fmt: skip
        grid = widgets.GridBox(
            self.cells,
            layout={"grid_template_columns": f"repeat({columns}, 1.6em)", "grid_gap": "2px"},
        )
        self.bar = widgets.HTML()
        self.shown = widgets.HTML()
        super().__init__([
            self.shown, self.bar, widgets.HBox([self.person, self.dice]), self.steps, self.eta,
            *self.strengths.values(), self.random, self.random_like, self.random_seed,
            self.asyrp, self.window, widgets.HBox([self.swapped, self.other]),
            widgets.HTML("Where in h the edit acts:"), grid,
        ])  # fmt: skip
        self.dice.on_click(self._roll)
        self.steps.observe(self._fit_window, names="value")
        for control in (
            self.person, self.steps, self.eta, *self.strengths.values(), self.random,
            self.random_like, self.random_seed, self.asyrp, self.window, self.swapped, self.other,
            *self.cells,
        ):  # fmt: skip
            control.observe(self._changed, names="value")
        self.draw()

    # --------------------------------------------------------------------------------- drawing

    def edit(self) -> Edit | None:
        """What the controls ask of h; None if nothing."""
        replay = self._current()
        grid = replay.schedule
        terms: list[Edit] = []
        if self.swapped.value and self.other.value != self.person.value:
            other = self._replay(self.other.value, self.steps.value, self.eta.value)
            terms.append(swap(other.h_seq))
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
        if not terms or not mask.any():
            return None
        first, last = self.window.value
        mask = mask.reshape(self.model.h_shape[1:])
        return only_at(masked(chain(*terms), mask), range(first - 1, last))

    def draw(self) -> None:
        """Draw what the controls say, before and after, with the readings."""
        replay, edit = self._current(), self.edit()
        after = replay.images
        if edit is not None:
            after = replay.edited(edit, first=self.window.value[0] - 1, asyrp=self.asyrp.value)
        self.images = torch.cat([replay.images, after])
        picture = sheet(to_uint8(self.images), 2)
        width = 2 * max(CELL, self.model.image_shape[2]) * 2
        said = f"person {self.person.value} before and after the edit"
        self.shown.value = img_tag(picture, said, width) + self._readings()

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

    def _current(self) -> Replay:
        return self._replay(self.person.value, self.steps.value, self.eta.value)

    def _new_replay(self, seed: int, steps: int, eta: float) -> Replay:
        return Replay(self.model, [seed], steps=steps, eta=eta)

    def _changed(self, _: Any) -> None:
        if self._quiet:
            return
        self.bar.value = "<em>drawing …</em>"
        try:
            self.draw()
            self.bar.value = ""
        except Exception as error:  # a callback's traceback reaches no reader
            self.bar.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
            raise

    def _roll(self, _: Any) -> None:
        self.person.value = secrets.randbelow(100_000)

    def _fit_window(self, change: Any) -> None:
        """The window keeps its start, and its end where that was the last step."""
        first, last = self.window.value
        last = change["new"] if last == change["old"] else min(last, change["new"])
        self._quiet = True
        try:
            # the widget refuses a value beyond its end, and moves its value when the end comes in
            self.window.max = change["new"]
            self.window.value = (min(first, last), last)
        finally:
            self._quiet = False


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
    seed, steps, eta : of the person drawn first
    reach : both ends of the sliders of strength

    Returns
    -------
    A widget, which needs a running kernel. Only what a change touches is computed: the run
    without the edit is kept, and an edited run starts at the first step of its window.

    Raises
    ------
    ValueError
        If a direction belongs to another model, or there is none.
    """
    if not directions:
        raise ValueError("directions must hold at least one Direction by name, got none")
    return Playground(model, directions, scorer, seed, steps, eta, reach)
