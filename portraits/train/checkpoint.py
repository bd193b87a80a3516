"""A run in its folder, which may lose its machine at any moment.

`checkpoint.safetensors` is the run: weights, their average, the optimisers, and in its header where
the run stands and its log. It is one file, put in place whole, so weights and step never disagree.
`average.safetensors` is what a reader of the weights wants, in half precision: six times smaller,
which matters where it has to travel. `config.json` and `log.jsonl` are for readers, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor

from hsem.files import read_tensors, replacing, save_tensors
from hsem.reading import check_file, refusing

from .levels import Inner, grow
from .loss import placed
from .muon import optimisers
from .settings import SCHEDULER, Settings, unet_config

log = logging.getLogger("portraits.train")

CHECKPOINT = "checkpoint.safetensors"
WARM_UP = 200  # steps


@dataclass
class Phase:
    """A stretch of a run: one command, also if that was cut off and given again."""

    plan: list[float | None]  # minutes, last step, share in which the rate falls
    begun: int = 0  # the step before its first
    seconds: float = 0.0
    cooling: bool = False
    over: bool = False

    def progress(self, step: int) -> float:
        """How much of it is done, from 0 to 1, by whichever end is nearer."""
        minutes, last, _ = self.plan
        by_time = self.seconds / (60 * minutes) if minutes else 0.0
        by_step = 0.0
        if last is not None:
            by_step = (step - self.begun) / (last - self.begun) if step < last else 1.0
        return max(by_time, by_step)

    def rate(self, step: int) -> float:
        """What the learning rate is multiplied with: up over 200 steps, to zero at the end."""
        share, left = self.plan[2], 1 - self.progress(step)
        warm = min(1.0, (step - self.begun + 1) / WARM_UP)
        return warm * (min(1.0, max(0.0, left) / share) if share else 1.0)


def read_checkpoint(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a run, and where it stands (step, seen, level, log, ...)."""
    path = run / CHECKPOINT
    check_file(path, "checkpoint")
    with refusing(path, "a checkpoint of a run", "take an earlier copy of the run", OSError):
        tensors, header = read_tensors(path)
        return tensors, json.loads(header["run"])


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


