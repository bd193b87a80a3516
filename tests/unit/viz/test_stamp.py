"""Pictures of random weights say so in their pixels; those of trained ones are left alone."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import hsem
from hsem import viz


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 64, 64), (2, 5, 3, 256, 192)])
def test_the_band_is_at_the_lower_edge_and_nowhere_else(shape) -> None:
    images = torch.full(shape, 0.25)
    out = viz.stamp(images, "random weights")
    changed = (out != images).flatten(0, -3).any(0)  # (H, W)
    rows = changed.any(1).nonzero().flatten()
    assert len(rows) and int(rows[0]) > shape[-2] // 3
    assert int(rows[-1]) == shape[-2] - 1
    assert bool((images == 0.25).all())  # left as they were
    assert out.max() > 0.9 and out.min() < -0.9 and out.dtype == images.dtype


def test_other_texts_give_other_pixels() -> None:
    images = torch.zeros(1, 3, 64, 64)
    assert not torch.equal(viz.stamp(images, "random"), viz.stamp(images, "tiny"))
    assert viz.stamp(images, "") is images
    with pytest.raises(ValueError, match="one line"):
        viz.stamp(images, " ")
    with pytest.raises(ValueError, match="3, H, W"):
        viz.stamp(torch.zeros(1, 1, 8, 8))


@pytest.fixture
def random_model() -> hsem.HSpaceUNet:
    return hsem.load(hsem.tiny_unet().unet, scheduler={"_class_name": "DDPMScheduler"})


def test_only_random_models_are_stamped(random_model) -> None:
    random_model.name = "somewhere/random-celebahq"
    drawing = viz.of(random_model)
    images = torch.zeros(2, 3, 64, 64)
    plain = viz.grid(images, alt="two squares").image
    stamped = drawing.grid(images, alt="two squares").image
    assert np.any(np.asarray(plain) != np.asarray(stamped))
    random_model.name = "google/ddpm-ema-celebahq-256"
    assert viz.of(random_model) is viz  # the control
    assert viz.of(hsem.load()) is viz


def test_whatever_draws_pictures_is_stamped(random_model) -> None:
    random_model.name = "random"
    drawing = viz.of(random_model)
    five = torch.zeros(2, 2, 3, 32, 32)
    seen = []

    def keep(*args, **kwargs):
        seen.append((args, kwargs))

    for name, args in {
        "grid": (five[0],),
        "strip": (five,),
        "slider": (five, [0, 1], "x"),
        "board": (five[None], [[0], [0, 1]], ["x", "y"]),
        "difference": (five[0], five[1]),
        "blind_test": (five[0], [0, 1], ["a", "b"]),
    }.items():
        draw = drawing._pictures(keep, 2 if name == "difference" else 1)
        draw(*args, live=lambda x: five[0])
        (first, *rest), options = seen[-1]
        assert not torch.equal(first, args[0])
        assert name != "difference" or not torch.equal(rest[0], args[1])
        assert not torch.equal(options["live"](0.0), five[0])
        assert getattr(drawing, name) is not getattr(viz, name)
    assert drawing.table is viz.table and drawing.publish is viz.publish
    figure, _ = plt.subplots()
    drawing.figure(figure, alt="an empty plot")
    assert [t.get_text() for t in figure.texts] == ["random weights"]
