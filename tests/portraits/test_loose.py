"""SM H with known factors: the measurement runs for two networks, and stores what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import hsem
from hsem import results
from portraits.evaluate import loose
from portraits.train.classifier import TARGETS, begun
from portraits.train.placement import PLACEMENT

N, STEPS = 24, 3


def reader(*names: str) -> hsem.classifier.PortraitClassifier:
    attributes = tuple(hsem.classifier.Attribute(name, "", 0.0, 1.0) for name in names)
    return hsem.classifier.PortraitClassifier(attributes).eval()


def test_scores_and_factors_of_both_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    model, asked = hsem.load(device="cpu"), []
    monkeypatch.setattr(hsem, "load", lambda name, **_: asked.append(name) or model)
    out = tmp_path / "loose.safetensors"
    options = ["--judge", hsem.classifier.FOLDER, "--n", N, "--steps", STEPS, "--out", out]
    loose.main(["aligned=one", "loose=two", *map(str, options)])
    assert asked == ["one", "two"]
    assert {"all", "person", "shuffled"} <= set(capsys.readouterr().out.split())
    stored, judge = results.load(out, model), hsem.classifier.load()
    assert stored.provenance["columns"] == list(judge.names)
    run = hsem.sample(model, range(N), steps=STEPS, eta=1.0, progress=False)
    assert run.h_seq is not None
    h = run.h_seq.flatten(1).double()
    # against a decomposition of all samples at once: scores along the leading component, up to sign
    u, s, _ = torch.linalg.svd(h - h.mean(0), full_matrices=False)
    for name in ("aligned", "loose"):
        both = torch.stack([u[:, 0] * s[0], stored[f"{name}/scores"][:, 0].double()])
        assert abs(torch.corrcoef(both)[0, 1]) > 0.999
        share = float(s[0] ** 2 / s.square().sum())
        assert float(stored[f"{name}/explained"][0]) == pytest.approx(share, rel=0.01)
        factors = judge(run.images.clamp(-1, 1))
        assert stored[f"{name}/factors"].shape == factors.shape
        torch.testing.assert_close(stored[f"{name}/factors"].float(), factors, rtol=0.01, atol=0.02)
        pictures = stored[f"{name}/strips"]
        assert pictures.dtype == torch.uint8
        assert tuple(pictures.shape) == (5, 3, 2, 3, 64, 64)
        assert not torch.equal(pictures[:, 0], pictures[:, 2])  # an edit edits


@pytest.mark.parametrize("given", [["one"], ["=one"], ["a="], ["a=one", "a=two"]])
def test_networks_have_names(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        loose.main([*given, "--judge", "x", "--out", "y.safetensors"])
    assert "networks must be NAME=MODEL" in capsys.readouterr().err


def test_placement_is_told_from_the_person() -> None:
    draw = torch.Generator().manual_seed(0)
    factors = torch.randn(300, 2, generator=draw)
    scores = factors[:, 1:] + 0.1 * torch.randn(300, 1, generator=draw)  # where, and not who
    found = {k: float(v.split()[0].replace("−", "-")) for k, v in loose.report(
        scores, factors, ("age", "shift_x")
    ).items()}  # fmt: skip
    assert found["all"] > 0.95 and found["placement"] > 0.95
    assert abs(found["person"]) < 0.05 and abs(found["shuffled"]) < 0.05


def test_a_classifier_of_moved_portraits_begins_as_the_one_given() -> None:
    before, after = reader(*TARGETS), reader(*TARGETS, *PLACEMENT)
    own = after.head.weight[-1].clone()
    after.load_state_dict(begun(after, before))
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(after.raw(images)[:, : len(TARGETS)], before.raw(images))
    assert torch.equal(after.head.weight[-1], own)  # what it does not know begins as it was
