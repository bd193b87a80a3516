"""Work of hours: it says at once where it cannot save, and a SIGKILL costs one batch, no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import hsem
from hsem.judges.scorers import from_function

SETTINGS: dict[str, Any] = {"steps": 3, "batch_size": 4, "progress": False}
calls: list[int] = []


def brightness(images: Tensor) -> Tensor:
    calls.append(len(images))
    return images.mean(dim=(2, 3))


SCORER = from_function(brightness, ["red", "green", "blue"], "brightness")


def harvest(path: Path | None) -> tuple[Tensor, ...]:
    pca = hsem.harvest(
        hsem.tiny_unet(0), range(14), pca=hsem.HSpacePCA(3), scorer=brightness, checkpoint=path,
        **SETTINGS,
    )  # fmt: skip
    assert pca.attributes_ is not None
    return pca.components_, pca.explained_variance_, pca.mean_, pca.scores_, pca.attributes_


def annotate(path: Path | None) -> tuple[Tensor, ...]:
    return (hsem.annotate(hsem.tiny_unet(0), SCORER, range(14), path=path, **SETTINGS).scores,)


WORK: dict[str, Callable[[Path | None], tuple[Tensor, ...]]] = {
    "harvest": harvest,
    "annotate": annotate,
}

# A process of its own that kills itself at the n-th save, before or after the file is in place.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from hsem import files
from tests.unit.test_long_work import WORK
name, path, wanted, moment = sys.argv[1:]
saves, replace = [], os.replace

def deadly(source, target):
    saves.append(1)
    if moment == "after":
        replace(source, target)
    if len(saves) == int(wanted):
        os.kill(os.getpid(), signal.SIGKILL)
    if moment == "before":
        replace(source, target)

files.os.replace = deadly
WORK[name](Path(path))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", WORK)
def test_a_killed_process_goes_on_to_the_identical_result(
    name: str, moment: str, tmp_path: Path
) -> None:
    path, save = tmp_path / "state.npz", 2
    threads = str(torch.get_num_threads())
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", SCRIPT, name, str(path), str(save), moment]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    batches = save - (moment == "before")  # that were saved, of 4
    assert path.exists() == (batches > 0)
    calls.clear()
    resumed = WORK[name](path)
    again = batches > 0  # the first sample, to know the scorer
    assert calls == [1] * again + [4, 4, 4, 2][batches:]  # what was saved is not done again
    for got, expected in zip(resumed, WORK[name](None), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("name", WORK)
def test_where_nothing_can_be_saved_nothing_is_computed(name: str, tmp_path: Path) -> None:
    calls.clear()
    argument = "checkpoint" if name == "harvest" else "path"
    with pytest.raises(FileNotFoundError, match=f"{argument}=.*no folder"):
        WORK[name](tmp_path / "nowhere" / "x")
    with pytest.raises(IsADirectoryError, match=f"{argument}=.*is a folder"):
        WORK[name](tmp_path)
    (tmp_path / "kept").write_bytes(b"")
    (tmp_path / "kept").chmod(0o444)
    with pytest.raises(PermissionError, match=f"{argument}=.*write-protected"):
        WORK[name](tmp_path / "kept")
    assert not calls and [p.name for p in tmp_path.iterdir()] == ["kept"]
    WORK[name](tmp_path / "x")  # control
    assert calls and sorted(p.name for p in tmp_path.iterdir()) == ["kept", "x"]
