"""Swaps with the h of strangers and in parts of the steps, against edits written out by hand."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.recipes import swap


class Pixels:
    """A judge that reads the mean of each channel."""

    names, spread = ("red", "green", "blue"), torch.tensor([1.0, 2.0, 4.0])

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


@pytest.fixture(scope="module")
def model() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(seed=3)


@pytest.fixture(scope="module")
def found(model) -> dict[str, Tensor]:
    return swap.more(model, Pixels(), 4)


@pytest.fixture(scope="module")
def s2(model) -> Tensor:
    seeds = range(swap.SECOND, swap.SECOND + 4)
    return hsem.sample(model, seeds, steps=20, eta=0.0, progress=False).h_seq


def read(model: hsem.HSpaceUNet, edit, n: int = 4) -> Tensor:
    run = hsem.sample(model, range(n), steps=20, eta=0.0, edit=edit, progress=False, batch_size=n)
    return Pixels()(run.images.clamp(-1, 1)) / Pixels.spread


def test_a_stranger_has_the_norm_of_the_one_it_stands_for(model, found, s2) -> None:
    def by_hand(i: int, h: Tensor) -> Tensor:
        rows = []
        for k in range(4):
            stranger, own = s2[(k + 1) % 4, i], s2[k, i]
            rows.append(stranger / stranger.norm() * own.norm())
        return torch.stack(rows)

    torch.testing.assert_close(found["stranger"], read(model, by_hand), rtol=1e-4, atol=1e-5)
    itself = read(model, lambda i, h: s2[:, i])  # control: S2's own h is something else
    assert not torch.allclose(found["stranger"], itself, atol=1e-4)


def test_quarters_are_quarters(model, found, s2) -> None:
    steps = [i for k in range(4) for i in swap.quarter(k)]
    assert steps == list(range(20))
    for k in range(4):
        by_hand = read(model, lambda i, h, k=k: s2[:, i] if 5 * k <= i < 5 * k + 5 else h)
        torch.testing.assert_close(found["quarters"][k], by_hand, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found["quarters"][0], found["quarters"][1], atol=1e-4)  # control


def test_pictures_are_those_of_the_swap(model, found) -> None:
    pictures = found["pictures"].float() / 127.5 - 1
    plain = hsem.sample(model, range(4), steps=20, eta=0.0, progress=False).images.clamp(-1, 1)
    assert found["pictures"].dtype == torch.uint8 and pictures.shape[:2] == (3, 4)
    assert (pictures[0] - plain).abs().max() < 0.01
    assert (pictures[2] - plain).abs().max() > 0.01  # control: the third row is swapped


def test_an_older_file_keeps_its_scores_and_gets_the_rest(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path / "cache"))
    judge = SimpleNamespace(names=Pixels.names, spread=Pixels.spread)
    monkeypatch.setattr(swap, "judges_of", lambda m: (judge, Pixels()))
    words = ["--n", "2", "--output", str(tmp_path / "swap.safetensors")]
    args: argparse.Namespace = swap.parser().parse_args(words)
    swap.fill(args, model)
    whole = results.load(tmp_path / "swap.safetensors")
    assert set(whole.tensors) == {"ordinary", *(f"ordinary/{key}" for key in swap.MORE)}
    about = {k: v for k, v in whole.provenance.items() if k in ("n", "measured_by", "fingerprints")}
    marked = torch.full_like(whole["ordinary"], 7.0)
    results.save(
        args.output, model, {"ordinary": marked, "early": marked}, columns=list(judge.names),
        **{**about, "fingerprints": {**about["fingerprints"], "early": "gone"}},
    )  # fmt: skip
    swap.fill(args, model)
    again = results.load(args.output)
    assert torch.equal(again["ordinary"], marked)  # not computed again
    assert torch.equal(again["early"], marked) and "early/quarters" not in again.tensors
    for key in swap.MORE:
        assert torch.equal(again[f"ordinary/{key}"], whole[f"ordinary/{key}"])
    # control: of other weights, or another number of pairs, nothing is kept
    swap.fill(args, hsem.tiny_unet(seed=4))
    assert not torch.equal(results.load(args.output)["ordinary"], marked)
