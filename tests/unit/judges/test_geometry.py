"""The geometric judge: plane geometry on drawn faces, and its network against true parts.

`parts.npz` holds which part each of 192x192 pixels shows, for the first 64 portraits of the
package, as the renderer draws it (`python -m portraits.dataset.parts --package 64`).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import hsem
from hsem import classifier, geometry
from hsem.evaluation.effects import edited_scores
from hsem.judges.geometry import NAMES, PARTS, PortraitGeometry, measure, seen
from hsem.judges.scorers import join, scores_of

TRUE_PARTS = Path(__file__).with_name("parts.npz")
FACTOR = {
    "mouth_opening": "mouth_open", "mouth_curve": "smile", "eye_opening": "eye_open",
    "brow_height": "brow_raise", "head_turn": "yaw",
}  # fmt: skip


# ----------------------------------------------------------------------------------- plane geometry


def face(
    opening: float = 0, curve: float = 0, width: float = 12, eye: float = 3, brow: float = 6,
    turn: float = 0, roll: float = 0, shift: tuple[float, float] = (0, 0),
) -> Tensor:  # fmt: skip
    """Parts (1, 13, 64, 64) of a face of bars, drawn four times as fine; lengths in pixels."""
    fine = 4
    axis = (torch.arange(64 * fine) + 0.5) / fine - 32
    down, right = torch.meshgrid(axis - shift[1], axis - shift[0], indexing="ij")
    angle = torch.deg2rad(torch.tensor(roll))
    x = right * angle.cos() + down * angle.sin()
    y = down * angle.cos() - right * angle.sin()
    parts = torch.zeros(len(PARTS), 64 * fine, 64 * fine)

    def put(name: str, where: Tensor) -> None:
        parts[:, where] = 0
        parts[PARTS.index(name), where] = 1

    put("skin", x.square() + y.square() < 28**2)
    across = x.abs() < width / 2
    bent = y - 14 + curve * ((2 * x / width) ** 2 - 0.5)  # the ends lie `curve` above the middle
    put("upper_lip", across & (bent > -3) & (bent <= -1))
    put("mouth", across & (bent > -1) & (bent <= -1 + opening))
    put("lower_lip", across & (bent > -1 + opening) & (bent <= 1 + opening))
    for side in (-9, 9):
        near = (x - side).abs()
        put("lids", (near < 4) & ((y + 6).abs() < 3))
        put("eyes", (near < 4) & ((y + 6).abs() < eye / 2))
        put("brows", (near < 5) & ((y + 6 + brow).abs() < 1))
    put("nose", ((x - turn).abs() < 2) & ((y - 3).abs() < 4))
    return torch.nn.functional.avg_pool2d(parts[None], fine)


def of(parts: Tensor) -> dict[str, float]:
    return dict(zip(NAMES, measure(parts)[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "how", "value", "tolerance"),
    [
        ("mouth_opening", {"opening": 2.5}, 2.5, 0.1),
        ("mouth_curve", {"curve": 2.0}, 2.0, 0.1),
        ("mouth_curve", {"curve": -1.5}, -1.5, 0.1),
        ("mouth_curve", {"curve": 2.0, "opening": 3.0}, 2.0, 0.1),
        ("mouth_width", {"width": 16}, 16, 0.1),
        ("eye_opening", {"eye": 1.5}, 1.5, 0.1),
        ("eye_opening", {"eye": 0.0}, 0.0, 0.01),
        ("brow_height", {"brow": 8.0}, 8.0, 0.1),
        ("head_turn", {"turn": 3.0}, 3.0, 0.1),
        ("head_turn", {"turn": -3.0}, -3.0, 0.1),
    ],
)
def test_lengths_that_were_drawn_are_measured(name, how, value, tolerance) -> None:
    assert of(face(**how))[name] == pytest.approx(value, abs=tolerance)
    plain, changed = of(face()), of(face(**how))
    assert set(how) & {"opening", "width"} or all(  # control: the other measures stay
        changed[other] == pytest.approx(plain[other], abs=0.15) for other in NAMES if other != name
    )


def test_where_a_face_is_and_how_it_is_tilted_does_not_matter() -> None:
    drawn = {"opening": 2.0, "curve": 1.5, "turn": 2.0}
    straight = of(face(**drawn))
    for moved in ({"shift": (4, -3)}, {"roll": 8.0}, {"roll": -8.0}):
        assert of(face(**drawn, **moved)) == pytest.approx(straight, abs=0.6)


def test_a_mirrored_face_turns_the_other_way() -> None:
    parts = face(opening=2.0, curve=1.5, turn=3.0)
    one, other = of(parts), of(parts.flip(-1))
    assert other.pop("head_turn") == pytest.approx(-one.pop("head_turn"))
    assert other == pytest.approx(one)


def test_a_dropped_jaw_is_no_smile() -> None:
    """Why the curve is that of the upper lip: through both lips an open mouth would smile."""
    parts = face(curve=0.0)
    rows = torch.arange(64)[:, None] - 31.5
    columns = torch.arange(64)[None] - 31.5
    jaw = (rows - 14 < 8 * (1 - (columns / 6) ** 2)) & (rows > 15) & (columns.abs() < 6)
    parts[0, :, jaw] = 0
    parts[0, PARTS.index("lower_lip"), jaw] = 1
    assert of(parts)["mouth_curve"] == pytest.approx(0, abs=0.1)
    both = parts.clone()  # control: the lower lip taken for a part of the upper
    both[:, PARTS.index("upper_lip")] += both[:, PARTS.index("lower_lip")]
    assert of(both)["mouth_curve"] > 1


def test_answers_are_finite_and_say_what_was_seen() -> None:
    nothing = torch.zeros(2, len(PARTS), 64, 64)
    nothing[:, 0] = 1
    assert measure(nothing).isfinite().all() and not seen(nothing).any()
    assert seen(face()).all()
    hidden = face()
    hidden[:, PARTS.index("brows")] = 0
    assert (~seen(hidden)[0]).nonzero().flatten().tolist() == [NAMES.index("brow_height")]


@pytest.mark.parametrize("parts", [torch.zeros(1, 3, 64, 64), torch.zeros(1, 13, 64, 64).int()])
def test_other_masks_are_refused(parts: Tensor) -> None:
    with pytest.raises(ValueError, match=r"parts must be \(n, 13, H, W\), shares of background"):
        measure(parts)


# ----------------------------------------------------------------------- the network and the truth


@pytest.fixture(scope="module")
def judge() -> PortraitGeometry:
    return geometry.load()


@pytest.fixture(scope="module")
def truth() -> Tensor:
    """True shares (64, 13, 64, 64)."""
    with np.load(TRUE_PARTS) as file:
        index = torch.from_numpy(file["parts"].astype(np.int64))
    shares = torch.nn.functional.one_hot(index, len(PARTS)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.avg_pool2d(shares, 3)


@pytest.fixture(scope="module")
def found(judge: PortraitGeometry, truth: Tensor) -> Tensor:
    return judge.parts(hsem.datasets.portraits().images[: len(truth)])


def overlap(a: Tensor, b: Tensor, name: str) -> float:
    one, other = (m.argmax(dim=1) == PARTS.index(name) for m in (a, b))
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("background", 0.95), ("skin", 0.85), ("upper_lip", 0.6), ("lower_lip", 0.6),
        ("mouth", 0.6), ("eyes", 0.5), ("lids", 0.5), ("brows", 0.7), ("nose", 0.8),
        ("hair", 0.85), ("hat", 0.85), ("glasses", 0.5), ("clothes", 0.8),
    ],
)  # fmt: skip
def test_parts_are_found(found: Tensor, truth: Tensor, name: str, least: float) -> None:
    assert overlap(found, truth, name) > least
    assert overlap(found, truth.roll(1, 0), name) < least - 0.1  # control: the neighbour's parts


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_those_of_the_true_parts(found: Tensor, truth: Tensor, name: str) -> None:
    k, shown = NAMES.index(name), seen(truth)[:, NAMES.index(name)]
    assert shown.sum() > 50
    one, other = measure(found)[:, k], measure(truth)[:, k]
    assert correlation(one[shown], other[shown]) > 0.85
    shuffled = truth.roll(7, 0)  # control: other people's masks
    assert abs(correlation(one, measure(shuffled)[:, k])) < 0.4


@pytest.mark.parametrize(
    ("name", "least"), [*zip(FACTOR, (0.9, 0.75, 0.6, 0.55, 0.9), strict=True)]
)
def test_measures_follow_factors_that_no_one_told_it(judge, name: str, least: float) -> None:
    """People differ in the height of their brows and the size of their eyes, so not perfectly."""
    portraits = hsem.datasets.portraits()
    column = scores_of(judge, portraits.images)[:, NAMES.index(name)]
    factor = portraits[FACTOR[name]].double()
    assert correlation(column, factor) > least
    assert abs(correlation(column, factor.roll(1))) < 0.2  # control


@pytest.mark.parametrize(
    ("expression", "name", "sign"),
    [
        ("happiness", "mouth_curve", 1), ("sadness", "mouth_curve", -1),
        ("surprise", "mouth_opening", 1), ("surprise", "brow_height", 1),
        ("anger", "brow_height", -1),
    ],
)  # fmt: skip
def test_faces_that_people_make(judge, expression: str, name: str, sign: int) -> None:
    """The same person with another face: what the edits of the book do, with the answer known."""
    pictures = hsem.datasets.expressions()
    rows = [rows[:40] for rows in hsem.expression_pairs(pictures, expression)]
    after, before = (scores_of(judge, pictures.images[list(r)])[:, NAMES.index(name)] for r in rows)
    change = sign * (after - before) / judge.spread[NAMES.index(name)]
    assert change.mean() > 0.5 and (change > 0).double().mean() > 0.85
    strangers = sign * (before.roll(1) - before)  # control: someone else, no expression
    assert abs(strangers.mean()) < 0.05


def test_what_fools_a_classifier_moves_no_mouth(judge: PortraitGeometry) -> None:
    """A change along the gradient of the second judge's smile, at most 5 of 255 levels."""
    mark = classifier.load(classifier.SECOND)
    images = hsem.datasets.portraits().images[:16]
    smile, x = mark.names.index("smile"), images.clone()
    for _ in range(10):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(mark.raw(x)[:, smile].sum(), x)
        x = (x + 0.004 * gradient.sign()).detach()
    with torch.no_grad():
        gain = float((mark.raw(x) - mark.raw(images))[:, smile].mean())
        moved = (judge(x) - judge(images))[:, NAMES.index("mouth_curve")].mean()
    assert gain > 3  # standard deviations
    assert float(moved) / float(judge.spread[NAMES.index("mouth_curve")]) < gain / 5


