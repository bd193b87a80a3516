"""Train the denoiser `portraits-64`: resumable, on a GPU or on two CPU cores.

    python -m portraits.train --data DATA --out RUN --level 2 --minutes 30   # 16x16 pictures
    python -m portraits.train --data DATA --out RUN --level 1 --minutes 30   # 32x32
    python -m portraits.train --data DATA --out RUN --minutes 60             # 64x64
    python -m portraits.train --data DATA --out RUN --minutes 20 --cooldown 20   # land it
    python -m portraits.train.export RUN hsem/data/portraits-64                        # ship it

The network predicts v = sqrt(alpha_bar) n - sqrt(1 - alpha_bar) x0 (Salimans and Ho, 2022): with
uniform weight its loss stays sane at every noise level, which a small budget needs. The inner
levels learn small pictures first (portraits/train/levels.py): most of what a face is fits in 16x16
pixels, and there a picture costs a fifth of the time. Every number a run depends on is in its
`config.json`; every line of `log.jsonl` is one measurement. A run that is stopped goes on from its
last checkpoint, whatever machine wrote it.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..dataset.files import read_images
from .levels import Inner, Level, grow, level_noise, skip_dropout, skip_exchange

log = logging.getLogger("portraits.train")


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


SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "timestep_spacing": "trailing",
}


# ------------------------------------------------------------------------------------------- data


def load_images(data: Path, split: str = "train") -> Tensor:
    """All pictures of a split as uint8 (n, 3, 64, 64), from shards or packs."""
    return torch.from_numpy(read_images(data, split)).permute(0, 3, 1, 2).contiguous()


def batches(images: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless random batches in [-1, 1], each picture mirrored with probability one half.

    A mirrored head is a head with the opposite yaw, roll and light, all of which the data set
    draws symmetrically, so mirroring doubles the data without changing its distribution.
    """
    while True:
        index = torch.randint(len(images), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < 0.5
        x = images[index].float() / 127.5 - 1
        yield torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def draw_timesteps(n: int, steps: int, generator: torch.Generator, level: int = 0) -> Tensor:
    """Four in ten uniform, the others towards the noisy side, where a face takes shape.

    An untrained network is a local filter: good at low noise within minutes, and blind to the
    layout that only a global view of a very noisy picture gives. That is what takes the time.
    At an inner level a picture is less noisy than its timestep says, so the draw is made in the
    angle u of the small picture, tan(pi u / 2) = sigma / alpha there, and carried back.
    """
    uniform = torch.rand(n, generator=generator)
    noisy = torch.sigmoid((0.3 if level else 0.9) + 0.9 * torch.randn(n, generator=generator))
    u = torch.where(torch.rand(n, generator=generator) < 0.4, uniform, noisy)
    u = 2 / math.pi * torch.atan(2**level * torch.tan(math.pi / 2 * u))
    return (u * steps).long().clamp(max=steps - 1)


# -------------------------------------------------------------------------------------- optimiser


def orthogonalise(m: Tensor, rounds: int = 5) -> Tensor:
    """Nearest (semi-)orthogonal matrix, roughly, by Jordan's quintic Newton-Schulz iteration.

    The iteration multiplies from one side by polynomials in X Xᵀ, so it runs on that small square
    matrix, and X is touched twice instead of ten times: a third of the time for our kernels.
    """
    x = m.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    a, eye = x @ x.T, torch.eye(len(x), device=x.device)
    q = eye
    for _ in range(rounds):
        p = 3.4445 * eye - 4.7750 * a + 2.0315 * (a @ a)
        q = p @ q
        a = p @ a @ p
    x = q @ x
    return (x.T if tall else x).to(m.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, for matrices and convolution kernels.

    Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon). Kernels (out, in, kh, kw) are
    read as (out, in*kh*kw). Everything else in the network goes to AdamW.
    """

    def __init__(self, params: Any, lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                buffer = state.setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).reshape(len(p), -1)
                update = orthogonalise(update) * max(1, update.shape[0] / update.shape[1]) ** 0.5
                p.add_(update.view_as(p), alpha=-group["lr"])


def optimisers(net: Inner, kind: str, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW alone, or Muon for the inner weights with AdamW for the rest.

    Each has two groups: the weights that an inner level has trained, which wait for `hold` steps
    while the new level learns to use them, and the new ones.
    """
    new = net.outer()
    edge = ("unet.conv_in", "unet.conv_out", "unet.time_embedding", "stem", "head")
    named = list(net.parameters_in_use())
    muon = {
        n for n, p in named if kind == "muon" and p.ndim >= 2 and not n.startswith(edge)
    }  # fmt: skip

    def groups(names: list[tuple[str, nn.Parameter]], lr: float) -> list[dict[str, Any]]:
        known = [p for n, p in names if n not in new]
        fresh = [p for n, p in names if n in new]
        return [
            {"params": params, "lr": lr, "held": held}
            for params, held in ((known, True), (fresh, False))
            if params
        ]

    rest = [(n, p) for n, p in named if n not in muon]
    slow = lr * 0.05 if kind == "muon" else lr
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups(rest, slow), slow, betas=(0.9, 0.99), weight_decay=0.0)
    ]
    if muon:
        found.insert(0, Muon(groups([(n, p) for n, p in named if n in muon], lr), lr=lr))
    return found


