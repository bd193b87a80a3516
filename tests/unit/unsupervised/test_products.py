"""J v and Jᵀ u against the explicit Jacobian, in every mode, on every kind of layer we meet."""

from threading import Event, Thread

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hsem.unsupervised.products import FrozenConvolutions, JacobianProducts


class Net(nn.Module):
    """Convolutions of many settings, normalisation, attention: (2, 6, 6) to (3, 12, 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.strided = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.qkv = nn.Linear(8, 24)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.first(x[None])))
        x = self.strided(F.interpolate(x, scale_factor=4.0, mode="nearest"))
        x = F.silu(self.same(self.dilated(x)))
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)[:, None]).chunk(3, dim=-1)
        x = x + F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).view_as(x)
        return self.last(x)[0]


@pytest.fixture(scope="module")
def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().double().requires_grad_(False)


@pytest.fixture(scope="module")
def h() -> Tensor:
    return torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def explicit(net: Net, h: Tensor) -> Tensor:
    """The Jacobian, (432, 72), by plain reverse mode: none of our code."""
    return torch.autograd.functional.jacobian(net, h).reshape(-1, h.numel())


def vectors(n: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("chunk", [None, 2, 100])
def test_products_agree_with_the_explicit_jacobian(net, h, explicit, chunk):
    op = JacobianProducts(net, h, chunk=chunk)
    v, u = vectors(5, h.shape, 2), vectors(5, op.y.shape, 3)
    jv, jtu = op.push(v), op.pull(u)
    torch.testing.assert_close(jv.flatten(1), v.flatten(1) @ explicit.T, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(jtu.flatten(1), u.flatten(1) @ explicit, rtol=1e-10, atol=1e-12)
    assert (op.pushed, op.pulled) == (5, 5)
    elsewhere = JacobianProducts(net, h + 1).push(v)
    assert (elsewhere - jv).norm() > 0.1 * jv.norm()  # the net is nonlinear: the point matters


def test_products_agree_with_finite_differences(net, h):
    op = JacobianProducts(net, h)
    v, step = vectors(1, h.shape, 4), 1e-5
    slope = (net(h + step * v[0]) - net(h - step * v[0])) / (2 * step)
    torch.testing.assert_close(op.push(v)[0], slope, rtol=1e-6, atol=1e-8)


def test_fused_attention_is_why_products_switch_it_off(net, h):
    """Negative control: what `sdpa_kernel(MATH)` is for. If torch learns it, drop the switch."""
    one = net.float()
    try:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            x = h.float().requires_grad_()
            y = one(x)
            u = torch.zeros_like(y, requires_grad=True)
            (jtu,) = torch.autograd.grad(y, x, u, create_graph=True)
            with pytest.raises(RuntimeError, match="derivative"):
                torch.autograd.grad(jtu, u, torch.ones_like(jtu))
        JacobianProducts(one, h.float()).push(torch.ones(1, *h.shape))
    finally:
        net.double()


def test_threads_leave_fused_attention_as_it_was(h):
    """One begins within the other and outlasts it: plain for both, and fused afterwards."""
    inside, over, fused = Event(), Event(), torch.backends.cuda.flash_sdp_enabled
    seen = [fused()]

    def ours(x: Tensor) -> Tensor:
        if not inside.is_set():
            thread.start()
            assert inside.wait(60)
        return x.sin()

    def of_the_thread(x: Tensor) -> Tensor:
        inside.set()
        assert over.wait(60)
        seen.append(fused())
        return x.sin()

    def push(f) -> Tensor:
        return JacobianProducts(f, h).push(h[None])

    thread = Thread(target=push, args=(of_the_thread,))
    try:
        push(ours)
    finally:
        over.set()
        thread.join(60)
    assert seen[0] and not any(seen[1:]) and len(seen) > 1 and fused()


def test_a_jv_costs_as_much_as_f_and_without_our_convolutions_twice_that(net, h):
    def flops(run) -> int:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    def f(x: Tensor) -> Tensor:
        return net.last(net.dilated(net.first(x[None])))

    op, v = JacobianProducts(f, h), vectors(1, h.shape, 5)
    with torch.no_grad():
        once = flops(lambda: f(h))
    x = h.clone().requires_grad_()
    u = torch.zeros(op.y.shape, dtype=torch.float64, requires_grad=True)
    (plain,) = torch.autograd.grad(f(x), x, u, create_graph=True)
    assert flops(lambda: op.push(v)) == once
    assert flops(lambda: torch.autograd.grad(plain, u, v[0], retain_graph=True)) > 1.8 * once


def test_frozen_convolutions_compute_what_convolutions_compute(net, h):
    with FrozenConvolutions():
        assert torch.equal(net(h), net(h))
        inside = net(h)
        with sdpa_kernel(SDPBackend.MATH):
            mapped = torch.func.vmap(net)(torch.stack([h, -h]))
    assert torch.equal(inside, net(h))
    torch.testing.assert_close(mapped[1], net(-h), rtol=1e-12, atol=1e-12)


def test_weights_that_want_gradients_keep_them(h):
    conv = nn.Conv2d(2, 3, 3).double()
    with FrozenConvolutions():
        conv(h[None]).sum().backward()
    assert conv.weight.grad is not None


def test_f_is_run_once(h):
    calls = []

    def f(x: Tensor) -> Tensor:
        calls.append(1)
        return x**2

    op = JacobianProducts(f, h)
    op.push(torch.stack([h, h]))
    op.pull(torch.stack([h, h]))
    assert len(calls) == 1


def test_works_under_no_grad_and_leaves_h_alone(h):
    with torch.no_grad():
        op = JacobianProducts(torch.sin, h)
        torch.testing.assert_close(op.push(h[None])[0], torch.cos(h) * h)
    assert not h.requires_grad and h.grad is None
