"""The hub, with its cache on the disk and without network: what is asked for, and what is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

import hsem
from hsem.network.folders import choose_weights, needed
from tests.unit.network.layouts import LAYOUTS, STEM, celebahq_of_2022, network

PAPERS = "google/ddpm-ema-celebahq-256"
ABOUT = ["config.json", "model_index.json", "scheduler_config.json"]


class Hub:
    """A hub that counts what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self.listed, self.downloaded = folder, 0, list[str]()
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: self)

    def list_repo_files(self, repository: str) -> list[str]:
        self.listed += 1
        return [
            p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()
        ]

    def snapshot(
        self, repository: str, *, allow_patterns: Any, local_files_only: bool = False
    ) -> str:
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not in the cache")
        there = Path(f"{self.folder}-here")
        for name in self.list_repo_files(repository):
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (there / name).parent.mkdir(parents=True, exist_ok=True)
                (there / name).write_bytes((self.folder / name).read_bytes())
                self.downloaded.append(name)
        return str(there)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "checkpoint" not in name])
def test_what_is_downloaded_is_enough_and_no_more(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = network()
    repository = LAYOUTS[layout](tmp_path / "repository", unet)
    (repository / "README.md").write_text("x")
    (repository / "text_encoder").mkdir()
    (repository / "text_encoder" / "model.safetensors").write_bytes(b"x" * 1000)
    hub = Hub(monkeypatch, repository)
    loaded = hsem.load("somebody/faces", device="cpu").unet
    pairs = zip(loaded.parameters(), unet.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weights = [n for n in hub.downloaded if STEM in n and not n.endswith(".json")]
    assert weights and not {"README.md", "text_encoder/model.safetensors"} & {*hub.downloaded}
    assert all(n.endswith((".bin", ".safetensors")) for n in weights)


def test_one_format_is_downloaded() -> None:
    both = [*ABOUT, f"{STEM}.bin", f"{STEM}.safetensors", f"{STEM}.fp16.safetensors"]
    assert needed(both) == ["config.json", f"{STEM}.safetensors", *ABOUT[1:]]
    assert needed([*ABOUT, f"{STEM}.bin"]) == ["config.json", f"{STEM}.bin", *ABOUT[1:]]
    assert needed([f"unet/{n}" for n in both]) == [
        f"unet/{n}" for n in ("config.json", f"{STEM}.safetensors", *ABOUT[1:])
    ]
    assert needed([*ABOUT, "model.ckpt"]) is None
    assert choose_weights(["pytorch_model.bin", f"{STEM}-00001-of-00002.bin"]) is None


def test_nothing_is_asked_unless_a_hub_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    celebahq_of_2022(tmp_path / "r", network())
    hub = Hub(monkeypatch, tmp_path / "r")
    hsem.load(device="cpu")
    hsem.load(tmp_path / "r", device="cpu")
    for nothing in ("portrait-64", "./a", "a/b/c", "/a/b", Path("a/b")):
        with pytest.raises((ValueError, FileNotFoundError)):
            hsem.load(nothing)
    assert hub.listed == 0
    hsem.load(PAPERS, device="cpu")
    assert hub.listed > 0  # control


@pytest.mark.parametrize("layout", [".bin with old names", "pipeline, fp16"])
def test_the_cache_is_read_offline(layout: str, tmp_path: Path) -> None:
    """In a process of its own, as the hub's client looks at the environment once."""
    home = tmp_path / "hub" / f"models--{PAPERS.replace('/', '--')}"
    commit, blobs = "0123456789abcdef0123456789abcdef01234567", home / "blobs"
    snapshot = LAYOUTS[layout](home / "snapshots" / commit, network())
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    blobs.mkdir()
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    for k, path in enumerate(files):  # links, as the client makes them
        path.rename(blobs / str(k))
        path.symlink_to(blobs / str(k))
    code = f"import hsem; print(hsem.load({PAPERS!r}, device='cpu').fingerprint)"
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
        )

    env["PYTHONPATH"] = str(Path(hsem.__file__).parents[1])
    found = run()
    expected = hsem.load(snapshot, device="cpu").fingerprint
    assert found.stdout.strip() == expected, found.stderr
    for path in snapshot.rglob(f"{STEM}*"):
        path.unlink()  # control: a cache that holds the configs alone
    assert "where there is network, run `hf download" in run().stderr


def without_response(kind: type[Exception]) -> Exception:
    """The client's errors want the answer of a server, which differs by its version."""
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: OSError("no route to host"), "bring that folder here, and call hsem.load"),
        (lambda: errors.OfflineModeIsEnabled("offline"), "bring that folder here"),
        (lambda: without_response(errors.RepositoryNotFoundError), "check the spelling"),
        (lambda: without_response(errors.GatedRepoError), "hf auth login"),
    ],
)
def test_only_advice_that_can_help(
    error: Callable[[], Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(monkeypatch, tmp_path)

    def refuse(_: str) -> None:
        raise error()

    monkeypatch.setattr(hub, "list_repo_files", refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=message) as caught:
        hsem.load(PAPERS)
    text = str(caught.value)
    assert f"there is no folder {PAPERS!r} in {tmp_path}" in text
    assert ("hf download" in text) == ("bring" in message)


def test_a_repository_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"x")
    hub = Hub(monkeypatch, tmp_path)
    with pytest.raises(OSError, match=r"holds no network that hsem reads: .*has model\.ckpt"):
        hsem.load("somebody/ckpt")
    assert not hub.downloaded