# ----------------------------------------------------------------------------------- checkpoints


class Run:
    """A training run in a folder: weights, running average, optimiser state, log."""

    def __init__(self, out: Path, args: argparse.Namespace) -> None:
        self.out, self.args = out, args
        out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.config = unet_config(tuple(args.channels), args.attention)
        unet = UNet2DModel(**self.config)
        self.step = self.seen = self.entered = 0
        known = (out / "checkpoint.json").exists()
        if args.init and not known:
            unet.load_state_dict({k: v.float() for k, v in load_file(args.init).items()})
        if known:
            self.net = self.restore(unet)
        else:
            self.net = placed(Inner(unet, args.level), self.device)
            self.opts = optimisers(self.net, args.optimizer, args.lr)
            self.ema = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        (out / "config.json").write_text(
            json.dumps(
                {"unet": self.config, "scheduler": SCHEDULER, "args": vars(args)},
                indent=1,
                default=str,
            ),
            encoding="utf-8",
        )

    def save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        for o, opt in enumerate(self.opts):
            for i, state in opt.state_dict()["state"].items():
                for k, v in state.items():
                    tensors[f"opt.{o}.{i}.{k}"] = torch.as_tensor(v)
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        partial = self.out / "checkpoint.safetensors.part"
        save_file(tensors, partial)
        os.replace(partial, self.out / "checkpoint.safetensors")
        meta = {
            "step": self.step,
            "seen": self.seen,
            "entered": self.entered,
            "level": self.net.level,
            "optimizer": self.args.optimizer,
        }
        (self.out / "checkpoint.json").write_text(json.dumps(meta), encoding="utf-8")

    def restore(self, unet: UNet2DModel) -> Inner:
        """The network of the checkpoint, grown to the level asked for."""
        meta = json.loads((self.out / "checkpoint.json").read_text(encoding="utf-8"))
        tensors = load_file(self.out / "checkpoint.safetensors")
        self.step, self.seen, self.entered = meta["step"], meta["seen"], meta["entered"]
        level = meta["level"]
        if level < self.args.level:
            raise ValueError(
                f"level={self.args.level}: {self.out} has already grown to level {level}"
            )
        net, average = Inner(unet, level), Inner(UNet2DModel(**self.config), level)
        net.load_state_dict(_under(tensors, "model."))
        average.load_state_dict(_under(tensors, "ema."))
        grown = level > self.args.level
        while net.level > self.args.level:
            # The average is the better network, so it is what grows.
            net = average = grow(average)
            self.entered = self.step
        to = {"device": self.device}
        self.ema = {k: v.detach().clone().to(**to) for k, v in average.state_dict().items()}
        net = placed(net, self.device)
        self.opts = optimisers(net, self.args.optimizer, self.args.lr)
        if grown or meta["optimizer"] != self.args.optimizer:
            log.warning("the optimiser of %s starts afresh", self.out)
            return net
        for o, opt in enumerate(self.opts):
            whole = opt.state_dict()
            for key, value in _under(tensors, f"opt.{o}.").items():
                index, name = key.split(".", 1)
                whole["state"].setdefault(int(index), {})[name] = value
            opt.load_state_dict(whole)
        log.info("resumed %s at step %d, %d pictures seen", self.out, self.step, self.seen)
        return net

    @torch.no_grad()
    def average(self) -> None:
        since = self.step - self.entered
        decay = min(self.args.ema, (1 + since) / (10 + since))
        state = self.net.state_dict()
        torch._foreach_lerp_(list(self.ema.values()), [state[k] for k in self.ema], 1 - decay)


def half_precision(device: torch.device) -> bool:
    """Whether bfloat16 is calculated by the hardware.

    A processor without it imitates it: one tenth of the speed of float32 was measured.
    """
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def layout(device: torch.device) -> torch.memory_format:
    """The memory layout that convolutions are fastest in: channels last goes with bfloat16."""
    return torch.channels_last if half_precision(device) else torch.contiguous_format


def placed(net: Inner, device: torch.device) -> Inner:
    """The network on its device, in its fastest layout."""
    net.unet.to(memory_format=layout(device))  # type: ignore[call-overload]
    return net.to(device)


def predict(net: Callable[..., Any], x: Tensor, t: Tensor, *skips: Any) -> Tensor:
    """v in float32, calculated in the precision that is fastest here."""
    device = x.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half_precision(device)):
        return net(x.contiguous(memory_format=layout(device)), t, *skips).float()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


