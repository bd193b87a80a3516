"""Training with torch.compile only where that leaves the gradient as it was."""

from __future__ import annotations

import argparse
import logging

import pytest
import torch
from diffusers import DDPMScheduler

from portraits.train import run as training
from portraits.train.levels import level_noise


class Deaf(torch.nn.Module):
    """What a miscompiled network was seen to do: the right output, and no gradient inside."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args):
        out = self.net(*args).detach()
        return out + 0 * sum(p.sum() for p in self.net.head.parameters())


class Same(torch.nn.Module):
    """A wrapper that changes nothing."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args):
        return self.net(*args)


@pytest.fixture
def setting(tmp_path):
    args = argparse.Namespace(
        channels=[16, 16, 32, 32], attention=0, level=2, init=None, device="cpu", batch=2,
        optimizer="adamw", lr=1e-3, ema=0.9, compile=True, skip_dropout=0.0, skip_exchange=0.7,
    )  # fmt: skip
    alpha_bar = DDPMScheduler(**training.SCHEDULER).alphas_cumprod
    return training.Run(tmp_path / "run", args), level_noise(alpha_bar, 2), args


def test_a_wrong_gradient_is_refused_where_compiling_was_asked_for(setting, monkeypatch):
    run, level, args = setting
    monkeypatch.setattr(torch, "compile", Deaf)
    with pytest.raises(RuntimeError, match="--no-compile"):
        training.forward_of(run, level, args)
    monkeypatch.setattr(torch, "compile", Same)  # control
    assert isinstance(training.forward_of(run, level, args), Same)


def test_the_default_goes_on_without_compiling_and_says_so(setting, monkeypatch, caplog):
    run, level, args = setting
    args.compile = None
    monkeypatch.setattr(torch, "compile", Deaf)
    assert training.forward_of(run, level, args) is run.net  # no bfloat16: never tried
    monkeypatch.setattr(training, "half_precision", lambda device: True)
    with caplog.at_level(logging.WARNING):
        assert training.forward_of(run, level, args) is run.net
    assert "wrong gradient" in caplog.text
    args.compile = False
    assert training.forward_of(run, level, args) is run.net


def test_gradients_are_the_same_up_to_rounding():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(50, generator=generator) for _ in range(40)]
    rounded = [g.bfloat16().float() for g in ours]
    assert training.same_gradient(ours, rounded)
    assert training.same_gradient([*ours, None], [*rounded, None])  # a weight without a gradient
    lost = [None if k < 4 else g for k, g in enumerate(ours)]
    assert not training.same_gradient(ours, lost)
    turned = [-g if k < 4 else g for k, g in enumerate(ours)]
    assert not training.same_gradient(ours, turned)
