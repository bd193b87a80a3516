"""The recipe for the expressions: who read which column, and what geometry says of given faces."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem.judges import classifier, geometry
from hsem.judges.scorers import scores_of
from hsem.recipes import expressions, real_faces


def test_columns_are_those_of_the_judge_that_read_them() -> None:
    images = hsem.datasets.portraits().images[:3]
    judge, shapes = classifier.load(classifier.SECOND), geometry.load()
    both = expressions.all_of(judge, shapes)
    found = expressions.split("x", scores_of(both, images), judge)
    assert set(found) == {"x", "geometry/x", "seen/x"}
    torch.testing.assert_close(found["x"], scores_of(judge, images))
    torch.testing.assert_close(found["geometry/x"], scores_of(shapes, images))
    seen = geometry.seen(shapes.parts(images))
    assert torch.equal(found["seen/x"].bool(), seen) and bool(seen.any())
    nobody = expressions.split("x", scores_of(both, torch.zeros(1, 3, 64, 64)), judge)
    assert not bool(nobody["seen/x"].all())  # control: a grey square has no face


def test_without_geometry_there_are_the_columns_of_the_judge_alone() -> None:
    judge = classifier.load(classifier.SECOND)
    assert expressions.all_of(judge, None) is judge
    scores = torch.zeros(2, len(judge.names))
    assert set(expressions.split("x", scores, judge)) == {"x"}


@pytest.mark.parametrize(
    ("expression", "length", "sign"),
    [
        ("happiness", "mouth_curve", 1),
        ("sadness", "mouth_curve", -1),
        ("surprise", "mouth_opening", 1),
        ("fear", "eye_opening", 1),
        ("anger", "brow_height", -1),
    ],
)
def test_geometry_sees_the_expressions_that_were_rendered(
    expression: str, length: str, sign: int
) -> None:
    given, shapes = hsem.datasets.expressions(), geometry.load()
    with_it, without = (rows[:16] for rows in hsem.expression_pairs(given, expression))
    k = shapes.names.index(length)
    after, before = (scores_of(shapes, given.images[rows])[:, k] for rows in (with_it, without))
    change = sign * (after - before) / shapes.spread[k]
    assert float(change.mean()) > 0.5
    turn = shapes.names.index("head_turn")  # control: no expression turns the head
    turned = [scores_of(shapes, given.images[rows])[:, turn] for rows in (with_it, without)]
    assert float((turned[0] - turned[1]).mean().abs() / shapes.spread[turn]) < 0.25


def test_units_that_no_portrait_has_are_counted_as_the_renderer_sets_them() -> None:
    controlled = pytest.importorskip("portraits.dataset.controlled")
    assert tuple(expressions.UNSEEN) == real_faces.EXPRESSIONS
    for name, weight in expressions.UNSEEN.items():
        wanted = controlled.EXPRESSIONS[name]
        units = [*wanted.units.values(), *wanted.sided_units.values()]
        assert sum(map(abs, units)) == pytest.approx(weight), name
    usual = controlled.person(0)  # control: anybody in the data has none of them
    assert not usual.face_units
    assert controlled.express(usual, "disgust", 1.0).face_units
