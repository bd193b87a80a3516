"""The trainers of the judges notice before their hours of work that nothing could be saved."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portraits.train import classifier, geometry


@pytest.mark.parametrize("trainer", [classifier, geometry])
def test_a_place_that_cannot_be_written_is_noticed_at_once(trainer, tmp_path: Path, monkeypatch):
    trained: list[int] = []

    def train(*_: object, **__: object) -> None:
        trained.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", train)
    (tmp_path / "file").write_text("no folder")
    for out, kind in (("file/deeper", OSError), ("folder/deeper", KeyboardInterrupt)):  # control
        monkeypatch.setattr(
            sys, "argv", ["x", "--data", str(tmp_path), "--out", str(tmp_path / out)]
        )
        with pytest.raises(kind, match="out=" if kind is OSError else ""):
            trainer.main()
        assert bool(trained) == (kind is KeyboardInterrupt)
