"""The parts of faces: what a pixel is called, shares of pixels, and a judge trained on little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hsem
from hsem.judges.geometry import PARTS, SIDE
from portraits.dataset.parts import ENDS, SWEPT, parts_of, portraits, read
from portraits.renderer import studio
from portraits.renderer.factors import FACTORS
from portraits.train.geometry import FACTOR, loss_of, measured, shares, train

TRUE_PARTS = Path(__file__).parents[1] / "unit" / "judges" / "parts.npz"


def name_of(part: str, place: tuple[float, float, float]) -> str:
    index = np.array([[studio.PARTS.index(part)]])
    return PARTS[int(parts_of(index, np.array([[place]]))[0, 0])]


@pytest.mark.parametrize(
    ("part", "place", "name"),
    [
        ("skin", (0, 6.65, 1.58), "upper_lip"),
        ("skin", (0, 6.55, 1.56), "lower_lip"),
        ("skin", (0.05, 6.6, 1.2), "mouth"),  # its lining
        ("mouth", (0, 0, 0), "mouth"),  # teeth and tongue
        ("skin", (0, 6.40, 1.5), "skin"),  # the chin
        ("skin", (0.31, 7.26, 1.3), "lids"),
        ("eyes", (0.31, 7.26, 1.3), "eyes"),
        ("skin", (-0.3, 7.42, 1.4), "brows"),
        ("skin", (0, 6.9, 1.8), "nose"),
        ("hair", (0, 6.65, 1.58), "hair"),  # in front of a mouth, if need be
        ("background", (0, 0, 0), "background"),
    ],
)
def test_points_are_called_what_they_are(part, place, name) -> None:
    assert name_of(part, place) == name


def test_people_are_nobody_elses() -> None:
    of = {split: portraits(split, 0)[0] for split in ("parts", "held", "package")}
    assert len({p.age for p in of.values()}) == 3
    with np.load(TRUE_PARTS) as file:  # those of the package are the first of its portraits
        assert len(file["parts"]) == 64
    known = hsem.datasets.portraits()
    assert float(known["age"][0]) == pytest.approx(of["package"].age, rel=1e-6)


def test_ends_differ_in_one_factor() -> None:
    people = portraits("ends", 3)
    assert len(people) == ENDS
    for j, factor in enumerate(SWEPT):
        low, high = people[2 * j : 2 * j + 2]
        changed = {n for n in vars(low) if getattr(low, n) != getattr(high, n)}
        assert changed == {factor} and getattr(low, factor) < getattr(high, factor)


def test_factors_exist() -> None:
    assert set(FACTOR.values()) <= set(FACTORS) and set(FACTOR.values()) == set(SWEPT)


def test_shares_count_the_ninths_of_a_pixel() -> None:
    parts = np.zeros((1, 3 * SIDE, 3 * SIDE), np.uint8)
    parts[0, 3:6, 3:5] = PARTS.index("hat")
    found = shares(parts)
    assert found.shape == (1, len(PARTS), SIDE, SIDE)
    assert found[0, PARTS.index("hat"), 1, 1] == pytest.approx(6 / 9)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, SIDE, SIDE))
    assert found[0, 0].sum() == pytest.approx(SIDE * SIDE - 6 / 9)


def test_the_loss_is_least_at_the_truth() -> None:
    with np.load(TRUE_PARTS) as file:
        target = shares(file["parts"][:4])
    best = loss_of((target + 1e-6).log(), target)
    assert best < loss_of((target.roll(1, 0) + 1e-6).log(), target)
    assert best < loss_of((0.9 * target + 0.1 / len(PARTS)).log(), target)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The portraits of the package in the place of people of their own."""
    known = hsem.datasets.portraits()
    with np.load(TRUE_PARTS) as file:
        parts = file["parts"]
    images = ((known.images[:64].permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    for split, rows in (("parts", slice(0, 44)), ("held", slice(44, 64)), ("ends", slice(0, 20))):
        content = {"images": images[rows], "parts": parts[rows]}
        content["labels"] = known.labels[:64].numpy()[rows]
        np.savez(tmp_path / f"{split}_000000.npz", **content)
    return tmp_path


@pytest.mark.slow
def test_training_learns_and_measures(data: Path) -> None:
    net = train(data, epochs=40, batch=8, seed=1)
    iou = net.metrics["IoU"]
    assert iou["background"] > 0.8 and iou["skin"] > 0.6
    assert net.metrics["mouth_curve"]["factor"] == "smile"
    assert set(net.metrics["ends"]) == {"people", *SWEPT}
    shuffled = read(data, "held")
    np.savez(data / "held_000000.npz", **{**shuffled, "parts": np.roll(shuffled["parts"], 1, 0)})
    control = measured(net, data).metrics["IoU"]
    assert control["skin"] < iou["skin"] - 0.1


def test_a_folder_without_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no parts_\*.npz; draw them with"):
        read(tmp_path, "parts")