# ------------------------------------------------------------------------------------------ train


def v_loss(
    net: Callable[..., Any],
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    level: Level,
    *skips: Any,
) -> Tensor:
    """Mean squared error of v, each sample its own noise level."""
    out = predict(net, level.noisy(x0, noise, t), t, *skips)
    return (out - level.v(x0, noise, t)).pow(2).mean((1, 2, 3))


def draw_skips(n: int, args: argparse.Namespace, generator: torch.Generator) -> Tensor | None:
    """Which skip connections to keep, (n, levels); None for all."""
    if args.skip_dropout:
        share, finest = args.skip_dropout, args.level + 1
        return skip_dropout(n, len(args.channels), share, generator, finest)
    if args.skip_exchange:
        return skip_exchange(n, len(args.channels), args.skip_exchange, generator)
    return None


def forward_of(run: Run, level: Level, args: argparse.Namespace) -> Callable[..., Any]:
    """The network as it is, or compiled, if that has the same gradient.

    torch 2.13 compiled this network on one of our processors (no bfloat16) to something with the
    right loss and no gradient at all in three quarters of the weights. A run would not show it.
    """
    wanted = half_precision(run.device) if args.compile is None else args.compile
    if not wanted:
        return run.net
    compiled = torch.compile(run.net)
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, args.batch, 3, *2 * [64 // 2**args.level], generator=generator)
    t = draw_timesteps(args.batch, len(level.alpha), generator, args.level)
    keep = draw_skips(args.batch, args, generator)
    x0, t, noise = (v.to(run.device) for v in (x0, t, noise))
    keep = None if keep is None else keep.to(run.device)
    gradients = []
    for net in (run.net, compiled):
        each = v_loss(net, x0, t, noise, level, keep, args.skip_exchange > 0)
        parameters = [p for _, p in run.net.parameters_in_use()]
        gradients.append(torch.autograd.grad(each.mean(), parameters, allow_unused=True))
    if same_gradient(*gradients):
        return compiled
    if args.compile:
        raise RuntimeError(
            "compile=True: torch.compile gives this network a wrong gradient on this machine "
            f"(torch {torch.__version__}, {run.device}); train with --no-compile"
        )
    log.warning("torch.compile gives a wrong gradient on this machine: training without it")
    return run.net


def same_gradient(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> bool:
    """Whether two gradients point the same way in nearly all weights (rounding may differ)."""
    alike = []
    for a, b in zip(ours, theirs, strict=True):
        if a is not None and a.norm() > 0:
            b = torch.zeros_like(a) if b is None else b
            alike.append(float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) > 0.9)
    return sum(alike) >= 0.95 * len(alike)


def learning_rate(step: int, elapsed: float, args: argparse.Namespace) -> float:
    """Warm up over 200 steps; fall linearly to zero over the last `cooldown` minutes."""
    left = max(0.0, args.minutes * 60 - elapsed)
    cool = min(1.0, left / (args.cooldown * 60)) if args.cooldown else 1.0
    return min(1.0, (step + 1) / 200) * cool


@torch.no_grad()
def sample_grid(net: Inner, path: Path, n: int = 24, steps: int = 25) -> None:
    """Deterministic (DDIM, eta 0) samples from fixed seeds, so that grids can be compared."""
    device, side = next(net.parameters()).device, net.unet.config.sample_size // 2**net.level
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod.to(device)
    level = level_noise(alpha_bar, net.level)
    times = torch.linspace(len(alpha_bar) - 1, 0, steps + 1).long().to(device)
    seeds = [torch.Generator().manual_seed(s) for s in range(n)]
    noise = torch.stack([torch.randn(3, side, side, generator=g) for g in seeds]).to(device)
    x = level.sigma[-1] * noise
    for now, then in pairwise(times):
        t = now.expand(n)
        x0, noise = level.split(x, predict(net, x, t), t)
        x = level.noisy(x0, noise, then.expand(n))
    pictures = ((x0.clamp(-1, 1) + 1) * 127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(pictures[r : r + 8]), 1) for r in range(0, n, 8)]
    Image.fromarray(np.concatenate(rows, 0)).resize(
        (8 * 128, n // 8 * 128), Image.Resampling.NEAREST
    ).save(path)


def train(args: argparse.Namespace) -> None:
    run = Run(Path(args.out), args)
    images = load_images(Path(args.data))
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod.to(run.device)
    level = level_noise(alpha_bar, args.level)
    generator = torch.Generator().manual_seed(args.seed + run.step)
    source = batches(images, args.batch, generator)
    net = forward_of(run, level, args)
    start, smooth, by_level = time.time(), None, torch.zeros(5, 2)
    mark = start
    bar = tqdm(total=math.ceil(args.minutes * 60), unit="s", desc="training", disable=args.quiet)
    while (elapsed := time.time() - start) < args.minutes * 60 and run.step < args.steps:
        x0 = nn.functional.avg_pool2d(next(source), 2**args.level)
        t = draw_timesteps(len(x0), len(alpha_bar), generator, args.level)
        noise = torch.randn(x0.shape, generator=generator)
        if args.skip_exchange:  # a pair differs in its picture, not in its noise
            t, noise = t[::2].repeat_interleave(2), noise[::2].repeat_interleave(2, 0)
        scale = learning_rate(run.step - run.entered, elapsed, args)
        held = run.step - run.entered < args.hold
        for opt in run.opts:
            base = args.lr if isinstance(opt, Muon) else opt.defaults["lr"]
            for group in opt.param_groups:
                group["lr"] = 0.0 if held and group["held"] else base * scale
        keep = draw_skips(len(x0), args, generator)
        keep = None if keep is None else keep.to(run.device)
        each = v_loss(
            net, x0.to(run.device), t.to(run.device), noise.to(run.device), level,
            keep, args.skip_exchange > 0,
        )  # fmt: skip
        loss = each.mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"gradient of norm {norm.item()} at step {run.step}; {run.out} still holds the "
                "last checkpoint: go on from it with a lower --lr"
            )
        for opt in run.opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        run.step += 1
        run.seen += len(x0)
        run.average()
        smooth = loss.item() if smooth is None else 0.99 * smooth + 0.01 * loss.item()
        fifth = t * 5 // len(alpha_bar)
        by_level.index_add_(0, fifth, torch.stack([each.detach().cpu(), torch.ones(len(each))], 1))
        if run.step % 100 == 0:
            now = time.time()
            record = {
                "step": run.step,
                "seen": run.seen,
                "level": args.level,
                "loss": round(smooth, 5),
                "loss_by_noise_level": [
                    round(v, 4) for v in (by_level[:, 0] / by_level[:, 1].clamp(min=1)).tolist()
                ],
                "images_per_second": round(args.batch * 100 / (now - mark), 1),
                "lr_scale": round(scale, 4),
            }
            mark = now
            by_level.zero_()
            with (run.out / "log.jsonl").open("a", encoding="utf-8") as f:
                f.write(json.dumps(record) + "\n")
            bar.set_postfix(loss=record["loss"], rate=record["images_per_second"])
        if run.step % args.save_every == 0:
            run.save()
            images = load_images(Path(args.data))  # the renderer may have drawn more
            source = batches(images, args.batch, generator)
        if run.step % args.grid_every == 0:
            save_grid(run)
        bar.update(int(elapsed) - bar.n)
    bar.close()
    run.save()
    save_grid(run)


