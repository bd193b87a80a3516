"""Train the denoiser `portraits-64`: resumable, on a GPU or on two CPU cores.

    python -m portraits.train --data DATA --out RUN --minutes 60
    python -m portraits.train --data DATA --out RUN --minutes 20 --cooldown 20   # land it
    python -m portraits.export RUN hsem/data/portraits-64                        # ship it

The network predicts v = sqrt(alpha_bar) n - sqrt(1 - alpha_bar) x0 (Salimans and Ho, 2022): with
uniform weight its loss stays sane at every noise level, which a small budget needs. Every number a
run depends on is in its `config.json`; every line of `log.jsonl` is one measurement. A run that is
stopped goes on from its last checkpoint, whatever machine wrote it.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

log = logging.getLogger("portraits.train")

UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (16, 32, 64, 128),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
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


def load_images(folder: Path, split: str = "train") -> Tensor:
    """All pictures of a split as uint8 (n, 3, 64, 64), read from `folder/split_*.npz`."""
    shards = sorted(folder.glob(f"{split}_*.npz"))
    if not shards:
        raise FileNotFoundError(
            f"data={str(folder)!r} holds no {split}_*.npz; "
            "render some, see portraits/_prototype/README.md"
        )
    pictures = np.concatenate([np.load(shard)["images"] for shard in shards])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


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


def draw_timesteps(n: int, steps: int, generator: torch.Generator) -> Tensor:
    """Four in ten uniform, the others towards the noisy side, where a face takes shape.

    An untrained network is a local filter: good at low noise within minutes, and blind to the
    layout that only a global view of a very noisy picture gives. That is what takes the time.
    """
    uniform = torch.rand(n, generator=generator)
    noisy = torch.sigmoid(0.9 + 0.9 * torch.randn(n, generator=generator))
    u = torch.where(torch.rand(n, generator=generator) < 0.4, uniform, noisy)
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


def optimisers(net: nn.Module, kind: str, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW alone, or Muon for the inner weights with AdamW for the rest."""
    named = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
    if kind == "adamw":
        return [torch.optim.AdamW([p for _, p in named], lr, betas=(0.9, 0.99), weight_decay=0.0)]
    edge = ("conv_in", "conv_out", "time_embedding")
    inner = [p for n, p in named if p.ndim >= 2 and not n.startswith(edge)]
    ids = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in ids]
    return [
        Muon(inner, lr=lr),
        torch.optim.AdamW(rest, lr * 0.05, betas=(0.9, 0.99), weight_decay=0.0),
    ]


# ----------------------------------------------------------------------------------- checkpoints


class Run:
    """A training run in a folder: weights, running average, optimiser state, log."""

    def __init__(self, out: Path, args: argparse.Namespace) -> None:
        self.out, self.args = out, args
        out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.unet = UNet2DModel(**UNET).to(self.device, memory_format=torch.channels_last)
        self.step = self.seen = 0
        if args.init and not (out / "checkpoint.json").exists():
            self.unet.load_state_dict({k: v.float() for k, v in load_file(args.init).items()})
        self.opts = optimisers(self.unet, args.optimizer, args.lr)
        self.ema = {k: v.detach().clone() for k, v in self.unet.state_dict().items()}
        if (out / "checkpoint.json").exists():
            self.restore()
        for opt in self.opts:
            for group in opt.param_groups:
                group.setdefault("initial_lr", group["lr"])
        (out / "config.json").write_text(
            json.dumps(
                {"unet": UNET, "scheduler": SCHEDULER, "args": vars(args)}, indent=1, default=str
            )
        )

    def save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.unet.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        for o, opt in enumerate(self.opts):
            for i, state in opt.state_dict()["state"].items():
                for k, v in state.items():
                    tensors[f"opt.{o}.{i}.{k}"] = torch.as_tensor(v)
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        partial = self.out / "checkpoint.safetensors.part"
        save_file(tensors, partial)
        os.replace(partial, self.out / "checkpoint.safetensors")
        meta = {"step": self.step, "seen": self.seen, "optimizer": self.args.optimizer}
        (self.out / "checkpoint.json").write_text(json.dumps(meta))

    def restore(self) -> None:
        meta = json.loads((self.out / "checkpoint.json").read_text())
        tensors = load_file(self.out / "checkpoint.safetensors", device=str(self.device))
        self.step, self.seen = meta["step"], meta["seen"]
        self.unet.load_state_dict(_under(tensors, "model."))
        self.ema = _under(tensors, "ema.")
        if meta["optimizer"] != self.args.optimizer:
            log.warning("optimiser changed from %s: its state starts afresh", meta["optimizer"])
            return
        for o, opt in enumerate(self.opts):
            whole = opt.state_dict()
            for key, value in _under(tensors, f"opt.{o}.").items():
                index, name = key.split(".", 1)
                whole["state"].setdefault(int(index), {})[name] = value
            opt.load_state_dict(whole)
        log.info("resumed %s at step %d, %d pictures seen", self.out, self.step, self.seen)

    @torch.no_grad()
    def average(self) -> None:
        decay = min(self.args.ema, (1 + self.step) / (10 + self.step))
        state = self.unet.state_dict()
        torch._foreach_lerp_(list(self.ema.values()), [state[k] for k in self.ema], 1 - decay)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


# ------------------------------------------------------------------------------------------ train


