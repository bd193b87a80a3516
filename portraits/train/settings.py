"""Everything that decides a run: the network, its noise schedule, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "timestep_spacing": "trailing",
}


def unet_config(channels: tuple[int, ...], attention: int) -> dict[str, Any]:
    """Settings of a `UNet2DModel` for 64x64 pictures attending at `attention` inmost levels."""
    n = len(channels)
    attends = [i >= n - attention for i in range(n)]
    return {
        "sample_size": 64,
        "in_channels": 3,
        "out_channels": 3,
        "layers_per_block": 1,
        "block_out_channels": channels,
        "down_block_types": tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        "up_block_types": tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]),
        "norm_num_groups": 8,
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": None,
    }


@dataclass(frozen=True)
class Settings:
    """One command of `portraits.train`.

    A command is a *phase* of the run in `out`, and ends after `minutes` or at step `steps`,
    whichever comes first. The rate falls to zero over its last part: a share `cool`, or
    `cooldown` minutes.
    """

    data: Path
    out: Path
    minutes: float | None = None
    steps: int | None = None
    cool: float | None = None
    cooldown: float | None = None
    batch: int = 16
    optimizer: str = "muon"
    lr: float = 0.01
    ema: float = 0.999
    level: int = 0
    hold: int = 300
    channels: tuple[int, ...] = (16, 32, 64, 128)
    attention: int = 1
    skip_dropout: float = 0.0
    skip_exchange: float = 0.0
    loose: bool = False
    timesteps: tuple[float, ...] | None = None
    init: Path | None = None
    device: str | None = None
    seed: int = 0
    log_every: int = 100
    save_every: int = 500
    grid_every: int = 1500
    compile: bool | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.skip_exchange and self.batch % 2:
            raise ValueError(
                "batch must be even with skip_exchange, which works on pairs, got "
                f"{self.batch}; take {self.batch + 1}"
            )
        if self.cooldown and not self.minutes:
            raise ValueError(
                f"cooldown={self.cooldown} is counted in minutes, and minutes is not given; give "
                "cool, a share of the run, instead"
            )
        if self.cool is not None and not 0 <= self.cool <= 1:
            raise ValueError(f"cool must be a share between 0 and 1, got {self.cool}")

    @property
    def plan(self) -> list[float | None]:
        """Minutes (60 if no end is given), last step, and the share in which the rate falls."""
        minutes = 60.0 if self.minutes is None and self.steps is None else self.minutes
        share = min(1.0, self.cooldown / minutes) if self.cooldown and minutes else self.cool
        return [minutes, self.steps, share or 0.0]

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """Share of uniform timesteps, and centre and width of the others; see `draw_timesteps`."""
        return self.timesteps or ((0.4, 0.3, 0.9) if self.level else (0.5, 0.6, 1.0))
