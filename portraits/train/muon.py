"""The optimisers: Muon for the inner weights, AdamW for the rest.

Both leave weights and momentum as they are if `found_inf`, a number on the device, is not zero
(the protocol of torch's own fused optimisers): a step is skipped, and nobody waits to learn it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .levels import Inner


def orthogonalise(m: Tensor, rounds: int = 5) -> Tensor:
    """Nearest (semi-)orthogonal matrices to m (k, rows, columns), roughly, all at once.

    Jordan's quintic Newton-Schulz iteration. It multiplies from one side by polynomials in X Xᵀ,
    so it runs on that small square matrix, and X is touched twice instead of ten times: a third of
    the time for our kernels. That squares the condition: float32 is needed, and not less.
    """
    x = m.float()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, eye = x @ x.mT, torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
    q = eye
    for _ in range(rounds):
        p = 3.4445 * eye - 4.7750 * a + 2.0315 * (a @ a)
        q = p @ q
        a = p @ a @ p
    x = q @ x
    return (x.mT if tall else x).to(m.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, for matrices and convolution kernels.

    Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon). Kernels (out, in, kh, kw) are
    read as (out, in*kh*kw). Those of one shape are a batch, and their momentum is one tensor, the
    state of the first of them: some twenty small calculations instead of a hundred.
    """

    found_inf: Tensor | None = None

    def __init__(self, params: Any, lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for (rows, columns), params in by_shape(group["params"]).items():
                gradient = torch.stack([_matrix(p) for p in params])
                state = self.state[params[0]]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradient)
                momentum = state["momentum"]
                scale: Tensor | float = max(1, rows / columns) ** 0.5
                if self.found_inf is not None:
                    bad = self.found_inf > 0
                    gradient = torch.where(bad, momentum, gradient)  # which leaves momentum alone
                    scale = torch.where(bad, 0.0, scale)
                momentum.lerp_(gradient, 1 - group["momentum"])
                update = orthogonalise(gradient.lerp_(momentum, group["momentum"])).mul_(scale)
                for p, u in zip(params, update, strict=True):
                    p.add_(u.view(p.shape), alpha=-group["lr"])


def by_shape(params: Iterable[nn.Parameter]) -> dict[tuple[int, int], list[nn.Parameter]]:
    """Weights by their shape as matrices."""
    found: dict[tuple[int, int], list[nn.Parameter]] = {}
    for p in params:
        found.setdefault((len(p), p[0].numel()), []).append(p)
    return found


def _matrix(p: nn.Parameter) -> Tensor:
    """The gradient of a weight as a matrix; zeros if it took no part."""
    return (torch.zeros_like(p) if p.grad is None else p.grad).reshape(len(p), -1)


def optimisers(net: Inner, kind: str, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW alone; or Muon for the inner weights, and AdamW at a twentieth of its rate for others.

    Each has two groups: the weights that an inner level has trained, which wait for a while after
    the network has grown and the new level learns to use them, and the new ones.
    """
    new = net.outer()
    edge = ("unet.conv_in", "unet.conv_out", "unet.time_embedding", "stem", "head")
    named = list(net.parameters_in_use())
    muon = {
        n for n, p in named if kind == "muon" and p.ndim >= 2 and not n.startswith(edge)
    }  # fmt: skip

    def groups(names: list[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
        known = [p for n, p in names if n not in new]
        fresh = [p for n, p in names if n in new]
        both = ((known, True), (fresh, False))
        return [{"params": params, "held": held} for params, held in both if params]

    rest = groups([(n, p) for n, p in named if n not in muon])
    slow = lr * 0.05 if kind == "muon" else lr
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, slow, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    ]
    if muon:
        found.insert(0, Muon(groups([(n, p) for n, p in named if n in muon]), lr=lr))
    return found
