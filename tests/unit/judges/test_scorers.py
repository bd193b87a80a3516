"""Scorers: known answers, and everything that can go wrong."""

import pytest
import torch

from hsem.judges.prompts import PAPER_PROMPTS
from hsem.judges.scorers import (
    column,
    from_function,
    join,
    label_of,
    names_of,
    scores_of,
    select,
)


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Mean of a box in the middle: a score whose answer is known."""
    return images[:, :, 4:8, 4:8].mean((1, 2, 3))


BRIGHTNESS = from_function(brightness, "brightness")


def pictures(*levels: float, size: int = 12) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, size, size)


# ---------------------------------------------------------------------------------- any function


def test_a_function_becomes_a_scorer_with_the_known_answer():
    scores = scores_of(BRIGHTNESS, pictures(-1, 0.25, 1))
    assert scores.dtype == torch.float64 and scores.device.type == "cpu"
    torch.testing.assert_close(scores, torch.tensor([[-1], [0.25], [1.0]], dtype=torch.float64))


def test_batches_change_nothing():
    images = torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    whole, parts = scores_of(BRIGHTNESS, images), scores_of(BRIGHTNESS, images, batch_size=3)
    torch.testing.assert_close(whole, parts)


def test_a_scorer_sees_pictures_as_a_viewer_would():
    """Samples leave [-1, 1] a little; a file would clip them."""
    torch.testing.assert_close(scores_of(BRIGHTNESS, pictures(7)).item(), 1.0)
    assert BRIGHTNESS(pictures(7)).item() == 7.0  # control: the bare function does not clip


def test_no_gradient_is_recorded():
    images = pictures(0.5).clone().requires_grad_()
    assert not scores_of(BRIGHTNESS, images).requires_grad
    assert BRIGHTNESS(images).requires_grad  # a scorer itself stays differentiable


def test_missing_answers_are_kept_and_infinite_ones_refused():
    absent = from_function(lambda x: x[:, 0, 0, 0] * float("nan"), "pose")
    assert scores_of(absent, pictures(1.0)).isnan().all()
    endless = from_function(lambda x: x[:, 0, 0, 0] / 0, "odds")
    with pytest.raises(ValueError, match=r"infinite scores for \['odds'\]"):
        scores_of(endless, pictures(1.0))


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(3, 12, 12), ValueError, r"\(n, 3, H, W\)"),
        (torch.zeros(0, 3, 12, 12), ValueError, "n > 0"),
        (torch.zeros(1, 3, 12, 12, dtype=torch.uint8), TypeError, r"x / 127.5 - 1"),
    ],
)
def test_bad_pictures(images, error, words):
    with pytest.raises(error, match=words):
        scores_of(BRIGHTNESS, images)


def test_a_scorer_must_return_one_column_per_name():
    two = from_function(brightness, ["a", "b"])
    with pytest.raises(ValueError, match=r"2 names.*shape \(1, 2\), got \(1, 1\)"):
        scores_of(two, pictures(0))
    with pytest.raises(TypeError, match="from_function"):
        scores_of(brightness, pictures(0))
    with pytest.raises(ValueError, match="different"):
        names_of(from_function(brightness, ["a", "a"]))


def test_an_unknown_attribute_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no attribute 'smil'; there are smile, hat"):
        column(("smile", "hat"), "smil")


# ------------------------------------------------------------------------------ putting together


def test_select_reorders_and_renames():
    rgb = from_function(lambda x: x.mean((2, 3)), ["r", "g", "b"], "colours")
    x = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert select(rgb, ["b", "r"])(x).tolist() == [[2.0, 0.0]]
    renamed = select(rgb, {"greenness": "g"})
    assert renamed.names == ("greenness",) and renamed(x).item() == 1.0
    assert label_of(renamed) == "colours"
    with pytest.raises(ValueError, match="no attribute 'x'"):
        select(rgb, ["x"])


def test_join_puts_columns_side_by_side_and_refuses_equal_names():
    both = join(BRIGHTNESS, from_function(lambda x: -brightness(x), "darkness"))
    assert both.names == ("brightness", "darkness")
    torch.testing.assert_close(scores_of(both, pictures(0.5)).tolist(), [[0.5, -0.5]])
    with pytest.raises(ValueError, match="called brightness; rename"):
        join(BRIGHTNESS, BRIGHTNESS)


# -------------------------------------------------------------------------------------- prompts


def test_prompts_are_those_of_the_paper():
    assert PAPER_PROMPTS["smile"] == ("A smiling person", "A person")
    assert PAPER_PROMPTS["glasses"] == ("A person wearing glasses", "A person")
    assert PAPER_PROMPTS["hat"] == ("A person wearing a hat", "A person")
    assert PAPER_PROMPTS["age"] == ("An old person", "A young person")
    assert set(PAPER_PROMPTS["gender"]) == {"A man", "A woman"}
