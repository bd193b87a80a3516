"""An unmodified diffusers U-Net, cut open at its middle block.

This is the only file that knows how diffusers' `UNet2DModel` works inside. `encode` and `decode`
together perform the same operations in the same order as its `forward`, so on a CPU their output
is equal to the last bit; `tests/parity` holds that equality for three networks.

    x, t ──► encoder ──► middle block ──► h ──► decoder ──► eps
                │                                  ▲
                └──────── skips, time embedding ───┘      (SM A, fig. 10)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DModel
from torch import Tensor

from ..callers import tell
from ..diffusion.schedule import SPACINGS, Schedule, predict_x0

PREDICTION_TYPES = ("epsilon", "v_prediction")
NOISE_OF_EQ_5 = (None, "fixed_small", "fixed_small_log")
LEFT_OUT = (  # settings of schedulers
    "thresholding", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
    "use_lu_lambdas", "use_flow_sigmas",
)  # fmt: skip
HALF = (torch.bfloat16, torch.float16)


class Context(NamedTuple):
    """What the decoder needs beside h: it depends on x and t, not on h.

    skips : the encoder's feature maps, finest first
    t_emb : time embedding, (b, channels)
    x, t : the noisy image (b, 3, H, W) and its training timestep
    """

    skips: tuple[Tensor, ...]
    t_emb: Tensor
    x: Tensor
    t: int


class Prediction(NamedTuple):
    """Predicted noise eps and predicted clean image x0 (P_t, eq. 3), both (b, 3, H, W)."""

    eps: Tensor
    x0: Tensor


class HSpaceUNet:
    """A denoiser whose bottleneck h can be read and replaced.

    Parameters
    ----------
    unet : diffusers.UNet2DModel
        Used as it is, in evaluation mode and with frozen weights (gradients with respect to h
        and x still flow).
    scheduler : any diffusers scheduler with `alphas_cumprod`
        Tells the noise levels, what the network predicts, and how timesteps are spaced. Its
        `clip_sample` is passed over: nothing is ever clipped here, see `sample_steps`.
    name : how to call the model in messages and in the provenance of directions

    Attributes
    ----------
    image_shape, h_shape : (3, H, W) and (C, h, w), without the batch axis
    alpha_bar : Tensor (N,), float64
    prediction_type : "epsilon" or "v_prediction"
    fingerprint : short hash of the weights; the same in float16 and float32, on any device
    """

    def __init__(self, unet: UNet2DModel, scheduler: Any, name: str = "UNet2DModel") -> None:
        refuse_unsupported(unet)
        self.unet = unet.eval().requires_grad_(False)
        self.name = name
        side = unet.config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        self.image_shape: tuple[int, int, int] = (unet.config.in_channels, height, width)
        self.fingerprint = fingerprint(unet)
        check_scheduler(scheduler, f"the scheduler of {name!r}")
        self.alpha_bar = scheduler.alphas_cumprod.detach().to("cpu", torch.float64)
        config = scheduler.config
        self.prediction_type: str = config.get("prediction_type", "epsilon")
        self.timestep_spacing: str = config.get("timestep_spacing", "leading")
        self.steps_offset: int = config.get("steps_offset", 0)
        _warn_of_what_differs(config, f"the scheduler of {name!r}")
        self.h_shape = self._trace_h_shape()

    def __repr__(self) -> str:
        return (
            f"HSpaceUNet({self.name!r}, image {self.image_shape}, h {self.h_shape}, "
            f"{self.prediction_type}, {self.device}, {self.dtype})"
        )

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """In which the network computes."""
        return self.unet.dtype

    @property
    def outer_dtype(self) -> torch.dtype:
        """Of x, h and eps: float32 around a network in half precision, else the network's own.

        The sampler adds up small steps; in bfloat16 their sum would lose them.
        """
        return torch.float32 if self.dtype in HALF else self.dtype

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> HSpaceUNet:
        """Move the network in place, as `nn.Module.to` does, and return self.

        In half precision the weights are laid out with channels last: 1.5 times the speed on a
        processor with AMX, and no other values.
        """
        # nn.Module's own `to`: that of diffusers warns about float32 modules even if there are none
        torch.nn.Module.to(self.unet, device=device or self.device, dtype=dtype or self.dtype)
        # Not in float32: little is gained, and forward-mode derivatives of group_norm fail there.
        layout = torch.channels_last if self.dtype in HALF else torch.contiguous_format
        torch.nn.Module.to(self.unet, memory_format=layout)  # type: ignore[call-overload]
        return self

    def schedule(self, steps: int, spacing: str | None = None) -> Schedule:
        """The T noise levels to visit; spaced as the model's scheduler says unless told."""
        spacing = spacing or self.timestep_spacing
        offset = self.steps_offset if spacing == "leading" else 0
        return Schedule.spaced(self.alpha_bar, steps, spacing, offset)

    # ------------------------------------------------------------------------- the two halves

    def encode(self, x: Tensor, t: int) -> tuple[Tensor, Context]:
        """Run the encoder and the middle block.

        Parameters
        ----------
        x : noisy images, (b, 3, H, W), in the model's `outer_dtype`, on any device
        t : training timestep, one for the whole batch

        Returns
        -------
        h of shape (b, C, h, w), the output of the middle block, and the `Context` for `decode`,
        both on the model's device.
        """
        self._check_x(x)
        x = x.to(self.device)
        unet = self.unet
        timesteps = torch.as_tensor(t, device=x.device).expand(len(x))
        # The sinusoids are always float32; the layers after them have the network's dtype.
        t_emb = unet.time_embedding(unet.time_proj(timesteps).to(self.dtype))
        sample = unet.conv_in(x.to(self.dtype))
        skips: tuple[Tensor, ...] = (sample,)
        for block in unet.down_blocks:
            sample, new_skips = block(hidden_states=sample, temb=t_emb)
            skips += new_skips
        h = unet.mid_block(sample, t_emb)
        return h.to(self.outer_dtype), Context(skips, t_emb, x, t)

    def output(self, h: Tensor, context: Context) -> Tensor:
        """Run the decoder: what the network itself returns, eps or v, (b, 3, H, W).

        h may be on any device; the answer, here and in what follows, is on the model's.
        """
        if tuple(h.shape) != (len(context.x), *self.h_shape):
            raise ValueError(
                f"h must have shape {(len(context.x), *self.h_shape)} = (b, C, h, w), "
                f"got {tuple(h.shape)}"
            )
        unet, sample, skips = self.unet, h.to(context.x.device, self.dtype), context.skips
        for block in unet.up_blocks:
            n = len(block.resnets)
            sample = block(sample, skips[-n:], context.t_emb)
            skips = skips[:-n]
        sample = unet.conv_act(unet.conv_norm_out(sample))
        return unet.conv_out(sample).to(context.x.dtype)

    def decode(self, h: Tensor, context: Context) -> Tensor:
        """Predicted noise eps of shape (b, 3, H, W) for bottleneck `h` (b, C, h, w)."""
        return self._eps(self.output(h, context), context)

    def predict(self, h: Tensor, context: Context) -> Prediction:
        """Predicted noise and predicted clean image (eq. 3) from one run of the decoder.

        Notes
        -----
        For v = sqrt(a) eps - sqrt(1 - a) x0 (Salimans and Ho, 2022) both are rotations of
        (x, v). Eq. 3 would first build eps and then divide its rounding error by sqrt(a), which
        is 5e-5 at the start of a cosine schedule, so x0 is taken from v directly.
        """
        output = self.output(h, context)
        eps = self._eps(output, context)
        a = float(self.alpha_bar[context.t])
        if self.prediction_type == "v_prediction":
            return Prediction(eps, sqrt(a) * context.x - sqrt(1 - a) * output)
        return Prediction(eps, predict_x0(context.x, eps, a))

    def eps(self, x: Tensor, t: int) -> Tensor:
        """Predicted noise of shape (b, 3, H, W), in one go."""
        return self.decode(*self.encode(x, t))

    # -------------------------------------------------------------------------------- details

    def _eps(self, output: Tensor, context: Context) -> Tensor:
        if self.prediction_type == "epsilon":
            return output
        a = float(self.alpha_bar[context.t])
        return sqrt(a) * output + sqrt(1 - a) * context.x

    def _check_x(self, x: Tensor) -> None:
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise ValueError(
                f"x must have shape (b, {', '.join(map(str, self.image_shape))}) for model "
                f"{self.name!r}, got {tuple(x.shape)}"
            )
        if x.dtype != self.outer_dtype:
            raise TypeError(
                f"x is {x.dtype} but model {self.name!r}, which computes in {self.dtype}, takes "
                f"{self.outer_dtype}; convert one of them, for example x.to(model.outer_dtype)"
            )

    def _trace_h_shape(self) -> tuple[int, int, int]:
        """Follow shapes through a copy of the network without weights: exact, and free."""
        levels, shapes = len(self.unet.down_blocks), []
        try:
            with torch.device("meta"):
                twin = UNet2DModel.from_config(self.unet.config).eval()
                twin.mid_block.register_forward_hook(lambda _, __, out: shapes.append(out.shape))
                twin(torch.empty(1, *self.image_shape, device="meta", dtype=twin.dtype), 0)
        except Exception as error:  # of torch, or of Python where a text stands for a number
            raise ValueError(
                f"{self.name!r} cannot run on pictures of its sample_size={self.image_shape[1:]}: "
                f"its {levels} levels halve each side, so both should be multiples of "
                f"{2 ** (levels - 1)}, or its config is wrong ({type(error).__name__}: {error})"
            ) from error
        _, c, h, w = shapes[0]
        return c, h, w


