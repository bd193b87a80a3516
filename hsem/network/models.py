"""Names of models, and how to load them.

`load()` needs no network: it reads the model that comes with the package. Other sources are a
folder in a diffusers layout, a `UNet2DModel`, or the name of a model on the Hugging Face hub,
which is the only case in which anything is ever downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import warn

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

from .unet import HSpaceUNet, refuse_unsupported

DATA = Path(__file__).parents[1] / "data"

KNOWN: dict[str, str] = {
    "portraits-64": "rendered portraits with known factors, 64x64, comes with the package",
    "portraits-64-obeys": "its twin, trained to obey h (exchanged skips), comes with the package",
    "google/ddpm-ema-celebahq-256": "CelebA-HQ faces, 256x256, the model of the paper",
    "google/ddpm-ema-church-256": "LSUN churches, 256x256 (SM H)",
    "google/ddpm-ema-bedroom-256": "LSUN bedrooms, 256x256 (SM H)",
}


def load(
    source: str | Path | UNet2DModel = "portraits-64",
    *,
    scheduler: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> HSpaceUNet:
    """Load a denoiser and open it at its bottleneck.

    Parameters
    ----------
    source : one of
        * a name in `hsem.KNOWN`,
        * a folder holding a `UNet2DModel`: a pipeline folder (`unet/`, `scheduler/`) or a flat
          one (`config.json`, `diffusion_pytorch_model.safetensors`, `scheduler_config.json`),
        * `"owner/name"` of such a model on the hub (downloaded unless it is in the cache),
        * a `UNet2DModel`, used without a copy.
    scheduler : a diffusers scheduler, or its config as a mapping
        By default the one found beside the weights.
    device : where to compute; None takes `default_device()`
    dtype : in which the network computes, whatever the weights are stored in. In bfloat16 (see
        `fast_dtype`) only the network does: x, h and the sampler stay in float32. Jacobians and
        inversions need float32.

    Raises
    ------
    ValueError
        If the name is unknown, or the network is of a kind that cannot be split.
    OSError
        If files are missing, damaged, or cannot be downloaded.

    Examples
    --------
    >>> model = load(device="cpu")
    >>> model.h_shape
    (192, 8, 8)
    """
    folder, name = None, type(source).__name__
    if isinstance(source, (str, Path)):
        folder, name = find_folder(source), str(source)
    unet = source if folder is None else read_unet(folder)
    refuse_unsupported(unet)
    if scheduler is None:
        scheduler = read_scheduler(folder, name)
    elif isinstance(scheduler, Mapping):
        scheduler = scheduler_from(scheduler, where="the given mapping")
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ValueError(
            f"scheduler {type(scheduler).__name__} has no alphas_cumprod, so equation 1 does not "
            "describe its noise; give a DDPMScheduler or DDIMScheduler"
        )
    model = HSpaceUNet(unet, scheduler, name)  # takes the fingerprint before any conversion
    return model.to(device or default_device(), dtype)


def default_device() -> torch.device:
    """CUDA if there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def fast_dtype(device: str | torch.device | None = None) -> torch.dtype:
    """bfloat16 where the hardware calculates with it, else float32.

    For crowds of samples: three times the speed on a processor with AMX. The picture of a seed
    stays that of the same person and differs by the rounding of the network's answers. Hardware
    without bfloat16 imitates it at a tenth of the speed of float32.
    """
    device = torch.device(device or default_device())
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and bool(_capabilities().get("avx512_bf16"))
    return torch.bfloat16 if fast else torch.float32


def _capabilities() -> Mapping[str, Any]:
    """What the processor can do; older versions of torch do not tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def tiny_unet(seed: int = 0, prediction_type: str = "epsilon") -> HSpaceUNet:
    """A network with random weights for tests: images 3x16x16, h 16x4x4, 30 thousand weights.

    It has every kind of block the real ones have (plain and with attention, down and up), and
    means nothing: its pictures are noise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=16,
            layers_per_block=1,
            block_out_channels=(8, 8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=None,
        )
    scheduler = DDPMScheduler(prediction_type=prediction_type, clip_sample=False)
    return HSpaceUNet(unet, scheduler, f"tiny-{seed}")


