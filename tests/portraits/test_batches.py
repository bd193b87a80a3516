"""Batches: what pairs share, and that a step draws the same whenever it is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portraits.train.data import Pictures, draw_batch, draw_timesteps
from portraits.train.draws import seeded
from portraits.train.settings import Settings

IMAGES = torch.randint(
    256, (50, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def batch(step: int = 0, seed: int = 0, **options):
    settings = Settings(Path(), Path(), **{"batch": 64, **options})
    return draw_batch(IMAGES, settings, seeded(torch.Generator(), seed, step))


def test_a_pair_shares_noise_and_time_but_not_its_picture():
    x0, t, noise, keep = batch(skip_exchange=0.7)
    assert torch.equal(t[::2], t[1::2]) and torch.equal(noise[::2], noise[1::2])
    assert not torch.equal(noise[::2], noise[::2].roll(1, 0)) and len(set(t.tolist())) > 10
    assert sum(torch.equal(a, b) for a, b in zip(x0[::2], x0[1::2], strict=True)) < 5
    assert keep is not None and keep.shape == (64, 4) and 0 < keep.mean() < 1
    _, t, noise, keep = batch()  # control: without exchange each picture has its own
    assert not torch.equal(t[::2], t[1::2]) and keep is None
    assert (noise[::2] - noise[1::2]).abs().amin(dim=(1, 2, 3)).max() < 1
    assert not any(torch.equal(a, b) for a, b in zip(noise[::2], noise[1::2], strict=True))


def test_pictures_are_those_of_the_data_mirrored_half_of_the_time():
    own = {x.numpy().tobytes(): False for x in IMAGES}
    own |= {x.flip(-1).contiguous().numpy().tobytes(): True for x in IMAGES}
    x0 = batch(batch=200).x0
    back = ((x0 + 1) * 127.5).round().byte()
    mirrored = [own[x.contiguous().numpy().tobytes()] for x in back]
    assert 0.35 < sum(mirrored) / 200 < 0.65
    assert x0.min() >= -1 and x0.max() <= 1


def test_a_step_draws_the_same_whatever_was_drawn_before():
    first, again = batch(step=7, skip_dropout=0.3), batch(step=7, skip_dropout=0.3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (batch(step=8), batch(step=7, seed=1)):
        assert not torch.equal(first.noise, other.noise)


def test_an_inner_level_gets_small_pictures():
    assert batch(level=2).x0.shape == batch(level=2).noise.shape == (64, 3, 16, 16)


def test_timesteps_lie_where_they_are_asked_to():
    def share_above(shape):
        t = draw_timesteps(4000, torch.Generator().manual_seed(0), shape)
        assert t.min() >= 0 and t.max() <= 999
        return (t > 800).float().mean()

    assert share_above((1.0, 0.0, 1.0)) == pytest.approx(0.2, abs=0.02)  # uniform
    assert share_above((0.0, 3.0, 0.5)) > 0.95


def test_pictures_are_read_again_only_when_more_were_drawn(tmp_path, monkeypatch):
    import numpy as np

    from portraits.train import data

    np.savez(tmp_path / "train_0.npz", images=np.zeros((3, 64, 64, 3), np.uint8))
    reads = []
    own = data.load_images
    monkeypatch.setattr(data, "load_images", lambda *a: reads.append(a) or own(*a))
    pictures = Pictures(tmp_path, torch.device("cpu"))
    pictures.refresh()
    assert len(reads) == 1 and pictures.images.shape == (3, 3, 64, 64)
    assert pictures.images.dtype == torch.uint8
    np.savez(tmp_path / "train_1.npz", images=np.zeros((2, 64, 64, 3), np.uint8))
    pictures.refresh()
    assert len(reads) == 2 and len(pictures.images) == 5


def test_pairs_need_an_even_batch_and_minutes_a_number():
    with pytest.raises(ValueError, match="batch must be even"):
        batch(batch=3, skip_exchange=0.5)
    with pytest.raises(ValueError, match="counted in minutes"):
        batch(cooldown=3.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        batch(cool=30.0)
