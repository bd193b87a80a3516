"""The controls of the playground in a notebook, and the link that carries what they say."""

from __future__ import annotations

import html
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from . import live_link

WIDE = {"description_width": "9em"}
LAYOUT = {"width": "min(100%, 34em)"}
MOST_STEPS = 100


class Controls(widgets.VBox):
    """Everything a reader can set; a subclass shows in `draw` what follows.

    Attributes
    ----------
    person, steps, eta : seed, number of steps, fresh noise
    strengths : one slider per direction, by name
    random, random_seed, random_like : the control: a random direction as long as a named one
    asyrp, window : Asyrp on or off; first and last step in which the edit acts, from 1
    swapped, other : take h from the person with this seed
    cells : buttons over h, row by row
    dice, reset, all_cells, no_cells : buttons
    link : a field with what is set; what is pasted into it is set
    said : what is being done, what a link asked for in vain, or what went wrong
    """

    def __init__(
        self, directions: Collection[str], grid: tuple[int, int],
        *, seed: int, steps: int, eta: float, reach: float,
    ) -> None:  # fmt: skip
        self._quiet, self._reach = False, reach

        def number(label: str, value: int) -> widgets.BoundedIntText:
            return widgets.BoundedIntText(
                value, 0, 2**32 - 1, description=label, style=WIDE, continuous_update=False
            )

        def slide(label: str, kind: Any = widgets.FloatSlider, **options: Any) -> Any:
            return kind(
                description=label, style=WIDE, layout=LAYOUT, continuous_update=False, **options
            )

        def button(label: str) -> widgets.Button:
            return widgets.Button(description=label)

        ends: dict[str, Any] = {"value": 0.0, "min": -reach, "max": reach, "step": reach / 30}
        self.person, self.dice = number("seed", seed), button("Another person")
        self.steps = slide("steps", widgets.IntSlider, value=steps, min=2, max=MOST_STEPS)
        self.eta = slide("fresh noise η", value=eta, min=0, max=1, step=0.1)
        self.strengths = {name: slide(name.replace("_", " "), **ends) for name in directions}
        self.random, self.random_seed = slide("random direction", **ends), number("its seed", 0)
        self.random_like = widgets.Dropdown(
            options=list(directions), description="same length as", style=WIDE
        )
        self.asyrp = widgets.Checkbox(False, description="Asyrp", style=WIDE)
        self.window = slide(
            "from, to step", widgets.IntRangeSlider, value=(1, steps), min=1, max=steps
        )
        self.swapped = widgets.Checkbox(False, description="h from another", style=WIDE)
        self.other = number("seed of the other", seed + 1 if seed < 2**32 - 1 else 0)
        rows, columns = grid
        self.cells = [
            widgets.ToggleButton(
                True, tooltip=f"row {k // columns + 1}, column {k % columns + 1}",
                button_style="info", layout={"width": "auto", "height": "1.6em"},
            )
            for k in range(rows * columns)
        ]  # fmt: skip
        self.all_cells, self.no_cells = button("All cells"), button("No cells")
        self.reset = button("Reset")
        self.link = widgets.Text(
            description="link", style=WIDE, layout=LAYOUT, continuous_update=False
        )
        self.said = widgets.HTML()
        cells = widgets.GridBox(
            self.cells,
            layout={"grid_template_columns": f"repeat({columns}, 1.6em)", "grid_gap": "2px"},
        )
        super().__init__([
            self.said, widgets.HBox([self.person, self.dice, self.reset]), self.steps, self.eta,
            *self.strengths.values(), self.random, self.random_like, self.random_seed,
            self.asyrp, self.window, widgets.HBox([self.swapped, self.other]),
            widgets.HTML("In which cells of h, which lie as in the picture:"), cells,
            widgets.HBox([self.all_cells, self.no_cells]), self.link,
        ])  # fmt: skip
        self._first = self.state()
        self.link.value = live_link.write(self._first)
        self.dice.on_click(lambda _: setattr(self.person, "value", secrets.randbelow(100_000)))
        self.reset.on_click(lambda _: self.set(self._first))
        self.all_cells.on_click(lambda _: self._fill(True))
        self.no_cells.on_click(lambda _: self._fill(False))
        self.steps.observe(self._fit_window, names="value")
        self.link.observe(self._pasted, names="value")
        for control in (
            self.person, self.steps, self.eta, *self.strengths.values(), self.random,
            self.random_like, self.random_seed, self.asyrp, self.window, self.swapped, self.other,
            *self.cells,
        ):  # fmt: skip
            control.observe(self._moved, names="value")

    def draw(self) -> None:
        """Show what is set now."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What is set, as `live_link.write` takes it."""
        first, last = self.window.value
        return {
            "seed": self.person.value, "steps": self.steps.value, "eta": self.eta.value,
            "strengths": {name: slider.value for name, slider in self.strengths.items()},
            "random": self.random.value, "randomSeed": self.random_seed.value,
            "randomLike": self.random_like.value, "asyrp": self.asyrp.value,
            "from": first, "to": last, "swap": self.other.value if self.swapped.value else None,
            "mask": [bool(cell.value) for cell in self.cells],
        }  # fmt: skip

    def set(self, state: Mapping[str, Any]) -> None:
        """Set everything at once, and show it; `state` as from `live_link.read`."""
        with self._quietly():
            self.steps.value = steps = state["steps"]
            self.person.value, self.eta.value = state["seed"], state["eta"]
            for name, slider in self.strengths.items():
                slider.value = state["strengths"].get(name, 0.0)
            self.random.value, self.random_seed.value = state["random"], state["randomSeed"]
            self.random_like.value = state["randomLike"] or next(iter(self.strengths))
            self.asyrp.value, self.swapped.value = state["asyrp"], state["swap"] is not None
            if state["swap"] is not None:
                self.other.value = state["swap"]
            last = min(state["to"] or steps, steps)
            self.window.max = steps
            self.window.value = (min(state["from"], last), last)
            for cell, on in zip(self.cells, state["mask"] or [True] * len(self.cells), strict=True):
                cell.value = on
        self._moved()

    # ------------------------------------------------------------------------------ details

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _moved(self, _: Any = None) -> None:
        if self._quiet:
            return
        self.said.value = "<em>drawing …</em>"
        try:
            with self._quietly():
                self.link.value = live_link.write(self.state())
            self.draw()
            self.said.value = ""
        except Exception as error:  # a callback's traceback reaches no reader
            self.said.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
            raise

    def _fill(self, on: bool) -> None:
        with self._quietly():
            for cell in self.cells:
                cell.value = on
        self._moved()

    def _pasted(self, change: Any) -> None:
        if self._quiet:
            return
        state, ignored = live_link.read(
            change["new"], self.strengths, len(self.cells), reach=self._reach, most=MOST_STEPS
        )
        self.set(state)
        if ignored:
            self.said.value = f"Left out of the link: {html.escape(', '.join(ignored[:5]))}."

    def _fit_window(self, change: Any) -> None:
        """The window keeps its start, and its end where that was the last step."""
        if self._quiet:
            return
        first, last = self.window.value
        last = change["new"] if last == change["old"] else min(last, change["new"])
        with self._quietly():
            # the widget refuses a value beyond its end, and moves its value when the end comes in
            self.window.max = change["new"]
            self.window.value = (min(first, last), last)