def check_scheduler(scheduler: Any, whose: str) -> None:
    """Raise ValueError unless equations 1 to 5 describe the noise of a diffusers scheduler."""
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ValueError(
            f"{whose}, a {type(scheduler).__name__}, has no alphas_cumprod, so equation 1 does not "
            "describe its noise; give a DDPMScheduler or DDIMScheduler"
        )
    config, alpha_bar = scheduler.config, scheduler.alphas_cumprod.detach().double().cpu()
    predicted = config.get("prediction_type", "epsilon")
    if predicted not in PREDICTION_TYPES:
        raise ValueError(
            f"{whose} says prediction_type={predicted!r}, which is not supported; hsem reads "
            f"networks that predict one of {PREDICTION_TYPES}"
        )
    spacing, offset = config.get("timestep_spacing", "leading"), config.get("steps_offset", 0)
    if spacing not in SPACINGS or type(offset) is not int or not 0 <= offset < len(alpha_bar):
        raise ValueError(
            f"{whose} says timestep_spacing={spacing!r} and steps_offset={offset!r}; expected one "
            f"of {SPACINGS} and a whole number from 0 to {len(alpha_bar) - 1}"
        )
    noisy = alpha_bar if predicted == "epsilon" else alpha_bar[:-1]
    if not bool((alpha_bar >= 0).all() & (alpha_bar <= 1).all() & (noisy > 0).all()):
        raise ValueError(
            f"{whose} has alpha_bar from {float(alpha_bar.min()):g} to {float(alpha_bar.max()):g}; "
            "equation 3 divides by it, so it must be above 0 and at most 1. At the end it may be "
            "0 if the network is one of v_prediction"
        )


