"""What the pages name in code exists."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted([*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")])


def exists(name: str) -> bool:
    """Whether hsem.a.b can be reached by importing and by attribute."""
    parts = name.split(".")
    thing = importlib.import_module(parts[0])
    for depth, part in enumerate(parts[1:], start=2):
        if not hasattr(thing, part):
            try:
                importlib.import_module(".".join(parts[:depth]))
            except ImportError:
                return False
        thing = getattr(thing, part)
    return True


def prose(page: Path) -> str:
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_in_the_text_exists(page: Path) -> None:
    names = set(re.findall(r"`(hsem(?:\.\w+)+)", prose(page)))
    assert {name for name in names if not exists(name)} == set()


def test_the_map_names_most_of_the_package() -> None:
    assert len(re.findall(r"`hsem\.", prose(BOOK / "paper_map.md"))) > 25


def test_a_name_that_does_not_exist_is_noticed() -> None:
    assert exists("hsem.diffusion.schedule.predict_x0")
    assert not exists("hsem.diffusion.schedule.predict_the_weather")
    assert not exists("hsem.weather")