class Run:
    """Weights, their average, optimisers, log, and where the run stands."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.out = settings, settings.out
        self.out.mkdir(parents=True, exist_ok=True)
        for part in self.out.glob(".*.part"):  # of a process that was killed while it wrote
            part.unlink()
        self.device = torch.device(
            settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
        )
        self.config = unet_config(settings.channels, settings.attention)
        self.step = self.seen = self.entered = 0
        self.phase = Phase(settings.plan)
        self.log: list[dict[str, Any]] = []
        # by fifth of the noise level: sum of losses and how many; and steps that were skipped
        self.sums = torch.zeros(5, 2, dtype=torch.float32, device=self.device)
        self.skipped = torch.zeros((), dtype=torch.float32, device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            unet = UNet2DModel(**self.config)
            if (self.out / CHECKPOINT).exists():
                self._restore(unet)
            else:
                self._begin(unet)
        facts = {"unet": self.config, "scheduler": SCHEDULER, "device": self._device_name()}
        facts["args"] = asdict(settings)
        _write(self.out / "config.json", json.dumps(facts, indent=1, default=str))

    def _begin(self, unet: UNet2DModel) -> None:
        if self.settings.init:
            weights, self.seen, self.log = initial(self.settings.init)
            unet.load_state_dict(weights)
        self.net = placed(Inner(unet, self.settings.level), self.device)
        self.opts = optimisers(self.net, self.settings.optimizer, self.settings.lr)
        self.ema = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def _restore(self, unet: UNet2DModel) -> None:
        """The network of the checkpoint, grown to the level asked for."""
        tensors, meta = read_checkpoint(self.out)
        self.step, self.seen, self.log = meta["step"], meta["seen"], meta["log"]
        self.entered, level = meta["entered"], meta["level"]
        if level < self.settings.level:
            raise ValueError(
                f"level={self.settings.level}: {self.out} has already grown to level {level}"
            )
        grown = level > self.settings.level
        phase = Phase(**meta["phase"])
        if phase.over or grown or phase.plan != self.phase.plan:
            self.phase.begun = self.step
        else:
            self.phase = phase
        net, average = Inner(unet, level), Inner(UNet2DModel(**self.config), level)
        net.load_state_dict(under(tensors, "model."))
        average.load_state_dict(under(tensors, "ema."))
        while level > self.settings.level:
            # The average is the better network, so it is what grows.
            net = average = grow(average)
            level, self.entered = net.level, self.step
        self.net = placed(net, self.device)
        own = self.net.state_dict()
        self.ema = {
            k: torch.empty_like(own[k]).copy_(v) for k, v in average.state_dict().items()
        }  # in the memory layout of the weights
        self.opts = optimisers(self.net, self.settings.optimizer, self.settings.lr)
        if grown or meta["optimizer"] != self.settings.optimizer:
            log.warning("the optimiser of %s starts afresh", self.out)
            return
        self.sums.copy_(tensors["log.sums"])
        self.skipped.copy_(tensors["log.skipped"])
        for o, opt in enumerate(self.opts):
            _load_state(opt, under(tensors, f"opt.{o}."))
        log.info("resumed %s at step %d, %d pictures seen", self.out, self.step, self.seen)

    def save(self) -> None:
        """Put the checkpoint in place of the last, unless the weights are spoiled."""
        tensors = {f"model.{k}": v for k, v in self.net.state_dict().items()}
        if not all(bool(v.isfinite().all()) for v in tensors.values()):
            raise FloatingPointError(
                f"weights are not finite at step {self.step}; {self.out} still holds the last good "
                "ones: go on from them with a lower --lr"
            )
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        tensors |= {"log.sums": self.sums, "log.skipped": self.skipped}
        for o, opt in enumerate(self.opts):
            for i, state in opt.state_dict()["state"].items():
                tensors |= {f"opt.{o}.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        meta = {
            "step": self.step,
            "seen": self.seen,
            "entered": self.entered,
            "level": self.net.level,
            "optimizer": self.settings.optimizer,
            "phase": asdict(self.phase),
            "log": self.log,
        }
        save_tensors(self.out / CHECKPOINT, tensors, {"run": json.dumps(meta)})
        self._save_weights("average.safetensors", under(self.ema, "unet."))
        _write(self.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in self.log))

    def save_before_cooling(self) -> None:
        """Keep the weights that a later run, or a branch, can go on from at the full rate."""
        self._save_weights("before_cooling.safetensors", self.net.unet.state_dict())
        self.phase.cooling = True

    @torch.no_grad()
    def average(self) -> None:
        since = self.step - self.entered
        decay = min(self.settings.ema, (1 + since) / (10 + since))
        state = self.net.state_dict()
        torch._foreach_lerp_(list(self.ema.values()), [state[k] for k in self.ema], 1 - decay)

    def _save_weights(self, name: str, weights: Mapping[str, Tensor]) -> None:
        told = {"step": str(self.step), "pictures": str(self.seen)}
        save_tensors(self.out / name, {k: v.half() for k, v in weights.items()}, told)

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type


def initial(path: Path) -> tuple[dict[str, Tensor], int, list[dict[str, Any]]]:
    """Weights to start from, with the pictures they have seen and their log, where that is known.

    A file of weights knows neither; the folder of a model, as `export` writes it, knows both.
    """
    if path.is_file():
        return {k: v.float() for k, v in read_tensors(path)[0].items()}, 0, []
    weights, _ = read_tensors(path / "unet" / "diffusion_pytorch_model.safetensors")
    history = path / "training.json"
    told = json.loads(history.read_text(encoding="utf-8")) if history.exists() else {}
    lines = told.get("log", [])
    seen = told.get("pictures", lines[-1]["pictures"] if lines else 0)
    return {k: v.float() for k, v in weights.items()}, seen, lines


def _load_state(opt: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    whole = opt.state_dict()
    for key, value in saved.items():
        index, name = key.split(".", 1)
        whole["state"].setdefault(int(index), {})[name] = value
    opt.load_state_dict(whole)
    for p, state in opt.state.items():
        for name, value in state.items():
            if value.shape == p.shape:  # a fused step wants the memory layout of the weight
                state[name] = torch.empty_like(p).copy_(value)


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