def v_loss(
    net: Callable[..., Any], x0: Tensor, t: Tensor, noise: Tensor, alpha_bar: Tensor
) -> Tensor:
    """Mean squared error of v, each sample its own noise level."""
    a = alpha_bar[t].view(-1, 1, 1, 1)
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
    v = a.sqrt() * noise - (1 - a).sqrt() * x0
    with torch.autocast(x0.device.type, dtype=torch.bfloat16):
        out = net(x_t.contiguous(memory_format=torch.channels_last), t).sample
    return (out.float() - v).pow(2).mean((1, 2, 3))


def learning_rate(step: int, elapsed: float, args: argparse.Namespace) -> float:
    """Warm up over 200 steps; fall linearly to zero over the last `cooldown` minutes."""
    left = max(0.0, args.minutes * 60 - elapsed)
    cool = min(1.0, left / (args.cooldown * 60)) if args.cooldown else 1.0
    return min(1.0, (step + 1) / 200) * cool


@torch.no_grad()
def sample_grid(unet: UNet2DModel, path: Path, n: int = 24, steps: int = 25) -> None:
    """Deterministic samples from fixed seeds, so that grids of one run can be compared."""
    scheduler = DDIMScheduler(**SCHEDULER)
    scheduler.set_timesteps(steps)
    seeds = [torch.Generator().manual_seed(s) for s in range(n)]
    x = torch.stack([torch.randn(3, 64, 64, generator=g) for g in seeds]).to(unet.device)
    for t in scheduler.timesteps:
        with torch.autocast(unet.device.type, dtype=torch.bfloat16):
            v = unet(x.contiguous(memory_format=torch.channels_last), t).sample
        x = scheduler.step(v.float(), t, x).prev_sample
    pictures = ((x.clamp(-1, 1) + 1) * 127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(pictures[r : r + 8]), 1) for r in range(0, n, 8)]
    Image.fromarray(np.concatenate(rows, 0)).resize(
        (8 * 128, n // 8 * 128), Image.Resampling.NEAREST
    ).save(path)


def train(args: argparse.Namespace) -> None:
    run = Run(Path(args.out), args)
    images = load_images(Path(args.data))
    scheduler = DDPMScheduler(**SCHEDULER)
    alpha_bar = scheduler.alphas_cumprod.to(run.device)
    generator = torch.Generator().manual_seed(args.seed + run.step)
    source = batches(images, args.batch, generator)
    net = torch.compile(run.unet) if args.compile else run.unet
    start, smooth, by_level = time.time(), None, torch.zeros(5, 2)
    bar = tqdm(total=math.ceil(args.minutes * 60), unit="s", desc="training", disable=args.quiet)
    while (elapsed := time.time() - start) < args.minutes * 60:
        x0 = next(source)
        t = draw_timesteps(len(x0), len(alpha_bar), generator)
        noise = torch.randn(x0.shape, generator=generator)
        scale = learning_rate(run.step, elapsed, args)
        for opt in run.opts:
            for group in opt.param_groups:
                group["lr"] = group["initial_lr"] * scale
        each = v_loss(net, x0.to(run.device), t.to(run.device), noise.to(run.device), alpha_bar)
        loss = each.mean()
        loss.backward()
        nn.utils.clip_grad_norm_(run.unet.parameters(), 1.0)
        for opt in run.opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        run.step += 1
        run.seen += len(x0)
        run.average()
        smooth = loss.item() if smooth is None else 0.99 * smooth + 0.01 * loss.item()
        level = t * 5 // len(alpha_bar)
        by_level.index_add_(0, level, torch.stack([each.detach().cpu(), torch.ones(len(each))], 1))
        if run.step % 100 == 0:
            rate = args.batch * 100 / (time.time() - getattr(run, "mark", start))
            run.mark = time.time()  # type: ignore[attr-defined]
            record = {
                "step": run.step,
                "seen": run.seen,
                "loss": round(smooth, 5),
                "loss_by_noise_level": [
                    round(v, 4) for v in (by_level[:, 0] / by_level[:, 1]).tolist()
                ],
                "images_per_second": round(rate, 1),
                "lr_scale": round(scale, 4),
            }
            by_level.zero_()
            with (run.out / "log.jsonl").open("a") as f:
                f.write(json.dumps(record) + "\n")
            bar.set_postfix(loss=record["loss"], rate=record["images_per_second"])
        if run.step % args.save_every == 0:
            run.save()
        if run.step % args.grid_every == 0:
            save_grid(run)
        bar.update(int(elapsed) - bar.n)
    bar.close()
    run.save()
    save_grid(run)


def save_grid(run: Run) -> None:
    shadow = UNet2DModel(**UNET)
    shadow.load_state_dict(run.ema)
    shadow.to(run.device, memory_format=torch.channels_last).eval()
    sample_grid(shadow, run.out / f"grid_{run.step:07d}.png")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", required=True, help="folder with train_*.npz")
    p.add_argument("--out", required=True, help="folder of the run; an existing run goes on")
    p.add_argument("--minutes", type=float, default=60.0)
    p.add_argument(
        "--cooldown", type=float, default=0.0, help="last minutes, learning rate to zero"
    )
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    p.add_argument("--lr", type=float, default=0.01, help="of Muon (AdamW part: a twentieth of it)")
    p.add_argument("--ema", type=float, default=0.999)
    p.add_argument("--init", help="safetensors weights to start a new run from")
    p.add_argument("--device", help="cuda or cpu; default: cuda where there is one")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--save-every", type=int, default=500)
    p.add_argument("--grid-every", type=int, default=1500)
    p.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    args = p.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(args)


if __name__ == "__main__":
    main()
