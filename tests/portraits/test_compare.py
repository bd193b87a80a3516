"""The measurements of `portraits.evaluate.compare` where the answer is known."""

import json

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import nn

from portraits.evaluate import compare
from portraits.train.levels import Inner, level_noise
from portraits.train.settings import SCHEDULER, unet_config

ALPHA_BAR = DDPMScheduler(**SCHEDULER).alphas_cumprod


@pytest.fixture
def net() -> Inner:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Inner(UNet2DModel(**unet_config((8, 16, 24), 1)), 1).eval().requires_grad_(False)


def test_follows_recovers_a_planted_share():
    g = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 400, 3, generator=g)
    share = torch.tensor([0.0, 0.4, 1.0])
    child = own + share * (other - own) + 0.1 * torch.randn(400, 3, generator=g)
    torch.testing.assert_close(compare.follows(child, own, other), share, atol=0.03, rtol=0)
    stranger = compare.follows(child, own, other.roll(1, 0))
    assert (stranger - 0.5 * share).abs().max() < 0.1  # half of it is own, the other half chance


def test_r2_is_that_of_scikit_learn():
    from sklearn.metrics import r2_score

    g = torch.Generator().manual_seed(1)
    truth, guess = torch.randn(2, 50, 2, generator=g)
    expected = r2_score(truth, guess, multioutput="raw_values")
    torch.testing.assert_close(
        compare.r2(truth, guess), torch.from_numpy(expected), check_dtype=False
    )


def test_samples_do_not_depend_on_the_batch_and_edits_reach_them(net):
    level = level_noise(ALPHA_BAR, net.level)
    z = compare.noises(range(3), 32)
    plain = compare.draw(net, level, ALPHA_BAR, z, lambda _i, h: h)
    alone = compare.draw(net, level, ALPHA_BAR, z[1:2], lambda _i, h: h)
    torch.testing.assert_close(alone[0], plain[1], atol=1e-5, rtol=1e-5)
    edited = compare.draw(net, level, ALPHA_BAR, z, lambda _i, h: h + 5)
    assert (edited - plain).abs().max() > 1e-2
    again = compare.draw(net, level, ALPHA_BAR, z, lambda _i, h: h)
    assert torch.equal(again, plain)  # the hook has come off


def test_a_whole_network_is_sampled_as_hsem_does_it():
    import hsem

    model = hsem.load()
    seen = []
    net = Inner(model.unet, 0)
    z = compare.noises(range(2), 64)
    ours = compare.draw(
        net, level_noise(ALPHA_BAR, 0), ALPHA_BAR, z, lambda _i, h: seen.append(h) or h
    )
    times = torch.linspace(999, 0, compare.STEPS + 1).long()
    scheduler = DDPMScheduler(**SCHEDULER)
    x = z[:, 0]
    for i, t in enumerate(times[:-1]):  # eq. 1-5 with diffusers' variance, written the other way
        a, b = scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[times[i + 1]]
        with torch.no_grad():
            v = model.unet(x, t).sample
        x0, eps = a.sqrt() * x - (1 - a).sqrt() * v, (1 - a).sqrt() * x + a.sqrt() * v
        sigma = ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        x = b.sqrt() * x0 + (1 - b - sigma**2).clamp(min=0).sqrt() * eps + sigma * z[:, i + 1]
    torch.testing.assert_close(ours, x0.clamp(-1, 1), atol=1e-3, rtol=0)
    assert len(seen) == compare.STEPS


def test_a_label_written_into_the_picture_is_decoded(net):
    """Brightness is linear in h only if the network passes it on; noise labels never are."""
    g = torch.Generator().manual_seed(2)
    targets = torch.randn(300, 2, generator=g)
    images = targets[:, :1, None, None] + 0.05 * torch.randn(300, 3, 32, 32, generator=g)
    found = compare.decode(net, level_noise(ALPHA_BAR, 1), images, targets)
    assert found[0] > 0.8
    assert found[1] < 0.1


def test_the_command_compares_two_runs(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    for name, channels in (("a", (8, 16, 24)), ("b", (8, 16, 32))):
        inner = Inner(UNet2DModel(**unet_config(channels, 1)), 1)
        folder = tmp_path / name
        folder.mkdir()
        save_file(
            {f"ema.{k}": v for k, v in inner.state_dict().items()},
            folder / "checkpoint.safetensors",
            {"run": json.dumps({"level": 1, "seen": 0})},
        )
        (folder / "config.json").write_text(
            json.dumps({"unet": unet_config(channels, 1), "args": {"attention": 1}})
        )
    n, k = 60, len(compare.NAMES)
    g = torch.Generator().manual_seed(3)
    data = (torch.randn(n, 3, 32, 32, generator=g), torch.randn(n, k, generator=g))
    read = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, k))
    monkeypatch.setattr(
        compare, "prepared", lambda *_: (*data, read, torch.ones(k, dtype=torch.bool))
    )
    out = tmp_path / "out.json"
    monkeypatch.setattr(
        "sys.argv", ["compare", "--data", ".", "--out", str(out), "--pairs", "3", "--people", "2",
                     str(tmp_path / "a"), str(tmp_path / "b")],
    )  # fmt: skip
    compare.main()
    rows = json.loads(out.read_text())
    assert [r["h"][0] for r in rows] == [24, 32]
    table = compare.as_markdown(rows)
    assert table.count("| a | 24 × 16 × 16 |") == 4 and "| smile |" in table
    assert all(set(r["swap"]) == set(compare.NAMES) == set(r["effect"]) for r in rows)
