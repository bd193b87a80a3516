"""The rule for "short", and the rows about handles, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsem.evaluation import targets
from hsem.evaluation.targets import HANDLES, TARGETS
from hsem.judges import classifier
from hsem.results import Results

DRAW = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DRAW)


def test_short_is_beyond_the_goal_and_nothing_else() -> None:
    ks, spread, smile = TARGETS["ks"], TARGETS["spread"], TARGETS["smile"]
    assert [ks.short(x) for x in (0.09, 0.10, 0.11, None)] == [False, False, True, None]
    assert [spread.short(x) for x in (0.84, 0.85, 0.99)] == [True, False, False]
    assert [smile.short(x) for x in ((6.0, 8), (6.0, 7), (4.0, 8))] == [False, True, True]
    assert smile.asked == "≥ 5×, 8 of 8" and smile.said((27.2, 6)) == "27×, 6 of 8"
    assert ks.asked == "≤ 0.10" and ks.said(None) == "–"


def test_what_is_printed_does_not_contradict_what_is_said() -> None:
    for name in ("portraits-64", "portraits-64-obeys"):
        for key, value in targets.quality(name).items():
            if isinstance(value, float):
                said = TARGETS[key].said(value).rstrip("%")
                shown = float(said) / (100 if TARGETS[key].form.endswith("%") else 1)
                assert TARGETS[key].short(shown) == TARGETS[key].short(value), (name, key)


def test_exchange_of_scores_that_were_mixed_on_purpose() -> None:
    s1, s2 = normal(200, 3), normal(200, 3)
    child = 0.7 * s2 + 0.3 * s1 + 0.1 * normal(200, 3)
    other = 0.7 * s1 + 0.3 * s2 + 0.1 * normal(200, 3)
    columns = ["a", "b", "sunglasses"]
    scores = torch.stack([s1, s2, child, other, s1, s1])
    assert targets.exchange(scores, columns) == pytest.approx(0.7, abs=0.02)
    nothing = torch.stack([s1, s2, s1, s2, s1, s1])  # control: the noise keeps all
    assert targets.exchange(nothing, columns) == pytest.approx(0.0, abs=1e-6)
    # sunglasses, which hardly anybody wears, are not counted
    scores[2:4, :, 2] = 0
    assert targets.exchange(scores, columns) == pytest.approx(0.7, abs=0.02)
    # against numpy's own least squares
    x = np.stack([s1[:, 0], s2[:, 0], np.ones(200)], 1)
    alone = np.linalg.lstsq(x, child[:, 0].numpy(), rcond=None)[0][1]
    back = np.linalg.lstsq(x[:, [1, 0, 2]], other[:, 0].numpy(), rcond=None)[0][1]
    assert targets.exchange(scores[:, :, :1], ["a"]) == pytest.approx((alone + back) / 2, abs=1e-5)


def test_handles_that_are_short_or_not_monotone_do_not_pass() -> None:
    judge = classifier.load(classifier.SECOND)
    columns = list(judge.names)
    scales = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])

    def curve(name: str, slope: float) -> torch.Tensor:
        k = columns.index(name)
        found = normal(1, 64, len(columns)) * judge.spread * 0.1
        found = found.repeat(5, 1, 1)
        found[:, :, k] += slope * judge.spread[k] * scales[:, None]
        return found

    curves = {f"curve/{name}": curve(name, 0.5) for name in HANDLES}  # 2 sd from end to end
    about = {"columns": columns, "fingerprint": "x"}
    assert targets.passing(Results("named", curves, {}, about)) == 8
    weak = {**curves, "curve/age": curve("age", 0.3)}
    assert targets.passing(Results("named", weak, {}, about)) == 7
    more = Results("named-mouth", {"curve/age": curve("age", 0.5)}, {}, about)
    assert targets.passing(Results("named", weak, {}, about), more) == 8  # a second try
    more = Results("named-mouth", {"curve/age": curve("age", 0.3)}, {}, about)
    assert targets.passing(Results("named", weak, {}, about), more) == 7
    bent = curve("age", 0.5)
    bent[1, :, columns.index("age")] = bent[4, :, columns.index("age")]
    assert targets.passing(Results("named", {**curves, "curve/age": bent}, {}, about)) == 7
    del curves["curve/hat"]
    assert targets.passing(Results("named", curves, {}, about)) is None


def test_beyond_chance_counts_people() -> None:
    def pair(pushed: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(64, 1), pushed[:, None]])

    pushed = torch.full((64,), 3.0)
    pushed[:2] = 0.0  # two of the first eight do not move
    chance = [0.3 * normal(64) for _ in range(2)]
    tensors = {"curve/smile": pair(pushed)}
    tensors |= {f"random/smile/{k}": pair(x) for k, x in enumerate(chance)}
    tensors |= {f"random/smile/{k}/seen": pair(torch.ones(64)) for k in range(2)}
    about = {"columns": ["mouth_curve"], "own": {"smile": "mouth_curve"}, "fingerprint": "x"}
    times, people = targets.beyond_chance(Results("geometry", tensors, {}, about), "smile")
    expected = float(pushed.mean() / torch.stack(chance).abs().mean())
    assert times == pytest.approx(expected) and people == 6
    same = {**tensors, "curve/smile": pair(chance[0])}  # control: a random direction itself
    times, people = targets.beyond_chance(Results("geometry", same, {}, about), "smile")
    assert times < 1.5 and people < 4


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"<!DOCTYPE html>"])
def test_a_damaged_evaluation_is_named(tmp_path, content: bytes) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(b'{"frechet": NaN}')
    assert list(targets.evaluation(tmp_path)) == ["frechet"]  # control
    path.write_bytes(content)
    with pytest.raises(OSError, match=str(path)):
        targets.evaluation(tmp_path)


def test_networks_that_are_gone_keep_their_numbers() -> None:
    old = targets.earlier()
    assert set(old) == {"2.75 M weights", "two million pictures"}
    assert old["2.75 M weights"]["exchange"] is None  # never measured so
    assert old["two million pictures"]["exchange"] == pytest.approx(0.37, abs=0.01)  # stored
    twin = targets.quality("portraits-64-obeys")["handles"]
    assert 0 < old["two million pictures"]["handles"] < twin <= 8  # both of `ages`
    assert all(row["how"]["samples"] == 2000 for row in old.values())
