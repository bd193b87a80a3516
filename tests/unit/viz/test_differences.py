"""The map of what an edit changed, against a change that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsem import viz
from hsem.viz.differences import diverging

ALT = "a grey square before and after one half was made lighter"


def test_the_map_is_white_red_and_blue_where_it_should_be() -> None:
    x = torch.tensor([[[0.0, 1.0, -1.0, 0.5, 3.0]]])
    red, blue = (178, 24, 43), (33, 102, 172)
    pixels = viz.to_uint8(diverging(x))[0, 0]
    assert pixels[[0, 1, 2, 4]].tolist() == [[255] * 3, [*red], [*blue], [*red]]
    assert pixels[3] == pytest.approx((255 + np.array(red)) / 2, abs=1)


def test_three_rows_and_a_label_with_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def strip(images: torch.Tensor, cols: object, rows: list[str], **more: object) -> str:
        seen.update(images=images, rows=rows, more=more)
        return "picture"

    monkeypatch.setattr("hsem.viz.differences.strip", strip)
    before = torch.zeros(2, 3, 4, 4)
    after = before.clone()
    after[0, :, :, :2] = 0.4
    after[1, 0, :, :2] = -0.6  # in one of three channels: a third
    assert viz.difference(before, after, alt=ALT, name="fig-x", caption="c") == "picture"
    assert seen["rows"] == ["before", "after", "change, full\ncolour at ±0.4"]
    drawn = seen["images"][2]
    assert (drawn[:, :, :, 2:] == 1).all()  # nothing changed there: white
    assert viz.to_uint8(drawn[0])[0, 0].tolist() == [178, 24, 43]
    assert torch.allclose(
        drawn[1],
        diverging(torch.full((1, 4, 4), -0.5))[0].where(torch.arange(4) < 2, torch.tensor(1.0)),
    )
    assert seen["more"]["name"] == "fig-x"


def test_no_change_is_white_and_errors_are_clear() -> None:
    same = torch.zeros(1, 3, 8, 8)
    assert viz.difference(same, same, alt=ALT).image.width > 8
    with pytest.raises(ValueError, match=r"both have shape \(n, 3, H, W\)"):
        viz.difference(same, same[0], alt=ALT)


def test_enlarging_invents_no_detail() -> None:
    """Between two shades there are only shades between them; bicubic would overshoot."""
    edge = torch.full((1, 3, 16, 16), -0.5)
    edge[..., 8:] = 0.5
    picture = viz.grid(edge, alt=ALT, labels=["edge"])
    pixels = np.asarray(picture.image)
    opaque = pixels[pixels[..., 3] == 255][:, :3]
    column = pixels[4, :, 0]
    assert {int(column.min()), int(column.max())} == {64, 191}
    assert len(opaque) > 0
