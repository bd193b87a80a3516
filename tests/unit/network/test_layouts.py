"""Random networks of a published layout, and what a run of them costs."""

import pytest
import torch

import hsem
from hsem.network import cost
from tests.parity.test_split import CELEBAHQ


def test_the_full_size_is_the_layout_of_the_hub():
    """By every entry of the config that the hub gives, on an empty network."""
    small = hsem.random_network(size=64, channels=8)
    given = {k: v for k, v in CELEBAHQ.items() if k not in {"block_out_channels", "sample_size"}}
    own = {k: small.unet.config[k] for k in given if k != "norm_num_groups"}
    for key, value in own.items():
        same = list(value) == list(given[key]) if isinstance(value, (list, tuple)) else value
        assert same is True or same == given[key], key
    ratios = [c / 8 for c in small.unet.config.block_out_channels]
    assert ratios == [c / 128 for c in CELEBAHQ["block_out_channels"]]
    assert small.image_shape == (3, 64, 64) and small.h_shape == (32, 2, 2)


def test_weights_follow_the_seed_and_leave_the_global_state_alone():
    before = torch.get_rng_state()
    a, b, c = (hsem.random_network(size=32, channels=4, seed=s) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert a.fingerprint == b.fingerprint != c.fingerprint


def test_random_weights_are_known_by_name(portraits):
    assert hsem.is_random(hsem.random_network(size=32, channels=4))
    assert not hsem.is_random(portraits)


@pytest.mark.parametrize("wrong", [{"size": 48}, {"size": 0}, {"channels": 6}, {"layout": "x"}])
def test_bad_numbers_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        hsem.random_network(**wrong)


def test_a_run_is_measured_and_grows_with_the_picture():
    small, large = (
        cost.run_cost(hsem.random_network(size=s, channels=4), repeats=1) for s in (32, 64)
    )
    assert small.seconds > 0 and large.bytes > 2 * small.bytes


@pytest.mark.parametrize(
    ("each", "free", "batch"), [(10, 1000, 60), (10, 100_000, 64), (1000, 10, 1)]
)
def test_the_batch_fits(each, free, batch):
    assert cost.batch_that_fits(each, free) == batch


def test_free_memory_and_bad_input():
    assert cost.free_bytes("cpu") > 0
    with pytest.raises(ValueError, match="each"):
        cost.batch_that_fits(0, 10)
    with pytest.raises(ValueError, match="runs"):
        cost.duration(-1, 1)


@pytest.mark.parametrize(
    ("runs", "seconds", "words"),
    [
        (0, 1, "about 1 second"),
        (80, 1, "about 80 seconds"),
        (90, 1, "about 2 minutes"),
        (7200, 1, "about 2 hours"),
    ],
)
def test_durations_in_words(runs, seconds, words):
    assert cost.duration(runs, seconds) == words