# ------------------------------------------------------------------------------ finding the files


def find_folder(source: str | Path) -> Path:
    """The folder that holds the model called `source`; downloads only names from the hub."""
    if isinstance(source, Path) or Path(source).is_dir():
        if not Path(source).is_dir():
            raise FileNotFoundError(f"source={str(source)!r} is not a folder")
        return Path(source)
    if (DATA / source / "model_index.json").is_file():
        return DATA / source
    if source.count("/") != 1 or source.startswith(("/", ".", "~")):
        raise ValueError(
            f"source={source!r} is no folder and no known model; known are "
            f"{', '.join(KNOWN)}, or give 'owner/name' of a model on the hub"
        )
    return fetch(source)


def fetch(repository: str) -> Path:
    """Local copy of a hub model: from the cache if it is there, else downloaded."""
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors"]  # never pickled weights
    try:
        try:
            folder = Path(
                snapshot_download(repository, allow_patterns=wanted, local_files_only=True)
            )
            if any(folder.rglob("*.safetensors")):  # a cache may hold the configs alone
                return folder
        except OSError:
            pass  # not in the cache
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except Exception as error:  # the hub client raises a dozen kinds: offline, refused, missing
        raise OSError(
            f"could not fetch {repository!r} from the Hugging Face hub "
            f"({type(error).__name__}): where there is network, run `hf download {repository} "
            f"--local-dir {repository.split('/')[1]}`, bring that folder here, and call "
            f"hsem.load('path/to/{repository.split('/')[1]}')."
        ) from error


def read_unet(folder: Path) -> UNet2DModel:
    """The network in `folder` or in its sub-folder `unet/`, in float32, on the CPU."""
    place = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    kind = _read_json(place / "config.json").get("_class_name")
    if kind != "UNet2DModel":
        raise ValueError(
            f"{place / 'config.json'} describes a {kind}, and only unconditional UNet2DModel "
            "networks can be split; for others use record_h and edit_h inside their own pipeline"
        )
    try:
        return UNet2DModel.from_pretrained(
            place,
            torch_dtype=torch.float32,
            use_safetensors=True,  # never unpickle what somebody else wrote
            low_cpu_mem_usage=False,
            local_files_only=True,
        )
    except Exception as error:  # OSError, SafetensorError, RuntimeError for wrong shapes, ...
        raise OSError(
            f"cannot read the weights in {place}: diffusion_pytorch_model.safetensors is missing, "
            f"damaged, or does not fit config.json; fetch it again ({error})"
        ) from error


def read_scheduler(folder: Path | None, name: str) -> Any:
    """The scheduler stored beside a network; without one, that of Ho et al., with a warning."""
    if folder is not None:
        for place in (folder / "scheduler", folder):
            if (place / "scheduler_config.json").is_file():
                path = place / "scheduler_config.json"
                return scheduler_from(_read_json(path), where=str(path))
    warn(
        f"no scheduler found for {name!r}: assuming 1000 linear betas from 1e-4 to 0.02 and a "
        "network that predicts epsilon; say otherwise with load(..., scheduler=...)",
        stacklevel=3,
    )
    return DDPMScheduler()


def scheduler_from(config: Mapping[str, Any], where: str) -> Any:
    """Build the diffusers scheduler that a config describes (DDIM if it does not say)."""
    kind = config.get("_class_name", "DDIMScheduler")
    cls = getattr(diffusers, kind, None)
    if cls is None:
        raise ValueError(f"{where} names the scheduler {kind!r}, which diffusers does not have")
    return cls.from_config(dict(config)) if config else DDIMScheduler()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a model folder holds config.json and "
            "diffusion_pytorch_model.safetensors, at its root or under unet/"
        )
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content
