"""An edit tried out again and again on the same people: only the steps that it changes are run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..directions.edits import Edit, check_grid, rows
from ..network.memory import Pieces
from ..network.unet import Context, HSpaceUNet
from .sampling import checked_eta, checked_seeds, draw_noise, sample_steps
from .schedule import Schedule


class Replay:
    """A run without edits, kept so that edited runs can start in its middle.

    Parameters
    ----------
    model, seeds, steps, eta : as for `sample`; all seeds are one batch, which is halved, with a
        warning, where the memory of a CUDA device runs out
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
        x = x.to(model.device, model.outer_dtype)
        self._pieces = Pieces(len(self.seeds), "seeds")
        self._kept: dict[tuple[int, int, int], Context] = {}  # of one step: it, and who

        @torch.no_grad()
        def run(which: slice) -> list[tuple[Tensor, Tensor]]:
            z, found = self._noise(which), []
            for step in sample_steps(model, self.schedule, x[which], eta=self.eta, z=z):
                found.append((step.x, step.h))
                told()
            return found

        steps_of = list(zip(*self._pieces.run(len(self.seeds), run), strict=True))
        self._x = [x, *(_joined([x for x, _ in parts]) for parts in steps_of)]
        self._h = [_joined([h for _, h in parts]) for parts in steps_of]
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
        t, n = self.schedule.timesteps[first], len(self.seeds)
        rest = Schedule(self.schedule.alpha_bar, self.schedule.timesteps[first:])

        def run(which: slice) -> Tensor:
            x, h, z = self._x[first][which], self._h[first][which], self._noise(which)
            context, own = self._context(first, which), rows(edit, which, n)
            resumed = copy.copy(self.model)  # the same network, which already encoded the first x

            def encode(x: Tensor, at: int) -> tuple[Tensor, Context]:
                return (h, context) if at == t else self.model.encode(x, at)

            resumed.encode = encode  # type: ignore[method-assign, assignment]
            steps = sample_steps(
                resumed, rest, x, eta=self.eta[first:], z=None if z is None else z[:, first:],
                edit=lambda i, h: own(first + i, h), asyrp=asyrp,
            )  # fmt: skip
            for step in steps:
                x = step.x
                told()
            return x.cpu()

        return torch.cat(self._pieces.run(n, run))

    def _noise(self, which: slice) -> Tensor | None:
        return None if self._z is None else self._z[which]

    def _context(self, first: int, which: slice) -> Context:
        """What the decoder needs at one step; only that of the last step asked for is kept."""
        key = (first, which.start, which.stop)
        if key not in self._kept:
            others = {k: v for k, v in self._kept.items() if k[0] == first}
            self._kept = {
                k: v for k, v in others.items() if k[2] <= which.start or which.stop <= k[1]
            }
            x, t = self._x[first][which], self.schedule.timesteps[first]
            self._kept[key] = self.model.encode(x, t)[1]
        return self._kept[key]


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
