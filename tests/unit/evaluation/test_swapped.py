"""Weights of parents: against numpy's least squares, a known mixture, and a wrong partner."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

import hsem.evaluation.swapped as swapped
from hsem.evaluation.swapped import inherited, share_of_h


def people(n: int = 400) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(4))


def test_a_known_mixture_is_found_whatever_the_offset() -> None:
    own, other, noise, _ = people()
    child = 0.3 * own + 0.6 * other + 0.1 * noise - 2.0
    assert inherited(child, own, other).tolist() == pytest.approx([0.3, 0.6], abs=0.02)
    x = np.c_[own, other, np.ones(len(own))]
    expected = np.linalg.lstsq(x, child.numpy(), rcond=None)[0][:2]
    assert inherited(child, own, other).numpy() == pytest.approx(expected)


def test_a_wrong_partner_gets_nothing() -> None:
    own, other, noise, _ = people()
    child = 0.3 * own + 0.6 * other + 0.1 * noise
    assert abs(inherited(child, own, other.roll(1))[1]) < 0.1


def test_the_share_is_the_mean_of_both_ways() -> None:
    s1, s2, a, b = people()
    to_2, to_1 = 0.2 * s1 + 0.8 * s2 + 0.01 * a, 0.6 * s2 + 0.4 * s1 + 0.01 * b
    assert float(share_of_h(s1, s2, to_2, to_1)) == pytest.approx(0.6, abs=0.01)
    assert float(share_of_h(s1, s2, s1, s2)) == pytest.approx(0.0, abs=1e-9)
    assert float(share_of_h(s1, s2, s2, s1)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "shapes", [((4,), (4,), (5,)), ((2,), (2,), (2,)), ((4, 1), (4, 1), (4, 1))]
)
def test_errors(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="one number for each"):
        inherited(*(torch.zeros(s) for s in shapes))


def test_examples() -> None:
    assert doctest.testmod(swapped).failed == 0
