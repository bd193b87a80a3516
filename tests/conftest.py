"""Models that many tests share."""

from __future__ import annotations

import pytest

import hsem


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def tiny(request: pytest.FixtureRequest) -> hsem.HSpaceUNet:
    """Random weights, 3x16x16, one of each kind of prediction."""
    return hsem.tiny_unet(seed=0, prediction_type=request.param)


@pytest.fixture(scope="session")
def portraits() -> hsem.HSpaceUNet:
    """The model in the package. Tests ask for its mechanics, never for its beauty."""
    return hsem.load(device="cpu")
