"""Leading singular vectors of the Jacobian of any function, without ever forming the Jacobian.

Section IV-B, algorithms 1 and 2. Nothing here knows about diffusion: `f` is any torch function of
one tensor `h`, and J = df/dh at `h`. The unit vectors in h that change f(h) the most are the right
singular vectors v_i of J with the largest singular values s_i, and the change that v_i makes is
J v_i = s_i u_i.

All that is needed of J are products J v and Jᵀ u (`products.py`, eqs. 7 and 8); the rest is algebra
with some dozens of vectors (`search.py`). So the cost is counted in products. A mask (eqs. 9 and
10) is one line at the call site: `lambda h: f(h) * mask`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .products import Function, JacobianProducts
from .search import Round, Search, SubspaceResult, arcsine, columns, norm, ritz


def jacobian_subspace_iteration(
    f: Function,
    h: Tensor,
    k: int,
    *,
    block_size: int | None = None,
    v0: Tensor | None = None,
    tol: float = 1e-3,
    max_rounds: int = 200,
    oversample: int = 0,
    orthogonal_to: Tensor | None = None,
    chunk: int | None = None,
    generator: torch.Generator | None = None,
    watch: Callable[[Round], None] | None = None,
) -> SubspaceResult:
    """Algorithm 1 of the paper; with a `block_size` below k, algorithm 2 (SM E).

    Parameters
    ----------
    f : function of a tensor with the shape of `h`
    h : where to differentiate
    k : how many triplets, 1 to `h.numel()`
    block_size : b, find the vectors b at a time, each block orthogonal to those found before:
        less memory, more rounds. None takes all k at once.
    v0 : starting guess (up to k, *h.shape), such as the result at the neighbouring timestep; what
        is missing is drawn at random
    tol : wanted accuracy of the subspace, an angle in radians
    max_rounds : bound on the rounds, for each block
    oversample : p columns beyond the wanted ones, kept for speed only: a round shrinks the error
        by (s_{k+p+1} / s_k)². Algorithm 1 as printed has p = 0.
    orthogonal_to : (r, *h.shape), search only among vectors orthogonal to these
    chunk : see `JacobianProducts`
    generator : for the random start; None takes a fresh one with seed 0
    watch : called after each round; in algorithm 2 it sees the current block only

    Raises
    ------
    ValueError
        If a size is out of range, or f(h) is not finite or does not depend on h.

    Warns
    -----
    RuntimeWarning
        If `max_rounds` did not suffice.

    Notes
    -----
    Two liberties. The paper leaves the stopping criterion open: see `SubspaceResult.converged`.
    And the U it returns belongs to the V before the last update; here the triplets come from a
    small SVD of J V for the very V that is returned (Rayleigh-Ritz), so J v_i = s_i u_i.

    Examples
    --------
    >>> weights = torch.diag(torch.tensor([1.0, 3.0, 2.0]))
    >>> result = jacobian_subspace_iteration(lambda h: weights @ h, torch.zeros(3), k=2)
    >>> result.s.round(decimals=3)
    tensor([3., 2.], dtype=torch.float64)
    """
    b = k if block_size is None else block_size
    if not 1 <= b <= k or oversample < 0 or max_rounds < 1:
        raise ValueError(
            f"need 1 <= block_size <= k={k}, oversample >= 0 and max_rounds >= 1, got "
            f"{block_size}, {oversample} and {max_rounds}"
        )
    search = Search(JacobianProducts(f, h, chunk=chunk), k, tol, watch)
    guess = search.start(v0, orthogonal_to, generator)
    found, squares, converged = search.nothing(), 0.0, True
    share = math.ceil(k / b) ** -0.5  # errors of the blocks add up in squares
    floor = 0.0
    for first in range(0, k, b):
        wanted = min(b, k - first)
        width = min(wanted + oversample, search.dimension - first)
        v = search.complete(guess[:, first : first + width], width, found)
        done, before = False, 0.0
        for _ in range(max_rounds):
            block = search.multiply(v, found)
            best = ritz(block, wanted)
            # The change shrinks by this factor from round to round, which reveals the gap.
            shrink = best.change / before if before else 1.0
            done = search.judge(best, wanted, shrink, share, floor)
            if done:
                break
            before = best.change
            v = search.complete(torch.linalg.svd(block.w, full_matrices=False)[0], width, found)
        squares, converged = squares + search.angle**2, converged and done
        found, floor = found.joined(best.basis), max(floor, float(best.s[0]))
    search.angle = min(math.sqrt(squares), math.pi / 2)
    return search.result(ritz(found, k), converged)


def jacobian_svd(
    f: Function,
    h: Tensor,
    k: int,
    *,
    method: Literal["lanczos", "subspace"] = "lanczos",
    block: int = 1,
    v0: Tensor | None = None,
    tol: float = 1e-3,
    max_rounds: int = 300,
    max_basis: int | None = None,
    orthogonal_to: Tensor | None = None,
    chunk: int | None = None,
    generator: torch.Generator | None = None,
    watch: Callable[[Round], None] | None = None,
) -> SubspaceResult:
    """The k leading singular triplets of the Jacobian, in as few products as we know how.

    Parameters
    ----------
    method : "lanczos", or "subspace" for algorithm 1
    block : columns multiplied in one round. 1 needs the fewest products; more need fewer rounds,
        which is what counts where columns run in parallel.
    max_basis : vectors kept before the basis is cut back to the best 2 k; None allows 4 k + 40.
        Memory: max_basis times (2 h.numel() + f(h).numel()) numbers.
    others : as for `jacobian_subspace_iteration`, which also lists errors and warnings

    Notes
    -----
    Subspace iteration forgets: a round keeps only the newest JᵀJ V. Here all products are kept,
    and a round adds the residual JᵀJ v_i - s_i² v_i of the worst of the k candidates to the basis,
    orthogonalised against all of it. Started from one vector this *is* the Lanczos process (Golub
    and Kahan's, for J), as all residuals are then parallel; in this form it can restart by
    dropping columns.

    A guess `v0` enters as the sum of its vectors. To start with all of them as a block was
    measured to cost more than it saves.

    From one starting vector a repeated singular value looks like a single one: it takes
    `block` = b to find values that occur b times with all their vectors.
    """
    if method == "subspace":
        return jacobian_subspace_iteration(
            f, h, k, v0=v0, tol=tol, max_rounds=max_rounds, orthogonal_to=orthogonal_to,
            chunk=chunk, generator=generator, watch=watch,
        )  # fmt: skip
    if method != "lanczos":
        raise ValueError(f"method must be 'lanczos' or 'subspace', got {method!r}")
    limit = 4 * k + 40 if max_basis is None else max_basis
    if block < 1 or max_rounds < 1 or limit < 2 * k + block:
        raise ValueError(
            f"need block >= 1, max_rounds >= 1 and max_basis >= 2 k + block = {2 * k + block}, "
            f"got {block}, {max_rounds} and {limit}"
        )
    search = Search(JacobianProducts(f, h, chunk=chunk), k, tol, watch)
    guess = search.start(v0, orthogonal_to, generator)
    basis, nothing = search.nothing(), search.nothing()
    new = search.complete(search.summed(guess, block), min(block, search.dimension), nothing)
    for _ in range(max_rounds):
        basis = basis.joined(search.multiply(new, nothing))
        best = ritz(basis, k)
        done = search.judge(best, k, best.shrink)
        if done or len(best.s) == search.dimension:
            break
        if len(best.s) + block > limit:
            basis = ritz(basis, 2 * k).basis
        worst = best.residuals.norm(dim=0).argsort(descending=True)[:block]
        width = min(block, search.dimension - basis.v.shape[1])
        new = search.complete(best.residuals[:, worst], width, basis)
    return search.result(best, done)


def largest_principal_angle(a: Tensor, b: Tensor) -> float:
    """Largest principal angle, in radians, between the spans of two sets of vectors.

    Parameters
    ----------
    a, b : (k, ...), linearly independent vectors, on any device; `a` may hold fewer than `b`

    Notes
    -----
    Blind to what a singular value decomposition leaves open: signs, order, and rotations among
    vectors of equal singular value. Computed from the sine, because the cosine of angles under
    3e-4 is 1 in float32.

    Examples
    --------
    >>> a = torch.eye(3)[:2]
    >>> largest_principal_angle(a, torch.stack([a[0] + a[1], -a[0]])) < 1e-9
    True
    """
    if len(a) > len(b) or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            "a and b must hold vectors of the same shape, a no more of them than b; got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    qa, qb = (torch.linalg.qr(columns(x.to(a.device)))[0] for x in (a, b))
    return arcsine(norm(qa - qb @ (qb.T @ qa)))
