"""Turn a training run into the folder that `hsem.load()` and stock diffusers read.

    python -m portraits.train.export RUN hsem/data/portraits-64

Writes the averaged weights in half precision (they are read back as float32) in the layout of a
diffusers `DDPMPipeline`: model_index.json, unet/, scheduler/; and beside them `training.json`, what
the network has seen and how its loss fell, from its first picture on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from hsem.files import replacing

from .checkpoint import read_checkpoint, under

ABOUT = (
    "loss of v on the training batches since the line before, whole and by fifth of the noise "
    "level, cleanest first; rate: of Muon; last trained on {device}, in batches of {batch}"
)
TOLD = ("pictures", "loss", "loss_by_noise_level", "rate")


def export(run: Path, target: Path) -> dict[str, Any]:
    """Write the run's running average as pipeline folder `target`; return where the run stood."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tensors, meta = read_checkpoint(run)
    if meta["level"]:
        raise ValueError(
            f"run={str(run)!r} has learned pictures of {64 // 2 ** meta['level']} pixels only; "
            "train it on with --level 0 first"
        )
    unet = UNet2DModel(**config["unet"])
    unet.load_state_dict(under(tensors, "ema.unet."))
    pipeline = DDPMPipeline(unet.to(torch.float16), DDPMScheduler(**config["scheduler"]))
    pipeline.save_pretrained(target, safe_serialization=True)
    for path in (target / "unet" / "config.json", target / "model_index.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)  # would name a folder of the machine that trained it
        with replacing(path) as part:
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    with replacing(target / "training.json") as part:
        part.write_text(history(config, meta), encoding="utf-8")
    DDPMPipeline.from_pretrained(target)  # leave nothing behind that stock diffusers cannot read
    return meta


def history(config: dict[str, Any], meta: dict[str, Any]) -> str:
    """What `training.json` says, a line of the log in a line of the file."""
    about = ABOUT.format(device=config["device"], batch=config["args"]["batch"])
    lines = [json.dumps({key: line[key] for key in TOLD}) for line in meta["log"]]
    log = "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
    return f'{{\n "about": {json.dumps(about)},\n "pictures": {meta["seen"]},\n "log": {log}\n}}\n'


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("run", type=Path)
    p.add_argument("target", type=Path)
    args = p.parse_args()
    seen = export(args.run, args.target)
    size = sum(f.stat().st_size for f in args.target.rglob("*") if f.is_file())
    print(f"{args.target}: {size / 1e6:.1f} MB, step {seen['step']}, {seen['seen']} pictures seen")


if __name__ == "__main__":
    main()
