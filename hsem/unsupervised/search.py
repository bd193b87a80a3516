"""The small dense algebra under `jacobian.py`: Rayleigh-Ritz, error estimates, bookkeeping.

Vectors are columns here: (d, m) for m vectors in h, (p, m) for m vectors in f(h); in float64 where
the device has it. Needs torch only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..callers import tell
from .products import JacobianProducts


class Round(NamedTuple):
    """State after one round, which is one J and one Jᵀ product for each column of the block.

    rounds, products : spent so far
    residual, angle : as in `SubspaceResult`
    s, v : the best values (k,) and vectors (k, *h.shape) so far; fewer in the first rounds
    """

    rounds: int
    products: int
    residual: float
    angle: float
    s: Tensor
    v: Tensor


@dataclass(frozen=True, eq=False)
class SubspaceResult:
    """The k leading singular triplets of J, and how the search for them ended.

    Attributes
    ----------
    u : (k, *f(h).shape), J v_i / s_i for the v returned here; zero where s_i is zero
    s : (k,) float64, descending
    v : (k, *h.shape), orthonormal; the largest entry of each is positive, to settle the sign
    rounds : sequential rounds
    products : products with J and Jᵀ, counted by columns
    residual : max_i |JᵀJ v_i - s_i² v_i| / s_1²; 0 for exact singular vectors
    angle : estimate of the largest principal angle, in radians, between the span of `v` and the
        true leading subspace; pi/2 if unknown
    converged : whether angle <= tol, or |JᵀJ v_i - s_i² v_i| <= tol² s_k². The second alone means
        that s_k and s_{k+1} are so close that the subspace is hardly defined; its vectors are then
        as good as any others.
    """

    u: Tensor
    s: Tensor
    v: Tensor
    rounds: int
    products: int
    residual: float
    angle: float
    converged: bool


class Basis(NamedTuple):
    """Orthonormal v (d, m), with y = J v (p, m) and w = JᵀJ v (d, m)."""

    v: Tensor
    y: Tensor
    w: Tensor

    def joined(self, other: Basis) -> Basis:
        return Basis(*(torch.cat(pair, dim=1) for pair in zip(self, other, strict=True)))


class Ritz(NamedTuple):
    """The k best approximations to singular vectors within the span of a basis."""

    basis: Basis
    s: Tensor  # all singular values of J within the span, (m,)
    residuals: Tensor  # JᵀJ v - s² v, (d, k)
    residual: float  # the largest, relative to s_1²
    change: float  # tangent of the largest angle between the spans of v and JᵀJ v
    shrink: float  # (s_{k+1} / s_k)² as far as the span knows, 1 if it holds no more than k


def ritz(basis: Basis, k: int) -> Ritz:
    """Rayleigh-Ritz: rotate the basis so that J, seen from within its span, is diagonal."""
    # From J v by QR: its Gram matrix would square the condition number.
    _, s, qt = torch.linalg.svd(torch.linalg.qr(basis.y, mode="r")[1])
    best = Basis(*(x @ qt[:k].T for x in basis))
    top = s[:k]
    residuals = best.w - best.v * top**2
    residual = float(residuals.norm(dim=0).max() / positive(top[0]) ** 2)
    n = int((top > 1e-7 * top[0]).sum())  # what has no effect has no direction either
    change = norm(residuals[:, :n]) / float(top[n - 1]) ** 2 if n else 0.0
    shrink = float(s[n] / s[n - 1]) ** 2 if 0 < n < len(s) else 1.0
    return Ritz(best, s, residuals, residual, change, shrink)


class Search:
    """What both solvers share: counting, stopping, and keeping columns orthogonal."""

    def __init__(
        self,
        op: JacobianProducts,
        k: int,
        tol: float,
        watch: Callable[[Round], None] | None,
    ) -> None:
        if not 0 < tol < 1:
            raise ValueError(f"tol is an angle in radians between 0 and 1, got {tol}")
        self.op, self.k, self.tol, self.watch = op, k, tol, watch
        self.rounds, self.angle = 0, math.pi / 2

    def start(
        self, v0: Tensor | None, null: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """Check sizes, remember what to stay orthogonal to, and return the guess (d, k0)."""
        shape = tuple(self.op.h.shape)
        for name, given in (("v0", v0), ("orthogonal_to", null)):
            if given is not None and tuple(given.shape[1:]) != shape:
                raise ValueError(
                    f"{name} must be a stack of tensors with the shape {shape} of h, got shape "
                    f"{tuple(given.shape)}"
                )
        empty = columns(self.op.h[None])[:, :0]
        self.null = empty if null is None else torch.linalg.qr(columns(null).to(empty.device))[0]
        self.dimension = empty.shape[0] - self.null.shape[1]
        if not 1 <= self.k <= self.dimension:
            raise ValueError(
                f"k must be 1..{self.dimension}, the dimension of the space to search; got {self.k}"
            )
        self.generator = generator or torch.Generator().manual_seed(0)
        guess = empty if v0 is None else columns(v0)[:, : self.k].to(empty.device)
        # No iteration leaves an invariant subspace, so a guess must not be one by accident.
        noisy = [self.noisy(x, 3 * self.tol) for x in guess.T]
        return torch.stack(noisy, dim=1) if noisy else guess

    def nothing(self) -> Basis:
        empty = self.null[:, :0]
        return Basis(empty, empty.new_empty(self.op.y.numel(), 0), empty)

    def summed(self, guess: Tensor, block: int) -> Tensor:
        """`block` starting vectors that hold something of every vector of the guess."""
        sums = [guess[:, i::block].sum(dim=1) for i in range(min(block, guess.shape[1]))]
        return torch.stack([self.noisy(x, 0.3) for x in sums], dim=1) if sums else guess

    def noisy(self, x: Tensor, amount: float) -> Tensor:
        noise = self.draw()
        return x / positive(x.norm()) + amount * noise / noise.norm()

    def complete(self, x: Tensor, width: int, found: Basis) -> Tensor:
        """`width` orthonormal columns, from the span of x first, orthogonal to all found."""
        basis = torch.cat([self.null, found.v], dim=1)
        fixed = basis.shape[1]
        vanished = 1e-9 if basis.dtype == torch.float64 else 1e-5
        queue = list(x.T)
        while basis.shape[1] < fixed + width:
            column = queue.pop(0) if queue else self.draw()
            column = column / positive(column.norm())
            for _ in range(2):  # twice is enough (Kahan)
                column = column - basis @ (basis.T @ column)
                size = column.norm()
                column = column / positive(size)
                if size < vanished:  # it was in the span already: only rounding error is left
                    break
            else:
                basis = torch.cat([basis, column[:, None]], dim=1)
        return basis[:, fixed:]

    def draw(self) -> Tensor:
        source = self.generator
        noise = torch.randn(
            self.op.h.numel(), generator=source, device=source.device, dtype=torch.float32
        )
        return noise.to(self.null)

    def multiply(self, v: Tensor, found: Basis) -> Basis:
        """J v and JᵀJ v, the latter made orthogonal to all found (algorithm 2)."""
        op = self.op
        y = op.push(v.T.reshape(-1, *op.h.shape).to(op.h.dtype))
        w = columns(op.pull(y))
        for fixed in (self.null, found.v):
            w = w - fixed @ (fixed.T @ w)
        return Basis(v, columns(y), w)

    def judge(
        self, best: Ritz, wanted: int, shrink: float, share: float = 1.0, floor: float = 0.0
    ) -> bool:
        """Estimate the error, report it, and decide whether it is small enough.

        With `shrink` = (s_{k+1} / s_k)², the sine of the angle to the true subspace is at most
        |residuals| / (s_k² - s_{k+1}²) = change / (1 - shrink) (Davis and Kahan). `share` of the
        tolerance is what this block may use up. In algorithm 2, what is left of the blocks found
        before has singular values up to tol times their largest, `floor`: below it is only noise.
        """
        self.rounds += 1
        self.angle = arcsine(best.change / (1 - shrink)) if shrink < 1 else math.pi / 2
        enough = best.basis.v.shape[1] == wanted
        if self.watch is not None:
            v = best.basis.v.T.reshape(-1, *self.op.h.shape)
            self.watch(
                Round(self.rounds, self.spent, best.residual, self.angle, best.s[: len(v)], v)
            )
        tol = self.tol * share
        if best.s[0] <= tol * floor:
            self.angle = 0.0
        return enough and (self.angle <= tol or best.change <= tol**2)

    @property
    def spent(self) -> int:
        return self.op.pushed + self.op.pulled

    def result(self, best: Ritz, converged: bool) -> SubspaceResult:
        (v, y, _), s, op = best.basis, best.s[: self.k], self.op
        if not bool(s[0] > 0):
            raise ValueError("the Jacobian is zero: f(h) does not change with h (an empty mask?)")
        if not converged:
            tell(
                f"not converged after {self.rounds} rounds: residual {best.residual:.1e}, "
                f"estimated angle {self.angle:.1e} for tol={self.tol:.1e}; raise max_rounds or "
                "tol, or take another k (s_k and s_{k+1} may be too close to tell apart)",
                RuntimeWarning,
            )
        alive = s > torch.finfo(op.h.dtype).eps * s[0]
        u = torch.where(alive, y / torch.where(alive, s, 1.0), 0.0)
        sign = largest(v, 0).sign()
        return SubspaceResult(
            u=(u * sign).T.reshape(-1, *op.y.shape).to(op.h.dtype),
            s=s.double() if s.device.type != "mps" else s.cpu().double(),
            v=(v * sign).T.reshape(-1, *op.h.shape).to(op.h.dtype),
            rounds=self.rounds,
            products=self.spent,
            residual=best.residual,
            angle=self.angle,
            converged=converged,
        )


def columns(stack: Tensor) -> Tensor:
    """(k, ...) to (d, k), in float64 where the device has it."""
    wide = torch.float32 if stack.device.type == "mps" else torch.float64
    return stack.detach().flatten(1).T.to(wide)


def largest(x: Tensor, dim: int) -> Tensor:
    """The entries of largest size along an axis, which is kept, with their signs."""
    return x.gather(dim, x.abs().argmax(dim=dim, keepdim=True))


def norm(x: Tensor) -> float:
    """Largest singular value of a tall matrix."""
    return float(torch.linalg.matrix_norm(torch.linalg.qr(x, mode="r")[1], 2))


def arcsine(sine: float) -> float:
    return math.asin(min(1.0, sine))


def positive(x: Tensor) -> Tensor:
    """x, kept from zero so that it can divide."""
    return x.clamp(min=torch.finfo(x.dtype).tiny)
