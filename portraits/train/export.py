"""Turn a training run into the folder that `hsem.load()` and stock diffusers read.

    python -m portraits.train.export RUN hsem/data/portraits-64

Writes the averaged weights in half precision (they are read back as float32) in the layout of a
diffusers `DDPMPipeline`: model_index.json, unet/, scheduler/.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file


def export(run: Path, target: Path) -> dict[str, int]:
    """Write the run's running average as pipeline folder `target`; return what it had seen."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(run / "checkpoint.safetensors")
    unet = UNet2DModel(**config["unet"])
    unet.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith("ema.unet.")})
    pipeline = DDPMPipeline(unet.to(torch.float16), DDPMScheduler(**config["scheduler"]))
    pipeline.save_pretrained(target, safe_serialization=True)
    for path in (target / "unet" / "config.json", target / "model_index.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)  # would name a folder of the machine that trained it
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    seen = json.loads((run / "checkpoint.json").read_text(encoding="utf-8"))
    DDPMPipeline.from_pretrained(target)  # leave nothing behind that stock diffusers cannot read
    return seen


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path)
    p.add_argument("target", type=Path)
    args = p.parse_args()
    seen = export(args.run, args.target)
    size = sum(f.stat().st_size for f in args.target.rglob("*") if f.is_file())
    print(f"{args.target}: {size / 1e6:.1f} MB, step {seen['step']}, {seen['seen']} pictures seen")


if __name__ == "__main__":
    main()
