"""Moved portraits: the move is the one that is stated, and only `loose` runs make it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from portraits.train.data import draw_batch
from portraits.train.draws import seeded
from portraits.train.placement import PLACEMENT, SCALE, SHIFT, TURN, draw_placement, place
from portraits.train.settings import Settings

IMAGES = torch.randint(
    256, (20, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def spot(x: float, y: float, size: float = 2.0) -> torch.Tensor:
    """A picture (1, 1, 64, 64) of a bright spot, x and y pixels from its middle."""
    at = torch.arange(64) - 31.5
    return torch.exp(-((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * size**2))[None, None]


def middle(picture: torch.Tensor) -> tuple[float, float]:
    at, mass = torch.arange(64) - 31.5, picture[0, 0] / picture.sum()
    return float((mass.sum(0) * at).sum()), float((mass.sum(1) * at).sum())


def test_placements_fill_their_ranges_evenly_and_independently() -> None:
    found = draw_placement(20_000, torch.Generator().manual_seed(0))
    low = torch.tensor([-SHIFT, -SHIFT, -TURN, SCALE[0]])
    high = torch.tensor([SHIFT, SHIFT, TURN, SCALE[1]])
    share = (found - low) / (high - low)
    assert share.min() >= 0 and share.max() <= 1
    torch.testing.assert_close(share.mean(0), torch.full((4,), 0.5), atol=0.02, rtol=0)
    torch.testing.assert_close(share.var(0), torch.full((4,), 1 / 12), atol=0.003, rtol=0)
    assert (torch.corrcoef(share.T) - torch.eye(len(PLACEMENT))).abs().max() < 0.03


@pytest.mark.parametrize("shift_x, shift_y, turn, scale", [
    (0.0, 0.0, 0.0, 1.0), (6.0, -4.0, 0.0, 1.0), (0.0, 0.0, 20.0, 1.0), (0.0, 0.0, 0.0, 1.3),
    (5.0, 3.0, -25.0, 0.7),
])  # fmt: skip
def test_a_spot_goes_where_trigonometry_puts_it(shift_x, shift_y, turn, scale) -> None:
    x, y, a = 8.0, -5.0, math.radians(turn)
    moved = place(spot(x, y), torch.tensor([[shift_x / 64, shift_y / 64, turn, scale]]))
    # y runs downwards, so this turn is clockwise
    expected = (
        scale * (x * math.cos(a) - y * math.sin(a)) + shift_x,
        scale * (x * math.sin(a) + y * math.cos(a)) + shift_y,
    )
    assert middle(moved) == pytest.approx(expected, abs=0.1)
    assert float(moved.sum() / spot(x, y).sum()) == pytest.approx(scale**2, rel=0.03)


def test_what_lay_outside_is_the_border() -> None:
    half = torch.cat([torch.zeros(1, 3, 32, 64), torch.ones(1, 3, 32, 64)], 2)  # bright below
    up = place(half, torch.tensor([[0.0, -SHIFT, 0.0, 1.0]]))
    assert up[:, :, -12:].min() > 0.99 and up[:, :, :12].max() < 0.01


def test_a_batch_is_moved_only_if_it_is_loose_and_draws_the_same_again() -> None:
    def batch(**options):
        settings = Settings(Path(), Path(), batch=32, **options)
        return draw_batch(IMAGES, settings, seeded(torch.Generator(), 0, 3))

    loose, again, plain = batch(loose=True), batch(loose=True), batch()
    assert torch.equal(loose.x0, again.x0)
    assert loose.x0.shape == plain.x0.shape and loose.x0.abs().max() <= 1
    gaps = (loose.x0 - plain.x0).abs().amax(dim=(1, 2, 3))
    assert gaps.min() > 0.1  # each picture has its own move
    # control: without the option a batch holds pixels of the data and nothing between them
    levels = (plain.x0 + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
