"""Muon, all weights of a shape at once, against the plain iteration in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from portraits.train.muon import Muon, by_shape, orthogonalise

SHAPES = [(6, 4, 3, 3), (6, 4, 3, 3), (4, 6, 1, 1), (6, 4, 3, 3), (20, 5), (7, 7), (20, 5)]
RATE, MOMENTUM = 0.02, 0.95


def plain(m: torch.Tensor) -> torch.Tensor:
    """Jordan's iteration on one matrix, as his text has it."""
    x = m.T if m.shape[0] > m.shape[1] else m
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if m.shape[0] > m.shape[1] else x


def reference(weights, gradients):
    """One weight after the other, a gradient each step; float64."""
    out = []
    for k, w in enumerate(weights):
        w, buffer = w.double().clone(), torch.zeros_like(w, dtype=torch.float64)
        for step in gradients:
            g = step[k].double()
            buffer = MOMENTUM * buffer + (1 - MOMENTUM) * g
            update = plain(((1 - MOMENTUM) * g + MOMENTUM * buffer).reshape(len(g), -1))
            rows, columns = update.shape
            w -= RATE * max(1, rows / columns) ** 0.5 * update.reshape(w.shape)
        out.append(w)
    return out


def drawn(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def trained(weights, gradients, layout=torch.contiguous_format):
    found = []
    for w in weights:
        w = w.float()
        found.append(nn.Parameter(w.contiguous(memory_format=layout) if w.ndim == 4 else w))
    muon = Muon(found, lr=RATE, momentum=MOMENTUM)
    for step in gradients:
        for p, g in zip(found, step, strict=True):
            p.grad = torch.empty_like(p).copy_(g)
        muon.step()
    return found, muon


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_batch_is_each_weight_for_itself(layout):
    weights, gradients = drawn(SHAPES, 0), [drawn(SHAPES, s) for s in (1, 2, 3)]
    found, muon = trained(weights, gradients, layout)
    assert len(muon.state) == len(by_shape(found)) == 4  # three of one shape, two of another
    expected = reference(weights, gradients)
    for p, w in zip(found, expected, strict=True):
        torch.testing.assert_close(p.double(), w, rtol=0, atol=2e-5)
    other = reference(weights, [gradients[0], gradients[2], gradients[1]])  # control
    assert (
        max(float((p.detach() - w).abs().max()) for p, w in zip(found, other, strict=True)) > 1e-3
    )


def test_the_iteration_brings_singular_values_near_one():
    m = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(m))
    assert values.min() > 0.5 and values.max() < 1.3
    assert torch.linalg.svdvals(m).max() > 5  # control
    wide = orthogonalise(m)
    torch.testing.assert_close(orthogonalise(m.mT.contiguous()), wide.mT)


def test_a_matrix_of_low_rank_stays_of_low_rank():
    """The squared condition of the small matrix must not turn rounding into a direction."""
    g = torch.Generator().manual_seed(0)
    m = torch.randn(64, 3, generator=g) @ torch.randn(3, 576, generator=g)
    values = torch.linalg.svdvals(orthogonalise(m[None])[0])
    assert values[2] > 0.5 and values[3] < 1e-2
    torch.testing.assert_close(
        orthogonalise(m[None])[0].double(), plain(m.double()), rtol=0, atol=1e-3
    )


def test_a_step_that_is_skipped_leaves_weights_and_momentum():
    weights, gradients = drawn(SHAPES, 0), [drawn(SHAPES, 1)]
    found, muon = trained(weights, gradients)
    before = [p.detach().clone() for p in found]
    momentum = [s["momentum"].clone() for s in muon.state.values()]
    found[1].grad[0, 0, 0, 0] = torch.nan
    muon.found_inf = torch.ones(())
    muon.step()
    assert all(torch.equal(p, q) for p, q in zip(found, before, strict=True))
    kept = [s["momentum"] for s in muon.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(kept, momentum, strict=True))
    muon.found_inf = None  # control
    muon.step()
    assert not found[1].isfinite().all()
