"""The judge against the truth: held-out portraits whose factors are known."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

import hsem


@pytest.fixture(scope="module")
def held() -> tuple[hsem.datasets.Portraits, torch.Tensor, tuple[str, ...]]:
    portraits, judge = hsem.datasets.portraits(), hsem.classifier.load()
    with torch.no_grad():
        return portraits, judge(portraits.images), judge.names


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("yaw", 0.9), ("roll", 0.9), ("skin_tone", 0.9), ("light_azimuth", 0.9),
        ("gender", 0.8), ("smile", 0.75), ("mouth_open", 0.8), ("beard", 0.8), ("age", 0.5),
    ],
)  # fmt: skip
def test_numbers(held: tuple, name: str, least: float) -> None:
    portraits, scores, names = held
    truth, column = portraits[name], scores[:, names.index(name)]
    assert r2_score(truth, column) > least
    assert r2_score(truth, column.roll(1)) < 0  # control: the neighbour's portrait


@pytest.mark.parametrize("name", ["glasses", "sunglasses", "hat"])
def test_probabilities(held: tuple, name: str) -> None:
    portraits, scores, names = held
    p = scores[:, names.index(name)]
    assert float(p.min()) >= 0 and float(p.max()) <= 1
    assert roc_auc_score(portraits[name], p) > 0.99
    assert 0.35 < roc_auc_score(portraits[name], p.roll(1)) < 0.65


def test_mirroring_turns_the_head_the_other_way(held: tuple) -> None:
    portraits, scores, names = held
    judge = hsem.classifier.load()
    with torch.no_grad():
        mirrored = judge(portraits.images.flip(-1))
    k = names.index("yaw")
    assert torch.corrcoef(torch.stack([scores[:, k], mirrored[:, k]]))[0, 1] < -0.9


def test_shape_is_checked() -> None:
    with pytest.raises(ValueError, match=r"\(n, 3, 64, 64\)"):
        hsem.classifier.load()(torch.zeros(1, 3, 32, 32))
