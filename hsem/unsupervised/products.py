"""Products of a Jacobian J = df/dh with vectors, without forming J. Needs torch only.

J v is the derivative of f(h + a v) in a at a = 0 (eq. 8); Jᵀ u is the derivative of <f(h), u> in h
with u held constant (eq. 7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointError

from ..blocks import Shared
from ..network.memory import Pieces

Function = Callable[[Tensor], Tensor]

_plain_attention = Shared(lambda: sdpa_kernel(SDPBackend.MATH))  # a setting of the whole process


class JacobianProducts:
    """J v and Jᵀ u of `f` at `h`, for stacks of vectors.

    Parameters
    ----------
    f : torch function of a tensor with the shape of `h`
    h : the point
    chunk : columns in one pass, which bounds the memory. None takes 1 on a CPU, where more were
        measured to gain nothing, and all at once elsewhere. Halved, with a warning, where the
        memory of a CUDA device runs out.

    Attributes
    ----------
    y : f(h)
    pushed, pulled : columns multiplied by J and by Jᵀ so far

    Raises
    ------
    ValueError
        If f(h) is not finite or does not depend on h, or f uses gradient checkpointing.

    Notes
    -----
    Jᵀ u is linear in u and J is its transpose, so reverse mode applied twice gives J v, from one
    graph that is kept. On the decoder of a 64x64 U-Net and one CPU core a J v took 49 ms that way,
    163 ms in forward mode (67 each for eight at once), where f takes 43 ms. Fused attention has no
    second derivative, so f runs with plain attention in here.

    Examples
    --------
    >>> op = JacobianProducts(lambda h: h[:2] * h[2], torch.tensor([3.0, 4.0, 10.0]))
    >>> op.push(torch.tensor([[0.0, 0.0, 1.0]]))  # the column df/dh[2]
    tensor([[3., 4.]])
    >>> op.pull(torch.tensor([[1.0, 0.0]]))  # the row df[0]/dh
    tensor([[10.,  0.,  3.]])
    """

    def __init__(self, f: Function, h: Tensor, *, chunk: int | None = None) -> None:
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 column, got {chunk}")
        self._pieces = Pieces(chunk or (1 if h.device.type == "cpu" else h.numel()), "chunk")
        self.pushed = self.pulled = 0
        # Contiguous: under vmap, convolutions fail on the layout that attention leaves behind.
        self.h = h.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        with torch.enable_grad(), _plain_attention(), FrozenConvolutions():
            self.y = f(self.h)
            if not self.y.requires_grad:
                raise ValueError("f(h) does not depend on h (or f runs under no_grad)")
            if not bool(torch.isfinite(self.y).all()):
                raise ValueError("f(h) holds values that are NaN or infinite")
            self.u = torch.zeros_like(self.y, requires_grad=True)
            with _explained():
                (self.jtu,) = torch.autograd.grad(self.y, self.h, self.u, create_graph=True)

    def push(self, v: Tensor) -> Tensor:
        """J v, from (b, *h.shape), on any device, to (b, *y.shape) where f(h) is."""
        self.pushed += len(v)
        return self._transposed(self.jtu, self.u, v.to(self.h))

    def pull(self, u: Tensor) -> Tensor:
        """Jᵀ u, from (b, *y.shape), on any device, to (b, *h.shape) where h is."""
        self.pulled += len(u)
        return self._transposed(self.y, self.h, u.to(self.y))

    def _transposed(self, output: Tensor, source: Tensor, stack: Tensor) -> Tensor:
        """(d output / d source)ᵀ times each tensor of the stack."""

        def multiplied(which: slice) -> Tensor:
            part = stack[which]
            many = len(part) > 1
            with _explained():
                (result,) = torch.autograd.grad(
                    output, source, part if many else part[0],
                    retain_graph=True, is_grads_batched=many,
                )  # fmt: skip
            return result if many else result[None]

        return torch.cat(self._pieces.run(len(stack), multiplied))


@contextmanager
def _explained() -> Iterator[None]:
    """One clear error for a graph that throws away what it needs again."""
    try:
        yield
    except (CheckpointError, RuntimeError) as error:
        if not isinstance(error, CheckpointError) and "torch.utils.checkpoint" not in str(error):
            raise
        raise ValueError(
            "f runs with gradient checkpointing, which computes parts of f again outside of the "
            "settings it needs here; switch it off, for example with "
            "model.unet.disable_gradient_checkpointing()"
        ) from error


class FrozenConvolutions(TorchFunctionMode):
    """Context in which convolutions know that their weights are constant: halves the cost of J v.

    torch's derivative of the derivative of a convolution always computes the part that belongs to
    the weights. It costs as much as all the rest, and nobody wants it here. A convolution with
    constant weights is linear, so its derivative is itself, or its transpose.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and not args[1].requires_grad:
            x, weight, bias, *given = (*args, None) if len(args) == 2 else args
            settings = (*given, *(1, 0, 1, 1)[len(given) :])  # stride, padding, dilation, groups
            if x.ndim == 4 and not isinstance(settings[1], str):
                return _Convolution.apply(x, weight, bias, settings)
        return func(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, settings: Any) -> Tensor:
        return torch.conv2d(x, weight, bias, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, weight, _, ctx.settings = inputs
        ctx.shape = x.shape
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return _Transpose.apply(u, weight, ctx.shape, ctx.settings), None, None, None


class _Transpose(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, weight: Tensor, shape: Any, settings: Any) -> Tensor:
        return conv2d_input(shape, weight, u, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, weight, _, ctx.settings = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return _Convolution.apply(v, weight, None, ctx.settings), None, None, None
