"""Regional directions of a linear map, where every answer is a small eigenvalue problem."""

import pytest
import scipy.linalg
import torch
from torch import Tensor

from hsem.unsupervised.focus import focused_directions
from hsem.unsupervised.jacobian import largest_principal_angle

D, P = 24, 40


@pytest.fixture(scope="module")
def a() -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(P, D, generator=g, dtype=torch.float64) * 0.9 ** torch.arange(D)


@pytest.fixture(scope="module")
def mask() -> Tensor:
    mask = torch.zeros(P, dtype=torch.float64)
    mask[5:17] = 1
    return mask


ZERO = torch.zeros(D, dtype=torch.float64)


def test_ignore_is_the_masked_jacobian(a, mask):
    got = focused_directions(a.__matmul__, ZERO, 3, mask, tol=1e-6)
    _, s, vh = torch.linalg.svd(a * mask[:, None])
    assert largest_principal_angle(got.v, vh[:3]) < 1e-5
    torch.testing.assert_close(got.inside, s[:3])
    assert largest_principal_angle(got.v, torch.linalg.svd(a).Vh[:3]) > 0.3


def test_project_is_the_masked_jacobian_on_the_complement(a, mask):
    got = focused_directions(a.__matmul__, ZERO, 3, mask, outside="project", rank=6, tol=1e-6)
    null = torch.linalg.svd(a * (1 - mask)[:, None]).Vh[:6]
    _, s, vh = torch.linalg.svd((a * mask[:, None]) @ (torch.eye(D).double() - null.T @ null))
    # the complement is only searched to a tolerance of 0.2, which this spectrum does not forgive
    assert largest_principal_angle(got.v, vh[:3]) < 0.2
    torch.testing.assert_close(got.inside, s[:3], rtol=0.02, atol=0)


def test_penalise_is_the_generalised_eigenvalue_problem(a, mask):
    got = focused_directions(a.__matmul__, ZERO, 3, mask, outside="penalise", rank=D, ridge=0.1)
    inner, outer = (a * m[:, None] for m in (mask, 1 - mask))
    top = torch.linalg.svdvals(inner)[0] ** 2
    values, vectors = scipy.linalg.eigh(
        (inner.T @ inner).numpy(), (outer.T @ outer + 0.1 * top * torch.eye(D)).numpy()
    )
    expected = torch.from_numpy(vectors[:, ::-1][:, :3].copy()).T
    expected = expected / expected.norm(dim=1, keepdim=True)
    cosines = (expected * got.v).sum(dim=1).abs()
    torch.testing.assert_close(cosines, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)
    ratio = got.inside**2 / (got.outside**2 + 0.1 * top)
    torch.testing.assert_close(ratio, torch.from_numpy(values[::-1][:3].copy()), rtol=1e-6, atol=0)


def test_a_large_ridge_leads_back_to_the_paper(a, mask):
    paper = focused_directions(a.__matmul__, ZERO, 2, mask, tol=1e-6)
    ridge = focused_directions(
        a.__matmul__, ZERO, 2, mask, outside="penalise", rank=D, ridge=1e7, tol=1e-6
    )
    torch.testing.assert_close(ridge.v, paper.v, rtol=0, atol=1e-4)


def test_remedies_keep_more_of_the_change_inside(a, mask):
    share = {
        how: float(focused_directions(a.__matmul__, ZERO, 2, mask, outside=how, rank=8).share.min())
        for how in ("ignore", "project", "penalise")
    }
    assert share["ignore"] < 0.8 * share["project"] and share["ignore"] < 0.8 * share["penalise"]


@pytest.mark.parametrize("outside", ["ignore", "project", "penalise"])
def test_what_is_reported_is_what_happens(a, mask, outside):
    def f(h: Tensor) -> Tensor:
        return torch.sinh(a @ h).view(5, 8)

    got = focused_directions(f, ZERO, 3, mask.view(5, 8),
                             outside=outside, rank=6)  # fmt: skip
    step = 1e-5
    for v, change in zip(got.v, got.change, strict=True):
        torch.testing.assert_close(
            (f(step * v) - f(-step * v)) / (2 * step), change, rtol=1e-6, atol=1e-8
        )
    flat = got.change.flatten(1)
    torch.testing.assert_close(got.inside, (flat * mask).norm(dim=1))
    torch.testing.assert_close(got.outside, (flat * (1 - mask)).norm(dim=1))
    torch.testing.assert_close(got.share, got.inside**2 / flat.norm(dim=1) ** 2)
    torch.testing.assert_close(got.v.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert bool((got.v.gather(1, got.v.abs().argmax(1, keepdim=True)) > 0).all())
    assert got.converged and got.products > 0


def test_errors(a, mask):
    with pytest.raises(ValueError, match="'ignore', 'project' or 'penalise'"):
        focused_directions(a.__matmul__, ZERO, 3, mask, outside="forbid")
    with pytest.raises(ValueError, match="Jacobian is zero"):
        focused_directions(a.__matmul__, ZERO, 3, mask * 0)