# ---------------------------------------------------------------------------------------- a scorer


def test_it_is_a_scorer_like_the_others(judge: PortraitGeometry) -> None:
    images = hsem.datasets.portraits().images[:5]
    together = scores_of(join(judge, classifier.load()), images)
    assert together.shape == (5, len(NAMES) + len(classifier.load().names))
    pairs = scores_of(judge, images, batch_size=2)
    torch.testing.assert_close(together[:, : len(NAMES)], pairs, atol=1e-4, rtol=1e-4)
    model = hsem.load()
    steps = model.schedule(2).timesteps
    assert edited_scores(model, judge, [1, 2], steps, None).isfinite().all()
    noise = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert scores_of(judge, noise).isfinite().all()


def test_shares_add_up(found: Tensor) -> None:
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found), 64, 64))


def test_other_sizes_are_refused(judge: PortraitGeometry) -> None:
    with pytest.raises(ValueError, match=r"\(n, 3, 64, 64\)"):
        judge(torch.zeros(1, 3, 32, 32))


def test_it_is_small_and_frozen(judge: PortraitGeometry) -> None:
    assert sum(p.numel() for p in judge.parameters()) < 300_000
    assert (geometry.FOLDER / "model.safetensors").stat().st_size < 700_000
    assert not judge.training and not any(p.requires_grad for p in judge.parameters())


def test_it_comes_back_from_a_file(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = PortraitGeometry((8, 8, 16), metrics={"held_out": 3}).eval()
    net.save(tmp_path)
    again, x = geometry.load(tmp_path), hsem.datasets.portraits().images[:4]
    assert again.widths == (8, 8, 16) and again.metrics == {"held_out": 3}
    torch.testing.assert_close(again.parts(x), net.parts(x).detach(), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("widths", [16, 24]),
        ("parts", ["skin"]),
        ("names", ["smile"]),
        ("spread", [1.0]),
        ("spread", 1),
    ],
)
def test_a_card_that_does_not_fit_is_refused(judge, tmp_path: Path, key: str, value) -> None:
    judge.save(tmp_path)
    card = json.loads((tmp_path / "geometry.json").read_text())
    (tmp_path / "geometry.json").write_text(json.dumps({**card, key: value}))
    with pytest.raises(OSError, match="not the folder of a geometric judge"):
        geometry.load(tmp_path)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1])
