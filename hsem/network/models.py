"""How to load a model: the one that comes with the package, or others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel

from .folders import DATA, KNOWN, find_folder
from .unet import HSpaceUNet, refuse_unsupported
from .weights import read_scheduler, read_unet, scheduler_from, warn_of_latents

__all__ = ["DATA", "KNOWN", "default_device", "fast_dtype", "load", "tiny_unet"]


def load(
    source: str | Path | UNet2DModel = "portraits-64",
    *,
    scheduler: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    copy: bool = False,
) -> HSpaceUNet:
    """Load a denoiser and open it at its bottleneck.

    Parameters
    ----------
    source : one of
        * a name in `hsem.KNOWN`; one without a slash comes with the package and always means
          that model, whatever lies in the current folder ("./portraits-64" is a folder),
        * a folder holding a `UNet2DModel`: a pipeline folder (`unet/`, `scheduler/`), a flat one
          (`config.json`, `diffusion_pytorch_model.safetensors`, `scheduler_config.json`), or a
          checkpoint of diffusers' training script (`run/checkpoint-500`, or `unet_ema` or `unet`
          in it; the averaged weights if both are there, and the scheduler of `run`); a pipeline
          that calls its network otherwise says how in its `model_index.json`,
        * `"owner/name"` of such a model on the hub; a folder of that name in the current one
          comes first, as everywhere in diffusers,
        * a `UNet2DModel`.
    scheduler : a diffusers scheduler, or its config as a mapping
        By default the one found beside the weights.
    device : where to compute; None takes `default_device()`, or the one where a `UNet2DModel` is
    dtype : in which the network computes, whatever that of the file; None takes float32, or that
        of a given `UNet2DModel`. In bfloat16 (see `fast_dtype`) only the network does: x, h and
        the sampler stay in float32. Jacobians and inversions need float32.
    copy : leave a given `UNet2DModel` as it is, and use a copy. By default it is used itself, so
        that a pipeline that holds it can be watched; it is then put into evaluation mode, its
        weights are frozen (requires_grad), and it moves if `device` or `dtype` are given.

    Raises
    ------
    ValueError
        If the name is unknown, the network is of a kind that cannot be split, or scheduler, device
        or dtype are none.
    OSError
        If files are missing, damaged, do not fit each other, hold NaN, or cannot be downloaded.

    Notes
    -----
    *Downloads.* Only for a source "owner/name" that is neither a folder here nor complete in the
    hub's cache: then the list of its files, the network's config.json, its weights in one format,
    model_index.json and scheduler_config.json are asked for. Nothing else ever touches the network.

    *Files.* As `UNet2DModel.from_pretrained` does: safetensors before `.bin`, plain names before
    variants such as fp16, in one file or in shards with an index. A `.bin` is a pickle; it is read
    by torch's restricted loader (`weights_only=True`), which makes tensors and runs no code, and is
    refused if it holds anything else.

    Examples
    --------
    >>> model = load(device="cpu")
    >>> model.h_shape
    (192, 8, 8)
    """
    _check_place(device, dtype)
    folder, name = None, type(source).__name__
    if isinstance(source, (str, Path)):
        folder, name = find_folder(source), str(source)
        unet = read_unet(folder)
        warn_of_latents(folder, name)
        device, dtype = device or default_device(), dtype or torch.float32
    else:
        _refuse_other_things(source)
        unet = deepcopy(source) if copy else source
    refuse_unsupported(unet)
    if scheduler is None:
        scheduler = read_scheduler(folder, name)
    elif isinstance(scheduler, Mapping):
        scheduler = scheduler_from(scheduler, where="the given mapping")
    if isinstance(scheduler, (str, Path, type)):
        raise ValueError(
            f"scheduler={scheduler!r} is {'a class' if isinstance(scheduler, type) else 'a name'}; "
            "give the object, for example DDPMScheduler.from_pretrained('path/to/scheduler'), or a "
            "mapping with its settings"
        )
    model = HSpaceUNet(unet, scheduler, name)  # takes the fingerprint before any conversion
    untouched = unet is source and device is None and dtype is None
    return model if untouched else model.to(device, dtype)


def _refuse_other_things(source: Any) -> None:
    """Raise ValueError for what is no network, or holds one inside, with the way to it."""
    if isinstance(source, HSpaceUNet):
        raise ValueError(f"source is {source!r}, which is loaded already; use it as it is")
    for inside in ("unet", "_orig_mod", "module"):
        if isinstance(getattr(source, inside, None), torch.nn.Module):
            refuse_unsupported(getattr(source, inside))
            more = ", scheduler=x.scheduler" if hasattr(source, "scheduler") else ""
            raise ValueError(
                f"source is a {type(source).__name__} x that holds a network; load that, "
                f"hsem.load(x.{inside}{more})"
            )
    if not isinstance(source, torch.nn.Module):
        raise ValueError(
            "source must be a name, a folder, or a UNet2DModel, got "
            f"{type(source).__name__} {source!r:.60}"
        )
    refuse_unsupported(source)
    if any(p.is_meta for p in source.parameters()):
        raise ValueError(
            "source is a network without weights (its tensors are on the device 'meta'); load "
            "weights into it first"
        )


def _check_place(device: Any, dtype: Any) -> None:
    """Raise ValueError for a device or dtype that torch does not know or a network cannot have."""
    try:
        torch.device(device or "cpu")
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device of torch; give 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from error
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(
            f"dtype={dtype!r} is no floating-point type of torch; give torch.float32 or, for "
            "example, hsem.fast_dtype()"
        )


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
        able: Any = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
        fast = device.type == "cpu" and bool(able.get("avx512_bf16"))
    return torch.bfloat16 if fast else torch.float32


def tiny_unet(seed: int = 0, prediction_type: str = "epsilon") -> HSpaceUNet:
    """A network with random weights for tests: images 3x16x16, h 16x4x4, 30 thousand weights.

    It has every kind of block the real ones have (plain and with attention, down and up), and
    means nothing: its pictures are noise.
    """
    with drawn_from(seed):
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


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """New layers of the block are drawn from this seed, in float32 on the CPU; no other moves."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # layers can be told no other way
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_default_dtype(before)
