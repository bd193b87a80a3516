"""Scorers: known answers, other people's networks, and everything that can go wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from hsem.judges.prompts import CELEBA_NAMES, CELEBA_PROMPTS, PAPER_PROMPTS
from hsem.judges.scorers import (
    IMAGENET,
    NetworkScorer,
    Preparation,
    celeba_scorer,
    column,
    from_function,
    join,
    label_of,
    names_of,
    pose_scorer,
    read_attributes,
    read_pose,
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


# ------------------------------------------------------------------------------------- networks


class Linear(nn.Module):
    """Mean colour to k outputs, with batch norm, which misbehaves in training mode."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.layer = nn.Linear(3, k)

    def forward(self, x):
        return self.layer(self.norm(x.mean((2, 3))))


def test_a_network_scores_a_picture_by_itself_not_by_its_neighbours():
    network = Linear(2).train()
    scorer = NetworkScorer(network, ["a", "b"])
    images = torch.rand(4, 3, 12, 12) * 2 - 1
    assert not network.training
    torch.testing.assert_close(scores_of(scorer, images)[:1], scores_of(scorer, images[:1]))
    before = scores_of(scorer, images)
    torch.testing.assert_close(scores_of(scorer, images), before)  # running statistics at rest


def test_preparation_agrees_with_arithmetic_by_hand():
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(Preparation()(x), x)
    red = (x[0, 0] / 2 + 0.5 - 0.485) / 0.229
    unscaled = Preparation(None, IMAGENET.mean, IMAGENET.std)(x)
    torch.testing.assert_close(unscaled[0, 0], red)
    assert Preparation(5)(x).shape == (2, 3, 5, 5)
    torch.testing.assert_close(Preparation(5)(pictures(0.3)), pictures(0.3, size=5).clone())


def test_shrinking_does_not_turn_a_fine_pattern_into_a_coarse_one():
    stripes = torch.ones(1, 3, 64, 64)
    stripes[..., ::2] = -1  # mean 0: the right answer is grey
    small = Preparation(16)(stripes)
    assert small[..., 1:-1].abs().max() < 0.1
    assert stripes[..., ::4].abs().min() == 1  # control: dropping pixels gives plain white or black


def test_celeba_networks_with_pairs_or_single_logits_say_the_same():
    logits = torch.randn(5, 40)
    pairs = torch.stack([torch.zeros(5, 40), logits], dim=2)
    expected = 1 / (1 + np.exp(-logits.double().numpy()))
    for out in (logits, pairs.reshape(5, 80), pairs):
        np.testing.assert_allclose(read_attributes(out).numpy(), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"\(n, 40, 2\) or \(n, 40\), got \('n', 7\)"):
        read_attributes(torch.zeros(5, 7))
    pairs = torch.randn(5, 40, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(read_attributes(pairs), read_attributes(pairs.flatten(1)))
    for other in (pairs.mT, [pairs[:, 0]] * 40, pairs[..., None]):  # as many numbers, elsewhere
        with pytest.raises(ValueError, match=r"several heads use NetworkScorer"):
            read_attributes(other)
    scorer = celeba_scorer(Linear(80), size=6)
    assert scorer.names == CELEBA_NAMES
    assert scores_of(scorer, pictures(0, 1)).shape == (2, 40)


def test_pose_from_degrees_and_from_bins():
    degrees = torch.tensor([[30.0, -6.0, 0.0]])
    bins = [torch.full((1, 66), -50.0) for _ in range(3)]
    for row, angle in zip(bins, degrees[0], strict=True):
        row[0, int((angle + 99) / 3)] = 50.0  # all the weight on one bin
    torch.testing.assert_close(read_pose(bins), degrees)
    torch.testing.assert_close(read_pose(degrees), degrees)
    halfway = torch.full((1, 66), -50.0)
    halfway[0, 33] = halfway[0, 34] = 50.0
    torch.testing.assert_close(read_pose([halfway] * 3), torch.full((1, 3), 1.5))
    with pytest.raises(ValueError, match="yaw, pitch and roll"):
        read_pose(bins[:2])
    rotations, fine = torch.eye(3).expand(2, 3, 3), [torch.zeros(2, 198)] * 3
    for other in (torch.zeros(2, 4), rotations, fine, [bins[0], bins[1], fine[0]], []):
        with pytest.raises(ValueError, match=r"degrees \(n, 3\), or logits \(n, 66\) for each"):
            read_pose(other)
    assert pose_scorer(Linear(3)).names == ("yaw", "pitch", "roll")


# -------------------------------------------------------------------------------------- prompts


def test_prompts_are_those_of_the_paper_and_cover_celeba():
    assert PAPER_PROMPTS["smile"] == ("A smiling person", "A person")
    assert PAPER_PROMPTS["glasses"] == ("A person wearing glasses", "A person")
    assert PAPER_PROMPTS["hat"] == ("A person wearing a hat", "A person")
    assert PAPER_PROMPTS["age"] == ("An old person", "A young person")
    assert set(PAPER_PROMPTS["gender"]) == {"A man", "A woman"}
    assert len(CELEBA_PROMPTS) == 40 and {"Male", "Eyeglasses", "Young"} <= set(CELEBA_PROMPTS)
    assert all(positive != negative for positive, negative in CELEBA_PROMPTS.values())
