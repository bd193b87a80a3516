"""The count of bytes alive, against sums known by hand."""

from __future__ import annotations

import gc

import pytest
import torch

from hsem.network.memory import peak_bytes
from hsem.unsupervised.products import JacobianProducts

N = 1000


@pytest.mark.parametrize(
    ("task", "tensors"),
    [
        (lambda: [torch.zeros(N) for _ in range(5)], 5),  # all held
        (lambda: [torch.zeros(N).sum().item() for _ in range(5)], 1),  # freed one by one
        (lambda: torch.zeros(N).view(10, -1).T[2:], 1),  # views are free
        (lambda: torch.zeros(N).add_(1).mul_(2), 1),  # so is work in place
        (lambda: torch.zeros(N) + torch.zeros(N), 3),
    ],
)
def test_known_sums(task, tensors) -> None:
    gc.collect()
    assert 4 * N * tensors <= peak_bytes(task) < 4 * N * tensors + 100


def test_what_a_graph_keeps_is_counted() -> None:
    x = torch.ones(N, requires_grad=True)

    def chain(steps: int) -> torch.Tensor:
        y = x
        for _ in range(steps):
            y = y.sin()  # keeps its input for the backward pass
        return y

    assert peak_bytes(lambda: chain(8)) == 8 * 4 * N
    with torch.no_grad():
        assert peak_bytes(lambda: chain(8)) == 2 * 4 * N  # the control


def test_columns_side_by_side_take_more_than_one_by_one() -> None:
    net = torch.nn.Sequential(*[torch.nn.Conv2d(4, 4, 3, 1, 1), torch.nn.SiLU()] * 3)
    h, v = torch.randn(1, 4, 8, 8), torch.randn(8, 1, 4, 8, 8)
    peaks = []
    for chunk in (1, 8):
        op = JacobianProducts(net, h, chunk=chunk)
        peaks.append(peak_bytes(lambda op=op: op.push(v)))
    assert peaks[1] > 2 * peaks[0]
