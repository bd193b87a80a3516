"""The measures of samples, where the answer is known."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

import hsem
from hsem.evaluation.targets import TARGETS
from hsem.recipes.parts import Parts
from portraits.evaluate import sweep
from portraits.evaluate.measures import (
    frechet_distance,
    kolmogorov_smirnov,
    nearest,
    quantise,
    real_or_fake,
    spread,
)
from portraits.evaluate.report import markdown, stored, table
from portraits.evaluate.samples import draw, file_name

DRAW = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DRAW)


def test_narrow_samples_are_noticed_by_spread_and_distance() -> None:
    real, same, narrow = normal(4000, 3), normal(4000, 3), 0.5 * normal(4000, 3)
    assert spread(narrow, real) == pytest.approx([0.5] * 3, abs=0.03)
    assert spread(same, real) == pytest.approx([1.0] * 3, abs=0.05)  # control
    # for N(0, 1) and N(0, 1/4) the largest gap of the distribution functions is 0.1615
    assert kolmogorov_smirnov(real, narrow) == pytest.approx([0.1615] * 3, abs=0.025)
    assert max(kolmogorov_smirnov(real, same)) < 0.04


def test_frechet_distance_of_shifted_gaussians() -> None:
    a, b = normal(20_000, 2), normal(20_000, 2) + torch.tensor([3.0, 0.0])
    assert frechet_distance(a, b) == pytest.approx(9.0, abs=0.2)
    assert frechet_distance(a, normal(20_000, 2)) < 0.01


def test_frechet_distance_with_a_channel_that_never_answers() -> None:
    """Against scipy's matrix square root of the rest: the product of both is singular."""
    a, b = normal(500, 3), 2 * normal(400, 3) + 1
    x, y = (np.cov(each.numpy(), rowvar=False) for each in (a, b))
    gap = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = gap + np.trace(x + y - 2 * np.real(sqrtm(x @ y)))
    silent = [torch.cat([each, torch.zeros(len(each), 1)], dim=1) for each in (a, b)]
    assert frechet_distance(*silent) == pytest.approx(expected, rel=1e-6)


def test_a_small_network_tells_what_can_be_told() -> None:
    smooth = normal(300, 3, 8, 8).repeat_interleave(8, -1).repeat_interleave(8, -2)
    rough = normal(300, 3, 64, 64)
    assert real_or_fake(smooth, rough) > 0.95
    assert 0.3 < real_or_fake(smooth[:150], smooth[150:]) < 0.7  # control: nothing to tell


def test_a_copy_is_nearest_to_its_model() -> None:
    bank = normal(50, 3, 64, 64).clamp(-1, 1)
    distance, index = nearest(bank[[7, 3]] + 0.01, bank)
    assert index[:, 0].tolist() == [7, 3]
    assert distance[:, 0].max() < 0.02 < distance[:, 1].min()


def test_samples_are_rounded_as_files_are() -> None:
    x = quantise(normal(4, 3, 8, 8))
    assert x.abs().max() <= 1
    assert torch.allclose((x + 1) * 127.5, ((x + 1) * 127.5).round(), atol=1e-4)


def test_the_table_says_what_is_short() -> None:
    good = {
        "ks": 0.05, "spread": 0.9, "frechet": 10.0, "told": 0.7, "nearest": 1.0,
        "exchange": 0.5, "handles": 8.0, "smile": (6.0, 8), "mouth": (6.0, 8),
    }  # fmt: skip
    text = table({"one": good, "two": {**good, "frechet": 70.0}, "three": {"ks": None}})
    assert text.count("short") == 1
    assert len(text.splitlines()) == 1 + len(TARGETS)


def test_the_model_card_shows_what_is_stored() -> None:
    root = Path(__file__).resolve().parents[2]
    card, columns = (root / "portraits/MODEL_CARD.md").read_text(encoding="utf-8"), stored()
    assert markdown(*columns) in card
    better = {**columns[0], "portraits-64": {**columns[0]["portraits-64"], "ks": 0.01}}
    assert markdown(better, columns[1]) not in card  # control


