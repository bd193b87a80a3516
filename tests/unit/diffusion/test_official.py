"""The authors' noise, seed by seed, and the tie between neighbours that ours does not have."""

import pytest
import torch

import hsem

SHAPE = (3, 8, 8)


def test_neighbouring_seeds_share_noise_as_in_the_authors_code():
    x_T, z = hsem.official_noise(SHAPE, [84, 85], 3)
    assert x_T.shape == (2, *SHAPE) and z.shape == (2, 3, *SHAPE)
    assert torch.equal(z[0, 0], x_T[1])
    ours_x, ours_z = hsem.draw_noise(SHAPE, [84, 85], 3)
    assert not torch.equal(ours_z[0, 0], ours_x[1])  # control


def test_a_seed_gives_what_torch_gives():
    x_T, z = hsem.official_noise(SHAPE, [84], 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(84)
        assert torch.equal(x_T, torch.randn(1, *SHAPE))
        torch.manual_seed(85)
        assert torch.equal(z[0], torch.randn(2, *SHAPE))


def test_bad_seeds_are_refused():
    with pytest.raises(ValueError, match="seeds"):
        hsem.official_noise(SHAPE, [], 2)