def _warn_of_what_differs(config: Mapping[str, Any], whose: str) -> None:
    """Say which settings of a scheduler make another sampler of it than equations 2 to 5."""
    ends = {"set_alpha_to_one": False, "final_sigmas_type": "sigma_min"}
    short = [f"{key}={value!r}" for key, value in ends.items() if config.get(key) == value]
    if short:
        tell(
            f"{whose} says {' and '.join(short)}, so in diffusers its last step ends short of "
            "alpha_bar = 1; hsem always ends at 1, as equation 2 does",
        )
    left_out = [f"{key}={config[key]!r}" for key in LEFT_OUT if config.get(key)]
    if config.get("variance_type") not in NOISE_OF_EQ_5:
        left_out.append(f"variance_type={config['variance_type']!r}")
    if left_out:
        tell(
            f"{whose} says {' and '.join(left_out)}, which hsem leaves out: it draws by equations "
            "2 to 5 as they stand, with no threshold, at the timesteps of timestep_spacing, and "
            'with the noise of eq. 5 ("fixed_small")',
        )


def refuse_unsupported(unet: Any) -> None:
    """Raise ValueError, with the reason, for networks that the split does not cover."""
    kind = type(unet).__name__
    reason = None
    if not isinstance(unet, UNet2DModel):
        reason = "only unconditional UNet2DModel networks can be split"
        if kind == "UNet2DConditionModel":
            reason += "; record_h and edit_h do work on it, inside its own pipeline"
    elif unet.class_embedding is not None:
        reason = "it is class-conditioned (class_embed_type or num_class_embeds is set)"
    elif any(hasattr(block, "skip_conv") for block in [*unet.down_blocks, *unet.up_blocks]):
        reason = "its Skip blocks (skip_conv) carry a second image path around h"
    elif unet.config.time_embedding_type == "fourier":
        reason = "time_embedding_type='fourier' belongs to score networks, whose output is no eps"
    elif unet.config.center_input_sample:
        reason = "center_input_sample=True shifts the input, so x would not be the x of eq. 1"
    elif unet.mid_block is None:
        reason = "it has no middle block, hence no h"
    elif unet.config.sample_size is None:
        reason = "its config has no sample_size, so the image shape is unknown"
    elif not _is_a_size(unet.config.sample_size):
        reason = f"its sample_size={unet.config.sample_size!r} is not one or two whole numbers"
    elif unet.config.in_channels != unet.config.out_channels:
        reason = (
            f"it returns {unet.config.out_channels} channels for {unet.config.in_channels} "
            "(learned variance?), but eps must look like x"
        )
    if reason:
        raise ValueError(f"hsem cannot read this {kind}: {reason}")


def _is_a_size(value: Any) -> bool:
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    return len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)


def fingerprint(unet: torch.nn.Module) -> str:
    """16 hexadecimal digits that tell two sets of weights apart.

    Notes
    -----
    Hashes the name, the shape and the first 1024 values of each parameter, rounded to float16:
    the answer stays the same when float16 weights are loaded as float32, when a float32 model is
    moved to float16, and on any device, while any training changes it. (bfloat16 keeps fewer
    digits; `load` therefore takes the fingerprint before it converts.)
    """
    digest = hashlib.sha256()
    # without what `torch.compile` puts into the names of a block that it wraps
    named = ((name.replace("_orig_mod.", ""), p) for name, p in unet.named_parameters())
    for name, p in sorted(named):
        digest.update(f"{name} {tuple(p.shape)}".encode())
        digest.update(p.detach().flatten()[:1024].to("cpu", torch.float16).numpy().tobytes())
    return digest.hexdigest()[:16]
