"""The small network of the tests of recipes."""

import pytest

import hsem
from tests.tooling.conftest import small


@pytest.fixture(scope="module")
def model() -> hsem.HSpaceUNet:
    return small()
