"""A CLIP of random weights reads prompts and pictures, and says what it is."""

import pytest
import torch

pytest.importorskip("transformers", reason="the optional package of hsem[hub]")

from hsem.judges.prompts import CELEBA_NAMES, CELEBA_PROMPTS, PAPER_PROMPTS
from hsem.judges.random_clip import random_clip


def test_scores_depend_on_picture_prompt_and_seed():
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    scores = random_clip(device="cpu")(images)
    assert scores.shape == (4, len(PAPER_PROMPTS)) and scores.min() >= 0 and scores.max() <= 1
    assert scores.std(dim=0).min() > 0 and scores.std(dim=1).min() > 0
    torch.testing.assert_close(scores, random_clip(device="cpu")(images))
    assert not torch.allclose(scores, random_clip(device="cpu", seed=1)(images))


def test_it_takes_the_attributes_of_celeba_and_says_what_it_is():
    judge = random_clip(CELEBA_PROMPTS, device="cpu")
    assert judge.names == CELEBA_NAMES and "random weights" in judge.label
