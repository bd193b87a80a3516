"""The blind test as data: what quiz.js and a viewer without it are given."""

from __future__ import annotations

import base64
import re

import pytest
import torch

from hsem import viz

GOOD = {
    "pictures": torch.zeros(4, 2, 3, 8, 8),
    "truths": [0, 1, 1, 0],
    "choices": ["left", "right"],
    "question": "Which one smiles?",
    "alt": "two portraits side by side",
}


def test_trials_truths_and_the_answers_for_viewers_without_script() -> None:
    made = viz.blind_test(**GOOD)
    text = made._repr_html_()
    assert text.count("<fieldset>") == text.count("Which one smiles?") == 4
    assert re.findall(r'alt="([^"]*)"', text)[2] == "two portraits side by side; trial 3"
    coded = re.findall(r'data-truths="([^"]+)"', text)[0]
    assert base64.b64decode(coded) == b"0,1,1,0"
    assert "<p>1: left, 2: right, 3: right, 4: left</p></details>" in text
    assert repr(made) == "Blind test of 4 trials: Which one smiles?"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"truths": [0, 1]}, "one truth per trial"),
        ({"truths": [0, 1, 2, 0]}, "positions in choices"),
        ({"truths": [1, 1, 1, 1]}, "not all the same"),
        ({"choices": ["left"]}, "two or more"),
        ({"alt": ""}, "alt must be a sentence"),
    ],
)
def test_errors(change: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        viz.blind_test(**{**GOOD, **change})
