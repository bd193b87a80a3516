"""Numbers for the text: what is published, and what is refused."""

from __future__ import annotations

from typing import Any

import IPython.display
import pytest

from hsem import viz
from hsem.evaluation.stability import Estimate
from hsem.viz.published import MIME, Published


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Published]:
    seen: list[Published] = []
    monkeypatch.setattr(IPython.display, "display", seen.append)
    return seen


def test_texts_reach_the_notebook_by_name(shown: list[Published]) -> None:
    viz.publish({"yaw/effect": Estimate(-2.94, -3.2, -2.71, 40)}, people=40, verdict="in part")
    viz.publish(gap=f"{-0.5:.2f}", weights="b81-4222", day="2026-11-26")
    first, second = (s._repr_mimebundle_() for s in shown)
    assert first[MIME] == {
        "yaw/effect": "−2.94 (−3.20 to −2.71)",
        "people": "40",
        "verdict": "in part",
    }
    assert second[MIME] == {"gap": "−0.50", "weights": "b81-4222", "day": "2026-11-26"}
    assert first["text/plain"].splitlines()[1] == "people = 40"  # what nbval compares
    assert "hsem-published" in first["text/html"]  # hidden in the book by the style sheet


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("x", 2.94, "how many digits"),
        ("x", True, "how many digits"),
        ("x", None, "how many digits"),
        ("x", "", "plain text"),
        ("x", "**2.94**", "plain text"),
        ("x", "_2.94_", "plain text"),
        ("x", "<b>", "plain text"),
        ("x", "$3$", "plain text"),
        ("a:b", 3, "a name holds"),
        ('a"', 3, "a name holds"),
    ],
)
def test_errors(name: str, value: Any, match: str, shown: list[Published]) -> None:
    with pytest.raises(ValueError, match=match):
        viz.publish({name: value})
    assert shown == []


def test_names_with_underscores_are_plain_text(shown: list[Published]) -> None:
    """Folders of models and judges are called so; within a word the sign marks nothing."""
    viz.publish(judge="The judge is clip_vit_large.")
    assert shown[0].texts == {"judge": "The judge is clip_vit_large."}
