"""Progressive growing: the inner levels do on small pictures what they do inside the whole."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import nn

from portraits.train.data import draw_timesteps
from portraits.train.levels import Inner, grow, level_noise, skip_dropout, skip_exchange
from portraits.train.settings import SCHEDULER, Settings

SMALL = {
    "sample_size": 32,
    "layers_per_block": 1,
    "block_out_channels": (8, 16, 24),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": None,
}


def small(seed: int = 0) -> UNet2DModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet2DModel(**SMALL).eval()


def enters(net: Inner, level: int, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """What the encoder block of `level` receives when `net` reads x."""
    seen = []
    block = net.unet.down_blocks[level]

    def note(_: nn.Module, args: tuple, kwargs: dict) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    hook = block.register_forward_pre_hook(note, with_kwargs=True)
    with torch.no_grad():
        net(x, t)
    hook.remove()
    return seen[0]


@pytest.fixture
def picture() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 32, 32, generator=g), torch.tensor([10, 700])


def test_level_zero_is_the_network(picture):
    x, t = picture
    unet = small()
    with torch.no_grad():
        assert torch.equal(Inner(unet, 0)(x, t), unet(x, t).sample)


def test_an_inner_level_keeps_the_size_of_its_pictures():
    with torch.no_grad():
        assert Inner(small(), 1)(torch.zeros(2, 3, 16, 16), torch.tensor([3, 5])).shape[2:] == (
            16,
            16,
        )


@pytest.mark.parametrize("level", [1])
def test_growing_hands_the_inner_blocks_what_the_stem_gave_them(picture, level):
    x, t = picture
    inner = Inner(small(), level)
    half = nn.functional.avg_pool2d(x, 2)
    expected = enters(inner, level, half, t)
    not_grown = enters(Inner(inner.unet, level - 1), level, x, t)
    grown = enters(grow(inner), level, x, t)
    torch.testing.assert_close(grown, expected, rtol=1e-4, atol=1e-5)
    assert (not_grown - expected).abs().mean() > 0.05  # control: growing is what does it


def test_growing_two_levels_is_growing_twice():
    unet = UNet2DModel(
        **{
            **SMALL,
            "block_out_channels": (8, 12, 16, 24),
            "down_block_types": ("DownBlock2D",) * 3 + ("AttnDownBlock2D",),
            "up_block_types": ("AttnUpBlock2D",) + ("UpBlock2D",) * 3,
        }
    )
    inner = Inner(unet, 2)
    x, t = torch.randn(1, 3, 32, 32), torch.tensor([500])
    expected = enters(inner, 2, nn.functional.avg_pool2d(x, 4), t)
    grown = grow(grow(inner))
    assert grown.level == 0
    torch.testing.assert_close(enters(grown, 2, x, t), expected, rtol=1e-4, atol=1e-5)


def test_the_parameters_in_use_are_those_with_a_gradient():
    for level in (0, 1):
        net = Inner(small(), level)
        side = 32 // 2**level
        net(torch.randn(1, 3, side, side), torch.tensor([5])).sum().backward()
        with_gradient = {n for n, p in net.named_parameters() if p.grad is not None}
        assert with_gradient == {n for n, _ in net.parameters_in_use()}


def test_new_parameters_are_those_the_level_inside_did_not_use():
    for level in (0, 1):
        unet = small()
        outside, inside = Inner(unet, level), Inner(unet, level + 1) if level < 1 else None
        if inside is None:
            continue
        used_inside = {n for n, _ in inside.parameters_in_use() if n.startswith("unet.")}
        used = {n for n, _ in outside.parameters_in_use()}
        assert used - used_inside == outside.outer()


def test_averaging_a_noisy_picture_is_the_noisy_picture_of_the_level():
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod
    g = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 3, 64, 64, generator=g), torch.randn(2, 3, 64, 64, generator=g)
    t = torch.tensor([50, 800])
    pool = nn.functional.avg_pool2d
    small_noise = 4 * pool(noise, 4)  # of unit variance again
    assert small_noise.std() == pytest.approx(1, abs=0.05)
    seen = level_noise(alpha_bar, 2).noisy(pool(x0, 4), small_noise, t)
    whole = pool(level_noise(alpha_bar, 0).noisy(x0, noise, t), 4)
    torch.testing.assert_close(seen, whole, rtol=1e-5, atol=1e-6)
    wrong = level_noise(alpha_bar, 1).noisy(pool(x0, 4), small_noise, t)
    assert (wrong - whole).abs().max() > 0.1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_x0_and_noise_come_back_from_v(level):
    schedule = level_noise(DDPMScheduler(**SCHEDULER).alphas_cumprod.double(), level)
    g = torch.Generator().manual_seed(1)
    x0, noise = torch.randn(2, 2, 3, 8, 8, generator=g, dtype=torch.float64)
    t = torch.tensor([30, 900])
    back = schedule.split(schedule.noisy(x0, noise, t), schedule.v(x0, noise, t), t)
    torch.testing.assert_close(back, (x0, noise))


def test_inner_levels_are_trained_on_noisier_timesteps():
    whole, inner = (
        draw_timesteps(
            4000,
            torch.Generator().manual_seed(0),
            Settings(Path(), Path(), level=level).noise_levels,
            level,
        )
        .float()
        .mean()
        for level in (0, 2)
    )
    assert inner > whole + 100


def test_a_level_the_network_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"level=2 is not one of 0\.\.1"):
        Inner(small(), 2)


@pytest.mark.parametrize("level", [0, 1])
def test_cut_connections_are_cut_and_kept_ones_change_nothing(level):
    net = Inner(small(), level)
    side = 32 // 2**level
    x, t = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0)), [10, 500, 900]
    t = torch.tensor(t)
    keep = torch.ones(3, 3)
    with torch.no_grad():
        plain = net(x, t)
        assert torch.equal(net(x, t, keep), plain)
        keep[1, 2] = 0  # the second picture, its inmost level
        cut = net(x, t, keep)
    assert torch.equal(cut[[0, 2]], plain[[0, 2]])
    assert not torch.allclose(cut[1], plain[1])


def test_each_level_owns_the_connections_of_its_resolution():
    """What a forward hook sees: cutting level 1 leaves the maps of other sizes alone."""
    net = Inner(small(), 0)
    cut: dict[int, list[bool]] = {}

    def note(_: nn.Module, args: tuple, kwargs: dict) -> None:
        skips = kwargs.get("res_hidden_states_tuple") or args[1]
        for skip in skips:
            cut.setdefault(skip.shape[-1], []).append(not skip.any())

    hooks = [b.register_forward_pre_hook(note, with_kwargs=True) for b in net.unet.up_blocks]
    with torch.no_grad():
        net(torch.randn(1, 3, 32, 32), torch.tensor([500]), torch.tensor([[1.0, 0.0, 1.0]]))
    for hook in hooks:
        hook.remove()
    assert all(cut[16]) and not any(cut[32]) and not any(cut[8])


def test_skip_dropout_cuts_the_share_asked_for_and_spares_the_finest():
    keep = skip_dropout(4000, 4, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(keep[:, 0], torch.ones(4000))
    assert ((1 - keep[:, 1:].mean(0)) - 0.3).abs().max() < 0.03
    assert not torch.equal(keep[:, 1], keep[:, 2])
    none = skip_dropout(10, 4, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(none, torch.ones(10, 4))


def test_an_exchanged_skip_connection_is_that_of_the_other_picture(picture):
    """All exchanged: what comes out is the neighbour's picture with one's own h put in."""
    x, _ = picture
    t = torch.tensor([300, 300])
    net = Inner(small(), 0)
    own: list[torch.Tensor] = []
    with torch.no_grad():
        hook = net.unet.mid_block.register_forward_hook(lambda _m, _a, h: own.append(h))
        plain = net(x, t)
        hook.remove()
        exchanged = net(x, t, torch.zeros(2, 3), True)
        cut = net(x, t, torch.zeros(2, 3), False)
        hook = net.unet.mid_block.register_forward_hook(lambda _m, _a, _h: own[0])
        expected = net(x.flip(0), t)
        hook.remove()
    torch.testing.assert_close(exchanged, expected)
    assert not torch.allclose(plain, expected, atol=1e-3)  # controls: neither of the others is
    assert not torch.allclose(cut, expected, atol=1e-3)


def test_a_connection_that_is_kept_is_not_exchanged(picture):
    x, _ = picture
    t = torch.tensor([300, 300])
    net = Inner(small(), 0)
    with torch.no_grad():
        torch.testing.assert_close(net(x, t, torch.ones(2, 3), True), net(x, t))


def test_a_quarter_of_the_pairs_keep_all_their_connections():
    g = torch.Generator().manual_seed(0)
    keep = skip_exchange(4000, 4, 0.6, g)
    whole = keep.view(2000, 8).all(1)
    assert 0.22 < whole.float().mean() < 0.29
    share = 1 - keep.view(2000, 8)[~whole].mean()
    assert 0.57 < share < 0.64  # of the others, six in ten; a pair with none is counted as whole
    assert not skip_exchange(4000, 4, 1.0, g).view(2000, 8)[:, 0].all()
