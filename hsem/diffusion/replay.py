"""An edit tried out again and again on the same people: only the steps that it changes are run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..directions.edits import Edit, check_grid
from ..network.unet import Context, HSpaceUNet
from .sampling import checked_eta, checked_seeds, draw_noise, sample_steps
from .schedule import Schedule


class Replay:
    """A run without edits, kept so that edited runs can start in its middle.

    Parameters
    ----------
    model, seeds, steps, eta : as for `sample`; all seeds are one batch
    told : called without arguments after each step, for a bar

    Attributes
    ----------
    schedule : the T noise levels
    images : of the run without edits, (b, 3, H, W), on the CPU
    h_seq : its bottlenecks, (b, T, C, h, w), on the CPU, as `swap` takes them

    Notes
    -----
    x and h are kept for every step. The skips, which are larger, are kept for one step only: the
    first of the last edited run, which is the only one that the next edited run can use.
    """

    def __init__(
        self, model: HSpaceUNet, seeds: Sequence[int], *, steps: int = 25, eta: float = 1.0,
        told: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self.model, self.seeds = model, checked_seeds(seeds)
        self.schedule = model.schedule(steps)
        self.eta = checked_eta(eta, self.schedule)
        x, z = draw_noise(model, self.seeds, steps if any(self.eta) else 0)
        self._z = z.to(model.device, model.outer_dtype) if any(self.eta) else None
        self._x = [x.to(model.device, model.outer_dtype)]
        self._h: list[Tensor] = []
        self._kept: tuple[int, Context] | None = None
        with torch.no_grad():
            for step in sample_steps(model, self.schedule, self._x[0], eta=self.eta, z=self._z):
                self._x.append(step.x)
                self._h.append(step.h)
                told()
        self.images = self._x[-1].cpu()
        self.h_seq = torch.stack(self._h, dim=1).cpu()

    @torch.no_grad()
    def edited(
        self, edit: Edit, *, first: int = 0, asyrp: bool = False,
        told: Callable[[], object] = lambda: None,
    ) -> Tensor:  # fmt: skip
        """Images of the run with `edit`, (b, 3, H, W), on the CPU.

        Parameters
        ----------
        edit, asyrp : as for `sample`
        first : index of the first step in which the edit acts; it is not asked before
        told : called without arguments after each step
        """
        if not 0 <= first < self.schedule.steps:
            raise ValueError(
                f"first must be the index of a step, 0 to {self.schedule.steps - 1}, got {first}"
            )
        check_grid(edit, self.schedule)
        t, x, h = self.schedule.timesteps[first], self._x[first], self._h[first]
        if self._kept is None or self._kept[0] != first:
            self._kept = (first, self.model.encode(x, t)[1])
        context = self._kept[1]
        resumed = copy.copy(self.model)  # the same network, which already encoded the first x

        def encode(x: Tensor, at: int) -> tuple[Tensor, Context]:
            return (h, context) if at == t else self.model.encode(x, at)

        resumed.encode = encode  # type: ignore[method-assign, assignment]
        rest = Schedule(self.schedule.alpha_bar, self.schedule.timesteps[first:])
        z = None if self._z is None else self._z[:, first:]
        steps = sample_steps(
            resumed, rest, x, eta=self.eta[first:], z=z,
            edit=lambda i, h: edit(first + i, h), asyrp=asyrp,
        )  # fmt: skip
        for step in steps:
            x = step.x
            told()
        return x.cpu()
