"""Ellipses on aligned faces lie apart, in order, and left and right alike."""

import pytest
import torch

from hsem import masks


def test_regions_lie_apart_and_in_order():
    regions = {name: masks.aligned_region(name, 256) for name in ("brows", "eyes", "mouth")}
    centres = [float((m.sum(1) * torch.arange(256)).sum() / m.sum()) for m in regions.values()]
    assert centres == sorted(centres)
    assert float((regions["eyes"] * regions["mouth"]).sum()) == 0
    for mask in regions.values():
        torch.testing.assert_close(mask, mask.flip(1), atol=0, rtol=0)
        assert set(mask.unique().tolist()) == {0.0, 1.0} and 0 < mask.mean() < 0.1


def test_an_unknown_part_is_named():
    with pytest.raises(ValueError, match="ear"):
        masks.aligned_region("ear", 64)
