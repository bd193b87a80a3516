"""A warning is for the nearest line that is not of the package."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import lru_cache

import pytest
import torch

import hsem
from hsem import callers
from hsem.judges.scorers import from_function, scores_of


def told() -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callers.tell("here")
    return caught[0].filename


def test_ones_own_line_is_the_nearest() -> None:
    assert told() == __file__


def test_lines_of_the_package_and_of_torch_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scores_of` is decorated by torch, whose line stood in the warning."""

    def full(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return images.mean((1, 2, 3))

    with pytest.warns(RuntimeWarning, match="no memory") as caught:
        scores_of(from_function(full, "brightness"), torch.zeros(2, 3, 4, 4))
    assert [w.filename for w in caught] == [__file__]
    monkeypatch.setattr(callers, "INSIDE", (callers.INSIDE[0],))  # control
    with pytest.warns(RuntimeWarning, match="no memory") as caught:
        scores_of(from_function(full, "brightness"), torch.zeros(2, 3, 4, 4))
    assert "torch" in caught[0].filename


def test_python_between_is_passed_over() -> None:
    @contextmanager
    def block():
        with pytest.warns(UserWarning, match="far below") as caught:
            lru_cache(hsem.tiny_unet().schedule)(1)
        yield caught

    with block() as caught:
        assert [w.filename for w in caught] == [__file__]