def test_each_setting_has_a_file_of_its_own() -> None:
    assert file_name() == file_name(20, 0.0) == "evaluation.json"
    names = {file_name(steps, eta) for steps in (10, 20) for eta in (0.0, 0.5, 1.0)}
    assert len(names) == 6 and "evaluation-eta1.json" in names


def test_a_sweep_keeps_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path / "cache"))
    model = hsem.tiny_unet()
    own = torch.Generator().manual_seed(1)  # whatever other tests have drawn
    held = torch.randint(0, 256, (30, 3, 64, 64), generator=own, dtype=torch.uint8)
    monkeypatch.setattr(sweep.hsem, "load", lambda *a, **k: model)
    monkeypatch.setattr(sweep, "load_images", lambda data, split: held)
    big = torch.nn.functional.interpolate
    monkeypatch.setattr(
        sweep,
        "draw",
        lambda *args: (big(draw(*args)[0], size=64), 1.0),  # the judge reads 64 pixels
    )
    sweep.sweep(str(tmp_path), tmp_path, 6, [2, 3], [0.0, 1.0])
    found = json.loads((tmp_path / sweep.NAME).read_text())
    assert [(r["steps"], r["eta"]) for r in found["settings"]] == [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert len({(r["ks"], r["spread"]) for r in found["settings"]}) == 4
    assert found["as_many_real"]["ks"] < min(r["ks"] for r in found["settings"])
    assert found["settings"][0]["frechet"] is None  # six samples have no covariance
    assert not list((tmp_path / "cache").rglob("*.safetensors"))  # tidied


# Evaluates the tiny network of the tests; dies by SIGKILL as it writes part number `last`.
RUNNER = """
import os, signal, sys
from pathlib import Path
from portraits.evaluate import samples
out, last = Path(sys.argv[1]), int(sys.argv[2])
import hsem, torch
model = hsem.tiny_unet()
from hsem.recipes import parts
samples.hsem.load = lambda *a, **k: model
samples.load_images = lambda folder, split: torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
samples.measure = lambda fake, real, train: {"sum": fake.double().sum().item(), "n": len(fake)}
count, save = 0, parts.save_tensors
def counted(*args):
    global count
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    save(*args)
parts.save_tensors = counted
samples.evaluate(str(out), out, 250, 2, 1.0, None)
print(count)
"""


def evaluate(out: Path, last: int) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", RUNNER, str(out), str(last)]
    env = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    env["HSEM_CACHE"] = str(out.parent / "cache")
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_killed_and_started_again(tmp_path: Path) -> None:
    whole, broken, cache = tmp_path / "whole", tmp_path / "broken", tmp_path / "cache"
    assert evaluate(whole, 0).stdout.strip() == "3"
    assert not list(cache.rglob("*.safetensors"))  # tidied
    of_others = Parts("evaluation", hsem.tiny_unet(1), steps=2, eta=1.0)
    of_others.folder = cache / "parts" / of_others.folder.name
    of_others("images/0", lambda: torch.zeros(1))
    assert [evaluate(broken, 2).returncode for _ in range(2)] == [-signal.SIGKILL] * 2
    assert len(list(cache.rglob("*.safetensors"))) == 3 and not list(broken.rglob("*.json"))
    assert evaluate(broken, 0).stdout.strip() == "1"  # only what was missing
    written = file_name(steps=2, eta=1.0)
    one, two = (json.loads((f / written).read_text()) for f in (whole, broken))
    passing = {"date", "seconds_for_the_samples"}
    assert {k: v for k, v in one.items() if k not in passing} == {
        k: v for k, v in two.items() if k not in passing
    }
    assert [p.parent for p in cache.rglob("*.safetensors")] == [of_others.folder]


def test_samples_of_other_settings_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    model = hsem.tiny_unet()

    def drawn(steps: int) -> torch.Tensor:
        return draw(Parts("evaluation", model, steps=steps), model, 3, steps, 0.0)[0]

    first = drawn(2)
    assert torch.equal(drawn(2), first)
    assert not torch.equal(drawn(3), first)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
