"""The solvers on a real diffusers decoder, against the explicit Jacobian's full SVD (float64)."""

import pytest
import torch
from torch import Tensor

import hsem
from hsem.unsupervised.jacobian import JacobianProducts, jacobian_subspace_iteration, jacobian_svd
from hsem.unsupervised.jacobian import largest_principal_angle as angle

T = 400


def opened(prediction_type: str) -> tuple[hsem.HSpaceUNet, Tensor, hsem.Context]:
    model = hsem.tiny_unet(0, prediction_type).to(dtype=torch.float64)
    x = torch.randn(1, *model.image_shape, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        return model, *model.encode(x, T)


@pytest.fixture(scope="module")
def decoder():
    model, h, context = opened("epsilon")
    jacobian = torch.autograd.functional.jacobian(lambda h: model.decode(h, context), h)
    return model, h, context, jacobian.reshape(-1, h.numel())  # (768, 256)


def test_products_through_attention_and_skips(decoder):
    model, h, context, explicit = decoder
    op = JacobianProducts(lambda h: model.decode(h, context), h)
    g = torch.Generator().manual_seed(2)
    v = torch.randn(2, *h.shape, generator=g, dtype=torch.float64)
    u = torch.randn(2, *op.y.shape, generator=g, dtype=torch.float64)
    torch.testing.assert_close(op.push(v).flatten(1), v.flatten(1) @ explicit.T)
    torch.testing.assert_close(op.pull(u).flatten(1), u.flatten(1) @ explicit)


@pytest.mark.parametrize(
    "solve",
    [
        lambda f, h: jacobian_svd(f, h, 3, tol=1e-5),
        lambda f, h: jacobian_subspace_iteration(f, h, 3, tol=1e-5, max_rounds=1000),
        lambda f, h: jacobian_subspace_iteration(f, h, 3, block_size=1, tol=1e-5, max_rounds=1000),
    ],
    ids=["lanczos", "algorithm 1", "algorithm 2"],
)
def test_leading_triplets_of_the_decoder(decoder, solve):
    model, h, context, explicit = decoder
    _, s, vh = torch.linalg.svd(explicit, full_matrices=False)
    result = solve(lambda h: model.decode(h, context), h)
    assert result.converged and result.v.shape == (3, *h.shape)
    torch.testing.assert_close(result.s, s[:3], rtol=1e-8, atol=0)
    assert angle(result.v.flatten(1), vh[:3]) < 2e-5
    assert angle(result.v.flatten(1), vh[3:6]) > 1.5


def test_masked_directions_are_those_of_the_masked_jacobian(decoder):
    """Equations 9 and 10: u is exactly zero outside of M."""
    model, h, context, explicit = decoder
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    mask[..., 4:8, 6:12] = 1
    result = jacobian_svd(lambda h: model.decode(h, context) * mask, h, 2, tol=1e-5)
    rows = mask.expand(1, 3, 16, 16).reshape(-1, 1)
    vh = torch.linalg.svd(explicit * rows, full_matrices=False).Vh
    assert angle(result.v.flatten(1), vh[:2]) < 2e-5
    assert bool((result.u.flatten(1)[:, rows[:, 0] == 0] == 0).all())
    plain = jacobian_svd(lambda h: model.decode(h, context), h, 2, tol=1e-5)
    assert angle(result.v, plain.v) > 0.1  # the mask matters
    assert bool((plain.u.flatten(1)[:, rows[:, 0] == 0] != 0).any())


def test_predicted_image_and_noise_share_their_directions(decoder):
    """Equations 14 to 16: dP/dh = -sqrt((1 - a) / a) J."""
    model, h, context, _ = decoder
    a = float(model.alpha_bar[T])
    eps = jacobian_svd(lambda h: model.decode(h, context), h, 3, tol=1e-7)
    x0 = jacobian_svd(lambda h: model.predict(h, context).x0, h, 3, tol=1e-7)
    factor = ((1 - a) / a) ** 0.5
    torch.testing.assert_close(x0.s, factor * eps.s, rtol=1e-9, atol=0)
    torch.testing.assert_close(x0.v, eps.v, rtol=0, atol=1e-5)
    torch.testing.assert_close(x0.u, -eps.u, rtol=0, atol=1e-5)
    assert abs(factor - 1) > 0.1


def test_networks_that_predict_v_have_the_directions_of_eps():
    """eps = sqrt(a) v + sqrt(1 - a) x, and x does not depend on h."""
    model, h, context = opened("v_prediction")
    a = float(model.alpha_bar[T])
    eps = jacobian_svd(lambda h: model.decode(h, context), h, 3, tol=1e-7)
    raw = jacobian_svd(lambda h: model.output(h, context), h, 3, tol=1e-7)
    torch.testing.assert_close(eps.s, a**0.5 * raw.s, rtol=1e-9, atol=0)
    torch.testing.assert_close(eps.v, raw.v, rtol=0, atol=1e-5)


def test_the_point_matters(decoder):
    """Negative control: at another h the directions are others, so none of this is trivial."""
    model, h, context, _ = decoder
    here = jacobian_svd(lambda h: model.decode(h, context), h, 3)
    there = jacobian_svd(lambda h: model.decode(h, context), -h, 3)
    assert angle(here.v, there.v) > 0.1
