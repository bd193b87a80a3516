"""Training with torch.compile only where that leaves the gradient as it was."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from portraits.train import compiled
from portraits.train.levels import Inner, level_noise
from portraits.train.settings import SCHEDULER, Settings, unet_config


class Deaf(torch.nn.Module):
    """What a miscompiled network was seen to do: the right output, and no gradient inside."""

    def __init__(self, net: torch.nn.Module, **_) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args):
        out = self.net(*args).detach()
        return out + 0 * sum(p.sum() for p in self.net.head.parameters())


class Same(torch.nn.Module):
    """A wrapper that changes nothing."""

    def __init__(self, net: torch.nn.Module, **_) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args):
        return self.net(*args)


@pytest.fixture
def net():
    return Inner(UNet2DModel(**unet_config((16, 16, 32, 32), 0)), 2)


def forward(net: Inner, compile: bool | None) -> torch.nn.Module:
    settings = Settings(
        Path(), Path(), channels=(16, 16, 32, 32), level=2, batch=2, skip_exchange=0.7,
        compile=compile,
    )  # fmt: skip
    alpha_bar = DDPMScheduler(**SCHEDULER).alphas_cumprod
    return compiled.forward_of(net, level_noise(alpha_bar, 2), settings)


def test_a_wrong_gradient_is_refused_where_compiling_was_asked_for(net, monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", Deaf)
    with pytest.raises(RuntimeError, match="--no-compile"):
        forward(net, True)
    monkeypatch.setattr(torch, "compile", Same)  # control
    with caplog.at_level(logging.INFO):
        assert isinstance(forward(net, True), Same)
    same, of = caplog.text.split("compiled: ")[1].split(" gradients")[0].split(" of ")
    assert same == of  # the two are reported


def test_the_default_goes_on_without_compiling_and_says_so(net, monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", Deaf)
    monkeypatch.setattr(compiled, "half_precision", lambda device: False)
    assert forward(net, None) is net  # no bfloat16: never tried
    monkeypatch.setattr(compiled, "half_precision", lambda device: True)
    with caplog.at_level(logging.WARNING):
        assert forward(net, None) is net
    assert "wrong gradient" in caplog.text
    assert forward(net, False) is net


def test_a_compiler_that_fails_stops_only_those_who_asked_for_it(net, monkeypatch, caplog):
    def broken(*_, **__):
        raise OSError("no compiler here")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(compiled, "half_precision", lambda device: True)
    with caplog.at_level(logging.WARNING):
        assert forward(net, None) is net
    assert "no compiler here" in caplog.text
    with pytest.raises(OSError, match="no compiler here"):
        forward(net, True)


def test_gradients_are_the_same_up_to_rounding():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(50, generator=generator) for _ in range(40)]
    rounded = [g.bfloat16().float() for g in ours]
    assert compiled.same_gradient(ours, rounded)
    assert compiled.same_gradient([*ours, None], [*rounded, None])  # a weight without a gradient
    lost = [None if k < 4 else g for k, g in enumerate(ours)]
    assert not compiled.same_gradient(ours, lost)
    turned = [-g if k < 4 else g for k, g in enumerate(ours)]
    assert not compiled.same_gradient(ours, turned)
