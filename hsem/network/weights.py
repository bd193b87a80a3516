"""Networks and schedulers from files that somebody else wrote: nothing in them is ever run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import diffusers
import torch
from diffusers import DDPMScheduler, SchedulerMixin, UNet2DModel
from safetensors import SafetensorError
from torch import Tensor

from ..callers import tell
from ..files import read_tensors
from ..reading import check_there, read_json
from .folders import (
    LAYOUT,
    STEM,
    UNET_FOLDERS,
    choose_weights,
    listing,
    scheduler_path,
    unet_place,
    weight_files,
)
from .unet import check_scheduler, refuse_unsupported

MAX_TIMESTEPS = 10**6
# Diffusers renamed the attention weights in 2023; the paper's models on the hub are older.
NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
AVERAGING = {  # what EMAModel.save_pretrained writes into a network's config beside its own entries
    "decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step",
    "use_ema_warmup",
}  # fmt: skip
OLD_NAMES = re.compile(rf"(?<=\d)\.({'|'.join(NEW_NAMES)})\.(?=weight$|bias$)")


def read_unet(folder: Path) -> UNet2DModel:
    """The network of a model folder, in float32, on the CPU.

    Raises
    ------
    OSError
        If a file is missing, damaged, or not what its name says; if weights do not fit the config,
        are NaN or infinite, or are a pickle that holds more than tensors.
    ValueError
        If the network is no UNet2DModel.
    """
    place = unet_place(folder)
    config = _checked_config(place / "config.json")
    stored = choose_weights(p.name for p in place.iterdir())
    if stored is None:
        raise FileNotFoundError(
            f"{place} holds no weights, {STEM}.safetensors or .bin; it {listing(place)}"
        )
    state: dict[str, Tensor] = {}
    for path in weight_files(place, stored):
        check_there(path, "file of weights", f"bring it from where {stored.name} came from")
        state |= _read_pickle(path) if stored.kind == "bin" else _read_safetensors(path)
    state = {
        OLD_NAMES.sub(lambda old: f".{NEW_NAMES[old[1]]}.", name): x for name, x in state.items()
    }
    unet = _without_weights(config, place / "config.json", len(state))
    wanted = {name: x.shape for name, x in unet.state_dict().items()}
    whole = [name for name, x in state.items() if not x.is_floating_point()]
    if whole:
        raise OSError(
            f"{place / stored.name} holds whole numbers ({state[whole[0]].dtype}) in {len(whole)} "
            f"weights, such as {whole[0]}: quantised? hsem reads weights in floating point"
        )
    fitting = {name for name, x in state.items() if x.shape == wanted.get(name)}
    if misfits := sorted((wanted.keys() | state.keys()) - fitting):
        raise OSError(
            f"the weights {place / stored.name} do not fit the config.json beside them, so the two "
            f"are of different models: {len(misfits)} weights are missing, unknown, or of another "
            f"shape, such as {misfits[0]}"
        )
    # Copies: what is mapped to a file would change, or fail, with the file.
    state = {n: x.to(torch.float32, copy=True).contiguous() for n, x in state.items()}
    bad = [name for name, x in state.items() if not bool(torch.isfinite(x).all())]
    if bad:
        raise OSError(
            f"{place / stored.name} holds NaN or infinite numbers in {len(bad)} weights, such as "
            f"{bad[0]}: the training diverged, or half precision overflowed; take an earlier "
            "checkpoint, or the file in full precision"
        )
    unet.load_state_dict(state, assign=True)
    return unet.eval()


def read_scheduler(folder: Path | None, name: str) -> Any:
    """The scheduler stored beside a network; without one, that of Ho et al., with a warning."""
    path = None if folder is None else scheduler_path(folder)
    if path is not None:
        config = read_json(path, LAYOUT)
        if not any(key == "_class_name" or "beta" in key for key in config):
            raise OSError(
                f"{path} describes no noise: expected _class_name, beta_start or the like, got "
                f"{', '.join([*config][:4]) or 'an empty mapping'}; take the scheduler_config.json "
                "of this model"
            )
        return scheduler_from(config, where=str(path))
    tell(
        f"no scheduler found for {name!r}: assuming 1000 linear betas from 1e-4 to 0.02 and a "
        "network that predicts epsilon; say otherwise with load(..., scheduler=...)",
    )
    return DDPMScheduler()


def warn_of_latents(folder: Path, name: str) -> None:
    """Tell of a latent diffusion model: what its network draws is not yet a picture."""
    above = folder.parent if folder.name in UNET_FOLDERS else folder
    for part in ("vqvae", "vae"):
        if (above / part / "config.json").is_file():
            tell(
                f"{name!r} is a latent diffusion model: its network draws latents, which "
                f"{above / part} turns into pictures; what hsem shows are the latents",
            )


def scheduler_from(config: Mapping[str, Any], where: str) -> Any:
    """Build the diffusers scheduler that a config describes (DDIM if it does not say)."""
    kind = config.get("_class_name", "DDIMScheduler")
    cls = getattr(diffusers, str(kind), None)
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
        raise ValueError(f"{where} names the scheduler {kind!r}, which diffusers does not have")
    steps = config.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or not 1 <= steps <= MAX_TIMESTEPS:
        raise OSError(f"{where} says num_train_timesteps={steps!r}, expected 1..{MAX_TIMESTEPS}")
    try:
        scheduler = getattr(diffusers, kind).from_config(dict(config))
    except Exception as error:
        raise OSError(
            f"{where} does not describe a {kind} that diffusers {diffusers.__version__} can build "
            f"({type(error).__name__}: {error}); take the scheduler_config.json of this model"
        ) from error
    levels = getattr(scheduler, "alphas_cumprod", None)
    if levels is not None and levels.ndim != 1:
        raise OSError(
            f"{where} gives noise levels of shape {tuple(levels.shape)}, expected (N,): its "
            "trained_betas must be one list of numbers"
        )
    check_scheduler(scheduler, where)
    return scheduler


# ------------------------------------------------------------------------------------- details


def _checked_config(path: Path) -> dict[str, Any]:
    config = read_json(path, LAYOUT)
    kind = config.get("_class_name", "UNet2DModel" if "down_block_types" in config else None)
    if kind != "UNet2DModel":
        about = f"it says {', '.join([*config][:4])}" if config else "it is an empty mapping"
        what = f"a {kind}" if kind else f"no diffusers network ({about})"
        raise ValueError(
            f"{path} describes {what}, and only unconditional UNet2DModel networks can be split; "
            "for others use record_h and edit_h inside their own pipeline"
        )
    return {key: value for key, value in config.items() if key not in AVERAGING}


def _without_weights(config: dict[str, Any], path: Path, tensors: int) -> UNet2DModel:
    """The network of a config, of whatever size, before any memory is taken for it."""
    blocks, layers = config.get("down_block_types"), config.get("layers_per_block")
    n = (len(blocks) if isinstance(blocks, list) else 1) * (layers if type(layers) is int else 1)
    if n > tensors:  # building takes time even without memory
        raise OSError(
            f"{path} describes {n} layers or more, and the weights beside it are {tensors} "
            "tensors, so the two are of different models"
        )
    try:
        with torch.device("meta"):
            unet = UNet2DModel.from_config(config)
    except Exception as error:
        raise OSError(
            f"{path} does not describe a UNet2DModel that diffusers {diffusers.__version__} can "
            f"build ({type(error).__name__}: {error}); take the config.json of this model"
        ) from error
    try:
        refuse_unsupported(unet)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return unet


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name; the header is checked by the library, and the format can hold no code."""
    try:
        return read_tensors(path)[0]
    except (SafetensorError, OSError, ValueError) as error:
        raise OSError(
            f"{path} is damaged, cut short, or no safetensors file ({error}); compare its size "
            "with the original, and download it again if it differs"
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.bin`; torch's restricted unpickler makes tensors and no more."""
    try:
        # Read rather than mapped, as for `read_tensors`.
        state = torch.load(BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise OSError(
            f"{path} is a pickle that holds more than tensors"
            f"{f': it asks for {asked[1]}' if asked else ', or is damaged'}. It was refused, and "
            "nothing in it was run; ask its author for safetensors"
        ) from None  # torch's own text advises to switch the protection off
    except Exception as error:  # RuntimeError for cut archives, EOFError, KeyError, ...
        raise OSError(
            f"{path} is damaged, cut short, or no file of torch.save ({type(error).__name__}); "
            "compare its size with the original, and download it again if it differs"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    ):
        inside = (
            f"a mapping of {', '.join(map(str, [*state][:4]))}, ..."
            if isinstance(state, dict)
            else f"a {type(state).__name__}"
        )
        raise OSError(
            f"{path} holds {inside}, not weights by name: a checkpoint of other software? Save the "
            "network with save_pretrained, and give that folder"
        )
    for name, x in state.items():
        if x.layout != torch.strided or x.is_nested or x.is_meta:
            kind = "nested" if x.is_nested else "without numbers" if x.is_meta else x.layout
            raise OSError(
                f"{path} holds {name!r} as a tensor that is {kind}, expected plain (strided) ones; "
                "save the network with save_pretrained, and give that folder"
            )
    return state
