"""Algorithms 1 and 2 and the Lanczos solver, against matrices whose SVD is known."""

import ast
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import hsem.unsupervised.jacobian
from hsem.unsupervised.jacobian import (
    jacobian_subspace_iteration,
    jacobian_svd,
    largest_principal_angle,
)

D, P = 40, 60
SLOW = torch.arange(1, D + 1, dtype=torch.float64) ** -0.25  # s_1 / s_40 = 2.5: hard


def matrix(s: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A (P, D) matrix with singular values s, and its singular vectors as rows."""
    g = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(P, D, generator=g, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(D, D, generator=g, dtype=torch.float64))[0]
    return (u * s) @ v.T, u.T, v.T


def bent(a: Tensor):
    """A nonlinear function whose Jacobian at 0 is a."""
    return lambda h: torch.sinh(a @ h) + (h**2).sum()


ZERO = torch.zeros(D, dtype=torch.float64)
SOLVERS = {
    "algorithm 1": jacobian_subspace_iteration,
    "subspace by name": lambda *a, **k: jacobian_svd(*a, method="subspace", **k),
    "algorithm 1, oversampled": lambda *a, **k: jacobian_subspace_iteration(*a, oversample=4, **k),
    "algorithm 2, b=1": lambda *a, **k: jacobian_subspace_iteration(*a, block_size=1, **k),
    "algorithm 2, b=2": lambda *a, **k: jacobian_subspace_iteration(*a, block_size=2, **k),
    "algorithm 2, b=k": lambda f, h, k, **kw: jacobian_subspace_iteration(
        f, h, k, block_size=k, **kw
    ),
    "lanczos": jacobian_svd,
    "lanczos, blocks of 3": lambda *a, **k: jacobian_svd(*a, block=3, **k),
    "lanczos, restarted": lambda *a, **k: jacobian_svd(*a, max_basis=12, **k),
}
each_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())


@each_solver
def test_every_solver_finds_the_leading_singular_triplets(solve):
    a, u, v = matrix(SLOW)
    r = solve(bent(a), ZERO, 5, tol=1e-6, max_rounds=3000)
    assert r.converged and r.angle <= 1e-6
    assert largest_principal_angle(r.v, v[:5]) < 1e-5
    torch.testing.assert_close(r.s, SLOW[:5], rtol=1e-8, atol=0)
    # single vectors too, not only their span; u carries the sign of its v
    signs = (r.v * v[:5]).sum(1, keepdim=True).sign()
    torch.testing.assert_close(r.v * signs, v[:5], rtol=0, atol=1e-4)
    torch.testing.assert_close(r.u * signs, u[:5], rtol=0, atol=1e-4)
    assert largest_principal_angle(r.v, v[1:6]) > 1.0  # and no other span


@each_solver
def test_the_claimed_accuracy_is_the_accuracy(solve):
    """A user sees only the estimate; if it were too small, wrong vectors would pass for right."""
    for seed in range(3):
        a, _, v = matrix(SLOW, seed)
        r = solve(bent(a), ZERO, 3, tol=1e-3, max_rounds=3000)
        error = largest_principal_angle(r.v, v[:3])
        assert r.converged
        assert error <= 1.2 * r.angle, f"seed {seed}"
        assert r.angle <= 1e-3


@each_solver
def test_u_belongs_to_the_returned_v_even_before_convergence(solve):
    a, _, _ = matrix(SLOW)
    with pytest.warns(RuntimeWarning, match=r"not converged after .* rounds.*max_rounds"):
        r = solve(bent(a), ZERO, 4, tol=1e-6, max_rounds=4)
    assert not r.converged and r.residual > 1e-4
    torch.testing.assert_close(r.v @ a.T, r.s[:, None] * r.u, rtol=0, atol=1e-12)
    torch.testing.assert_close(r.u @ r.u.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(r.v @ r.v.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_reported_residual_is_the_residual():
    a, _, v = matrix(SLOW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rounds in (1, 5, 200):
            r = jacobian_subspace_iteration(bent(a), ZERO, 3, tol=1e-4, max_rounds=rounds)
            explicit = (r.v @ a.T @ a - r.s[:, None] ** 2 * r.v).norm(dim=1).max() / r.s[0] ** 2
            assert r.residual == pytest.approx(float(explicit), rel=1e-6, abs=1e-12)
    assert r.residual < 1e-4
    wrong = v[10:13]  # singular vectors, but not with the leading values: the angle must tell
    assert largest_principal_angle(r.v, wrong) > 1.5


def test_an_elementwise_criterion_would_never_stop_on_a_repeated_value():
    s = SLOW.clone()
    s[:2] = 2.0  # any basis of this plane is right
    s[2] = 1.5
    a, _, v = matrix(s)
    one, two = (
        jacobian_subspace_iteration(
            bent(a), ZERO, 2, tol=1e-6, generator=torch.Generator().manual_seed(seed)
        )
        for seed in (1, 2)
    )
    assert one.converged and two.converged
    assert largest_principal_angle(one.v, two.v) < 1e-5
    assert largest_principal_angle(one.v, v[:2]) < 1e-5
    assert (one.v - two.v).abs().max() > 0.1  # in spite of the settled signs


def test_signs_of_iterates_flip_although_the_span_has_converged():
    """The SVD step is free to flip signs, which an elementwise test mistakes for change."""
    a, _, _ = matrix(SLOW)
    r = jacobian_svd(bent(a), ZERO, 3, tol=1e-8)
    flipped = r.v * torch.tensor([[1.0], [-1.0], [1.0]], dtype=torch.float64)
    assert (flipped - r.v).abs().max() > 0.1
    assert largest_principal_angle(r.v, flipped) < 1e-12


def test_lanczos_needs_blocks_to_see_a_repeated_value():
    s = SLOW.clone() * 0.5
    s[:3] = torch.tensor([2.0, 2.0, 1.5])
    a, _, v = matrix(s)
    assert largest_principal_angle(jacobian_svd(a.__matmul__, ZERO, 2, block=2).v, v[:2]) < 1e-3
    alone = jacobian_svd(a.__matmul__, ZERO, 2, block=1)
    assert float(alone.s[1]) == pytest.approx(1.5, rel=1e-3)  # documented: it misses the second 2


def test_lanczos_needs_a_third_of_the_products_of_algorithm_1():
    a, _, v = matrix(SLOW)
    spent = {}
    for name in ("lanczos", "algorithm 1"):
        reached = []
        SOLVERS[name](
            bent(a), ZERO, 3, tol=1e-3,
            watch=lambda r, reached=reached: reached.append(
                (largest_principal_angle(r.v, v[:3]) if len(r.v) == 3 else 2.0, r.products)
            ),
        )  # fmt: skip
        spent[name] = next(products for angle, products in reached if angle <= 1e-2)
    assert 3 * spent["lanczos"] <= spent["algorithm 1"]


def test_products_and_rounds_are_counted_by_columns():
    a, _, _ = matrix(SLOW)
    seen = []
    r = jacobian_subspace_iteration(bent(a), ZERO, 4, oversample=2, tol=1e-2, watch=seen.append)
    assert [x.rounds for x in seen] == list(range(1, r.rounds + 1))
    assert r.products == 2 * 6 * r.rounds == seen[-1].products
    r = jacobian_svd(bent(a), ZERO, 4, block=2, tol=1e-2)
    assert r.products == 2 * 2 * r.rounds


@pytest.mark.parametrize("solver", [jacobian_subspace_iteration, jacobian_svd])
def test_a_good_guess_saves_products_and_a_bad_one_does_no_harm(solver):
    a, _, v = matrix(SLOW)
    solve = lambda v0: solver(bent(a), ZERO, 2, v0=v0, tol=1e-3)  # noqa: E731
    g = torch.Generator().manual_seed(1)
    near = v[:2] + 0.02 * torch.randn(2, D, generator=g, dtype=torch.float64)
    cold, warm, misled = solve(None), solve(near), solve(v[-2:])
    assert warm.products < cold.products
    for r in (cold, warm, misled):
        assert largest_principal_angle(r.v, v[:2]) < 2e-3


def test_an_incomplete_guess_is_completed():
    a, _, v = matrix(SLOW)
    for b in (None, 2):
        r = jacobian_subspace_iteration(bent(a), ZERO, 3, v0=v[:1], block_size=b)
        assert largest_principal_angle(r.v, v[:3]) < 2e-3


@each_solver
def test_orthogonal_to_searches_the_complement(solve):
    a, _, _ = matrix(SLOW)
    g = torch.Generator().manual_seed(5)
    null = torch.randn(4, D, generator=g, dtype=torch.float64)
    q = torch.linalg.qr(null.T)[0]
    expected = torch.linalg.svd(a @ (torch.eye(D, dtype=torch.float64) - q @ q.T))
    r = solve(bent(a), ZERO, 3, orthogonal_to=null, tol=1e-6, max_rounds=3000)
    torch.testing.assert_close(r.s, expected.S[:3], rtol=1e-8, atol=0)
    assert largest_principal_angle(r.v, expected.Vh[:3]) < 1e-5
    assert (r.v @ null.T).abs().max() < 1e-9
    assert (expected.Vh[:3] - torch.linalg.svd(a).Vh[:3]).norm() > 0.1  # it made a difference


@each_solver
def test_all_of_a_small_space(solve):
    a = matrix(SLOW)[0][:, :5]
    r = solve(bent(a), ZERO[:5], 5)
    torch.testing.assert_close(r.s, torch.linalg.svdvals(a), rtol=1e-6, atol=0)


@each_solver
def test_low_rank_is_no_trouble(solve):
    """A mask of one pixel leaves a Jacobian of rank 3, and here k = 5."""
    a, _, _ = matrix(SLOW)
    mask = torch.zeros(P, dtype=torch.float64)
    mask[[3, 20, 41]] = 1
    r = solve(lambda h: (a @ h) * mask, ZERO, 5, tol=1e-3)
    assert r.converged and r.angle <= 1e-3
    expected = torch.linalg.svdvals(a * mask[:, None])[:5]
    torch.testing.assert_close(r.s, expected, rtol=1e-5, atol=1e-3)
    assert bool((r.u[:, mask == 0] == 0).all())
    torch.testing.assert_close(r.v @ r.v.T, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)


def test_what_has_no_effect_has_no_u():
    a, _, _ = matrix(SLOW)
    a[3:] = 0
    for solve in (jacobian_svd, jacobian_subspace_iteration):
        r = solve(a.__matmul__, ZERO, 5)
        assert bool((r.s[3:] < 1e-12).all()) and bool((r.u[3:] == 0).all())


def test_float32_and_any_shape():
    a, _, v = matrix(SLOW)
    h = torch.zeros(2, 4, 5)
    r = jacobian_svd(lambda h: (a.float() @ h.flatten()).view(3, 4, 5), h, 3)
    assert r.u.shape == (3, 3, 4, 5) and r.v.shape == (3, 2, 4, 5)
    assert r.u.dtype == r.v.dtype == torch.float32 and r.s.dtype == torch.float64
    assert largest_principal_angle(r.v.flatten(1), v[:3].float()) < 2e-3


def test_the_same_answer_twice_and_the_global_generator_untouched():
    a, _, _ = matrix(SLOW)
    state = torch.get_rng_state()
    one, two = (jacobian_svd(bent(a), ZERO, 3) for _ in range(2))
    assert torch.equal(one.v, two.v) and torch.equal(one.s, two.s)
    assert torch.equal(state, torch.get_rng_state())
    other = jacobian_svd(bent(a), ZERO, 3, generator=torch.Generator().manual_seed(9))
    assert not torch.equal(one.v, other.v)
    assert largest_principal_angle(one.v, other.v) < 4e-3


def test_the_angle_agrees_with_scipy_and_sees_what_the_cosine_cannot():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, D, generator=g, dtype=torch.float64) for _ in range(2))
    expected = scipy.linalg.subspace_angles(a.T.numpy(), b.T.numpy()).max()
    assert largest_principal_angle(a, b) == pytest.approx(expected, rel=1e-9)
    tilted = torch.tensor([[1.0, 1e-4, 0.0]])  # float32
    straight = torch.tensor([[1.0, 0.0, 0.0]])
    assert largest_principal_angle(straight, tilted) == pytest.approx(1e-4, rel=1e-3)
    cosine = torch.nn.functional.cosine_similarity(straight, tilted)
    assert float(torch.arccos(cosine.clamp(max=1))) != pytest.approx(1e-4, rel=0.5)
    assert largest_principal_angle(a[:1], a) < 1e-7
    assert largest_principal_angle(torch.eye(4)[:2], torch.eye(4)[2:]) == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be 1..40"),
        ({"k": 41}, "k must be 1..40"),
        ({"k": 39, "orthogonal_to": torch.eye(D)[:2]}, "k must be 1..38"),
        ({"v0": torch.zeros(2, 7)}, r"v0 must be a stack of tensors with the shape \(40,\)"),
        ({"orthogonal_to": torch.zeros(7)}, "orthogonal_to must be a stack"),
        ({"tol": 0}, "tol is an angle"),
        ({"method": "power"}, "method must be 'lanczos' or 'subspace'"),
        ({"block": 0}, "block >= 1"),
        ({"max_basis": 6}, "max_basis >= 2 k"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"f": lambda h: h * torch.nan}, "NaN or infinite"),
        ({"f": lambda h: torch.ones(3)}, "does not depend on h"),
        ({"f": lambda h: h * 0}, "the Jacobian is zero.*empty mask"),
    ],
)
def test_errors_name_the_argument(settings, message):
    given = {"f": bent(matrix(SLOW)[0]), "h": ZERO, "k": 3, **settings}
    with pytest.raises(ValueError, match=message):
        jacobian_svd(given.pop("f"), given.pop("h"), given.pop("k"), **given)


@pytest.mark.parametrize("settings", [{"block_size": 0}, {"block_size": 4}, {"oversample": -1}])
def test_errors_of_algorithm_2(settings):
    with pytest.raises(ValueError, match="block_size <= k=3, oversample >= 0"):
        jacobian_subspace_iteration(bent(matrix(SLOW)[0]), ZERO, 3, **settings)


def test_angles_between_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"same shape.*\(2, 3\) and \(2, 4\)"):
        largest_principal_angle(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match="no more of them"):
        largest_principal_angle(torch.eye(3), torch.eye(3)[:2])


@pytest.mark.parametrize("module", ["jacobian", "search", "products", "../network/memory"])
def test_the_solver_knows_nothing_but_torch(module):
    path = Path(hsem.unsupervised.jacobian.__file__).parent / f"{module}.py"
    standard = {"__future__", "collections", "contextlib", "dataclasses", "math", "typing"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            root = "." if node.level else (node.module or "").split(".")[0]
            assert root in standard | {"torch", "."} | {"warnings"}
            if node.level:
                assert node.module in (
                    "search",
                    "products",
                    "network.memory",
                    "counts",
                    "callers",
                    "blocks",
                )
        elif isinstance(node, ast.Import):
            assert all(x.name in {"math", "torch", "warnings", "weakref"} for x in node.names)


def test_numpy_agrees_on_a_matrix_without_structure():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 20))
    r = jacobian_svd(torch.from_numpy(a).__matmul__, torch.zeros(20, dtype=torch.float64), 4)
    np.testing.assert_allclose(r.s, np.linalg.svd(a, compute_uv=False)[:4], rtol=1e-5)
