"""The stamp is in the pixels, at every size, and leaves the rest alone."""

import pytest
import torch

from hsem.viz import stamped


@pytest.mark.parametrize("size", [16, 32, 64, 256])
def test_the_words_are_burned_in(size):
    images = torch.full((2, 4, 3, size, size), 0.3)
    marked = stamped(images, "random weights")
    band = max(8, size // 8)
    assert torch.equal(marked[..., : size - band, :], images[..., : size - band, :])
    below = marked[..., size - band :, :]
    assert below.amax() > 0.5 and below.amin() == -1  # white letters on black
    assert torch.equal(images, torch.full_like(images, 0.3))  # the given ones are untouched


def test_other_words_look_different():
    images = torch.zeros(3, 128, 128)
    a, b = stamped(images, "random weights"), stamped(images, "another model")
    assert not torch.equal(a, b)


def test_no_words_no_stamp():
    images = torch.rand(3, 32, 32)
    assert torch.equal(stamped(images, ""), images)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="images"):
        stamped(torch.zeros(32, 32), "x")