def save_grid(run: Run) -> None:
    shadow = Inner(UNet2DModel(**run.config), run.net.level)
    shadow.load_state_dict(run.ema)
    sample_grid(placed(shadow, run.device).eval(), run.out / f"grid_{run.step:07d}.png")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", required=True, help="folder with train_*.npz")
    p.add_argument("--out", required=True, help="folder of the run; an existing run goes on")
    p.add_argument("--minutes", type=float, default=60.0)
    p.add_argument(
        "--steps", type=float, default=math.inf, help="stop at this step, to compare runs"
    )
    p.add_argument(
        "--cooldown", type=float, default=0.0, help="last minutes, learning rate to zero"
    )
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    p.add_argument("--lr", type=float, default=0.01, help="of Muon (AdamW part: a twentieth of it)")
    p.add_argument("--ema", type=float, default=0.999)
    p.add_argument("--level", type=int, default=0, help="2: 16x16 pictures, 1: 32x32, 0: 64x64")
    p.add_argument(
        "--hold", type=int, default=300, help="steps a new level learns before the inner ones move"
    )
    p.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64, 128])
    p.add_argument("--attention", type=int, default=1, help="at how many of the inmost levels")
    skips = p.add_mutually_exclusive_group()
    skips.add_argument(
        "--skip-dropout", type=float, default=0.0, help="share of skip connections cut off"
    )
    skips.add_argument(
        "--skip-exchange",
        type=float,
        default=0.0,
        help="share taken from another picture of the same noise, in three pairs of four",
    )
    p.add_argument("--init", help="safetensors weights to start a new run from")
    p.add_argument("--device", help="cuda or cpu; default: cuda where there is one")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--save-every", type=int, default=500)
    p.add_argument("--grid-every", type=int, default=1500)
    p.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="default: where bfloat16 is fast; checked against the gradient without it",
    )
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    args = p.parse_args()
    if args.skip_exchange and args.batch % 2:
        p.error(
            f"--batch must be even with --skip-exchange, which works on pairs, got {args.batch}"
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(args)


if __name__ == "__main__":
    main()
