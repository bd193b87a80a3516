"""Identities that hold for every function, point and mask."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsem.unsupervised.jacobian import JacobianProducts, jacobian_svd

seeds = st.integers(0, 10**6)


def network(seed: int):
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(12, 9, generator=g, dtype=torch.float64) for _ in range(2))
    h, v, u = (torch.randn(n, generator=g, dtype=torch.float64) for n in (9, 9, 12))
    return (lambda x: torch.tanh(a @ x) * (b @ x)), h, v, u


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_j_and_its_transpose_are_adjoint(seed: int) -> None:
    f, h, v, u = network(seed)
    op = JacobianProducts(f, h)
    left, right = op.push(v[None])[0] @ u, v @ op.pull(u[None])[0]
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, pixels=st.sets(st.integers(0, 11), min_size=1, max_size=11))
def test_a_mask_leaves_u_exactly_zero_outside(seed: int, pixels: set[int]) -> None:
    f, h, _, _ = network(seed)
    mask = torch.zeros(12, dtype=torch.float64)
    mask[list(pixels)] = 1

    def masked(x: Tensor) -> Tensor:
        return f(x) * mask

    k = min(3, len(pixels))
    result = jacobian_svd(masked, h, k)
    explicit = torch.autograd.functional.jacobian(f, h) * mask[:, None]
    torch.testing.assert_close(result.s, torch.linalg.svdvals(explicit)[:k], rtol=1e-5, atol=1e-9)
    assert bool((result.u[:, mask == 0] == 0).all())
    assert bool((jacobian_svd(f, h, k).u[:, mask == 0] != 0).any())
