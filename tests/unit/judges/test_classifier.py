"""The judges against the truth: held-out portraits whose factors are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

import hsem
from hsem import classifier

FOLDERS = {"first": classifier.FOLDER, "second": classifier.SECOND}


@pytest.fixture(scope="module", params=FOLDERS)
def held(request) -> tuple[hsem.datasets.Portraits, torch.Tensor, tuple[str, ...]]:
    portraits, judge = hsem.datasets.portraits(), classifier.load(FOLDERS[request.param])
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


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_mirroring_turns_the_head_the_other_way(folder: Path) -> None:
    portraits, judge = hsem.datasets.portraits(), classifier.load(folder)
    names = judge.names
    with torch.no_grad():
        scores, mirrored = judge(portraits.images), judge(portraits.images.flip(-1))
    k = names.index("yaw")
    assert torch.corrcoef(torch.stack([scores[:, k], mirrored[:, k]]))[0, 1] < -0.9


def test_shape_is_checked() -> None:
    with pytest.raises(ValueError, match=r"\(n, 3, 64, 64\)"):
        hsem.classifier.load()(torch.zeros(1, 3, 32, 32))


def test_the_judges_are_two() -> None:
    """Other layers, other weights, the same attributes in the same units."""
    one, two = (classifier.load(folder) for folder in FOLDERS.values())
    assert one.names == two.names and torch.equal(one.spread, two.spread)
    assert one.kind != two.kind and one.state_dict().keys() != two.state_dict().keys()


@pytest.mark.parametrize(("fooled", "other"), [("first", "second"), ("second", "first")])
def test_what_fools_one_judge_does_not_convince_the_other(fooled: str, other: str) -> None:
    """Why there are two: a change that follows the gradient of a judge pleases that judge alone."""
    mark, witness = classifier.load(FOLDERS[fooled]), classifier.load(FOLDERS[other])
    images = hsem.datasets.portraits().images[:16]
    smile = mark.names.index("smile")
    x = images.clone()
    for _ in range(10):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(mark.raw(x)[:, smile].sum(), x)
        x = (x + 0.004 * gradient.sign()).detach()
    with torch.no_grad():
        gain, echo = (float((j.raw(x) - j.raw(images))[:, smile].mean()) for j in (mark, witness))
    assert gain > 3  # standard deviations, by a change that nobody sees: at most 5 of 255 levels
    assert abs(echo) < gain / 3  # patterns that fool one network fool others a little


@pytest.mark.parametrize("kind", classifier.KINDS)
def test_each_kind_comes_back_from_a_file(kind: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attributes = classifier.load().attributes
        net = classifier.PortraitClassifier(attributes, width=8, kind=kind).eval()
    net.save(tmp_path)
    x = hsem.datasets.portraits().images[:4]
    again = classifier.load(tmp_path)
    assert again.kind == kind
    torch.testing.assert_close(again(x), net(x).detach(), atol=0.05, rtol=0.02)  # 16 bits
    assert len(again.statistics(x)[0]) > 8


def test_two_attributes_of_one_name_are_refused() -> None:
    yaw = classifier.load().attributes[0]
    with pytest.raises(ValueError, match="names of a scorer must be different"):
        classifier.PortraitClassifier((yaw, yaw), width=2)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kind must be one of plain, residual, got 'vit'"):
        classifier.PortraitClassifier(classifier.load().attributes, kind="vit")
