"""The noise schedule, and equations 1, 3, 4 and 5 as pure functions.

Names follow the paper, with one trap removed: the paper writes alpha_t for the *cumulative*
product, diffusers calls that `alphas_cumprod` and keeps `alphas` for the factors. Here it is
always `alpha_bar`, shortened to `a` (at this step) and `a_prev` (after it) in formulas.

Two indices never mix: `t` is a training timestep (0..N-1, large is noisy), `i` a step index
(0..T-1, index 0 is the noisiest).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from ..callers import tell
from ..counts import whole_number

SPACINGS = ("leading", "trailing", "linspace")


@dataclass(frozen=True, eq=False)
class Schedule:
    """The noise levels visited by a sampler.

    Parameters
    ----------
    alpha_bar : Tensor of shape (N,)
        Cumulative products of the N training steps, in [0, 1]; kept in float64.
    timesteps : T training timesteps, strictly descending

    Iterating yields `(t, a, a_prev)` with Python floats: `a = alpha_bar[t]`, `a_prev` the level
    the step ends on, 1.0 (no noise at all) for the last.

    Examples
    --------
    >>> alpha_bar = torch.linspace(1, 0.1, 1000, dtype=torch.float64)
    >>> Schedule.spaced(alpha_bar, steps=4).timesteps
    (750, 500, 250, 0)
    """

    alpha_bar: Tensor
    timesteps: tuple[int, ...]

    def __post_init__(self) -> None:
        alpha_bar = torch.as_tensor(self.alpha_bar, dtype=torch.float64, device="cpu").detach()
        if alpha_bar.ndim != 1 or not bool(((alpha_bar >= 0) & (alpha_bar <= 1)).all()):
            raise ValueError(
                "alpha_bar must be one row of numbers in [0, 1] (diffusers' alphas_cumprod), "
                f"got shape {tuple(alpha_bar.shape)}"
            )
        timesteps = checked_timesteps(self.timesteps)
        if timesteps[0] >= len(alpha_bar):
            raise ValueError(
                f"timesteps go up to {timesteps[0]}, but the schedule has only the "
                f"{len(alpha_bar)} training steps 0..{len(alpha_bar) - 1}"
            )
        object.__setattr__(self, "alpha_bar", alpha_bar)
        object.__setattr__(self, "timesteps", timesteps)

    @classmethod
    def spaced(
        cls, alpha_bar: Tensor, steps: int, spacing: str = "leading", offset: int = 0
    ) -> Schedule:
        """T timesteps spread over the training steps, exactly as diffusers spreads them.

        Parameters
        ----------
        alpha_bar : Tensor of shape (N,)
        steps : T, from 1 to N
        spacing : "leading" (diffusers' default: ends at t = 0, starts below N - 1), "trailing"
            (starts at N - 1) or "linspace" (both ends)
        offset : added to every timestep; "leading" only, as in diffusers (`steps_offset`)
        """
        n, steps = len(alpha_bar), whole_number("steps", steps, least=0)
        if not 1 <= steps <= n:
            raise ValueError(
                f"steps={steps} is outside 1..{n}: the model was trained with {n} timesteps, "
                f"so a sampler can visit at most {n} of them"
            )
        if spacing == "leading":
            timesteps = [n // steps * k + offset for k in range(steps)][::-1]
        elif spacing == "trailing":
            timesteps = [round(n - k * (n / steps)) - 1 for k in range(steps)]
        elif spacing == "linspace":
            even = torch.linspace(0, n - 1, steps, dtype=torch.float64, device="cpu")
            timesteps = even.round().int().tolist()[::-1]
        else:
            raise ValueError(f"spacing={spacing!r} is unknown; choose one of {SPACINGS}")
        # A stride is a whole number, rounded down a lot for some T; and one step alone is t = 0.
        rounded = spacing == "leading" and n // steps * steps < 0.9 * n
        if rounded or timesteps[0] < 0.1 * n:
            tell(
                f'steps={steps} with "{spacing}" spacing start at t = {timesteps[0]} of {n}, far '
                "below pure noise, as in diffusers; take another number of steps, such as one "
                f'that divides {n}, or spacing="trailing"',
            )
        return cls(alpha_bar, tuple(timesteps))

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return len(self.timesteps)

    def __len__(self) -> int:
        return len(self.timesteps)

    def __iter__(self) -> Iterator[tuple[int, float, float]]:
        levels = self.levels()
        return zip(self.timesteps, levels[:-1], levels[1:], strict=True)

    def levels(self) -> list[float]:
        """The T + 1 values of alpha_bar that a trajectory passes, from noise to image (1.0)."""
        return [*(float(self.alpha_bar[t]) for t in self.timesteps), 1.0]

    def __repr__(self) -> str:
        first, last = self.timesteps[0], self.timesteps[-1]
        return f"Schedule({self.steps} steps, t = {first}..{last} of {len(self.alpha_bar)})"


def checked_timesteps(timesteps: Schedule | Iterable[int]) -> tuple[int, ...]:
    """Timesteps as a tuple of ints; they must be non-negative and strictly descending."""
    given = timesteps.timesteps if isinstance(timesteps, Schedule) else tuple(timesteps)
    out = tuple(int(t) for t in given)
    falling = all(a > b for a, b in pairwise(out))
    if not out or out != given or out[-1] < 0 or not falling:
        raise ValueError(
            "timesteps must be non-negative integers in strictly descending order (index 0 is "
            f"the noisiest step), got {given}"
        )
    return out


def add_noise(x0: Tensor, noise: Tensor, a: float) -> Tensor:
    """Noisy image x_t at level `a` (eq. 1). Shapes (b, 3, H, W)."""
    return sqrt(a) * x0 + sqrt(1 - a) * noise


def predict_x0(x: Tensor, eps: Tensor, a: float) -> Tensor:
    """Predicted clean image P_t (eq. 3). Shapes (b, 3, H, W).

    Near pure noise (`a` small) an error in `eps` grows by sqrt((1 - a) / a); a network that
    predicts v does better, see `HSpaceUNet.predict`.
    """
    return (x - sqrt(1 - a) * eps) / sqrt(a)


def direction_to_xt(eps: Tensor, a_prev: float, sigma: float) -> Tensor:
    """Direction D_t pointing to x_t (eq. 4). Shape (b, 3, H, W)."""
    return sqrt(max(1 - a_prev - sigma**2, 0.0)) * eps  # rounding may reach -1e-17


def sigma(a: float, a_prev: float, eta: float) -> float:
    """Standard deviation of the fresh noise (eq. 5); 0 for DDIM, eta = 1 for DDPM."""
    if a == 1:  # a schedule may begin without noise
        return 0.0
    return eta * sqrt((1 - a_prev) / (1 - a)) * sqrt(1 - a / a_prev)
