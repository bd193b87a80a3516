"""Files appear whole or not at all; what was read does not change with the file."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import hsem
from hsem import classifier, datasets, files, geometry, results
from hsem.photos import read_expressions, read_photo
from hsem.viz.picture import Picture

MODEL = hsem.tiny_unet(0)
GRID = MODEL.schedule(3).timesteps


def direction(fill: float, steps: int = 3) -> hsem.Direction:
    delta_h = torch.full((steps, *MODEL.h_shape), float(fill))
    return hsem.Direction(delta_h, MODEL.schedule(steps).timesteps)


def fitted(seed: int) -> hsem.HSpacePCA:
    generator = torch.Generator().manual_seed(seed)
    return hsem.HSpacePCA(2).fit(torch.randn(8, 3, 4, 2, 2, generator=generator))


def table(fill: float) -> hsem.Annotation:
    scores = torch.full((40, 1), fill, dtype=torch.float64)
    return hsem.Annotation(tuple(range(40)), scores, ("a",), GRID, (0.0,) * 3)


def picture(fill: int) -> Picture:
    noise = np.random.default_rng(fill).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Picture(Image.fromarray(noise), "noise", 64)


SAVERS: dict[str, Callable[[int, Path], Any]] = {  # what is written, twice differently
    "x.direction": lambda i, path: direction(i).save(path),
    "x.pca": lambda i, path: fitted(i).save(path),
    "x.npz": lambda i, path: table(i).save(path),
    "x.safetensors": lambda i, path: results.save(path, MODEL, {"n": torch.full((99,), float(i))}),
    "x.png": lambda i, path: picture(i).save(path),
    "x.jpg": lambda i, path: picture(i).save(path),
}


@pytest.fixture(params=SAVERS)
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[..., Any], Path]:
    return SAVERS[request.param], tmp_path / request.param


def test_what_was_loaded_does_not_change_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d"
    direction(1.0).save(path)
    loaded, size = hsem.Direction.load(path), path.stat().st_size
    mapped = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)[-4:]
    with path.open("rb+") as file:  # somebody writes into the file
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    assert bool((loaded.delta_h == 1).all())
    assert mapped.tolist() == [0] * 4  # control: a window on the file does change


READING = """
import sys, time
import hsem
start, found = time.time(), [0, 0]
print("ready", flush=True)
while time.time() - start < 3:
    try:
        hsem.Direction.load(sys.argv[1])
        found[0] += 1
    except ValueError:
        found[1] += 1
print(*found)
"""
MAPPING = """
import os, sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="pt") as file:
    os.truncate(sys.argv[1], 4096)
    file.get_tensor("delta_h").sum()
"""


def test_names_come_in_the_same_order_each_time(tmp_path: Path) -> None:
    names = [
        f"damaged/{word}"
        for word in ["two", "one", "grain", "none", "blur", "half", "dark", "cut", "far", "near"]
    ]
    results.save(tmp_path / "x.safetensors", MODEL, {name: torch.ones(1) for name in names})
    assert list(results.load(tmp_path / "x.safetensors").tensors) == sorted(names)


def test_a_file_that_others_shorten_while_it_is_read(tmp_path: Path) -> None:
    """As cp and rsync do."""
    path = tmp_path / "d"
    hsem.Direction(torch.randn(20, 192, 8, 8), MODEL.schedule(20).timesteps).save(path)
    whole = path.read_bytes()
    command = [sys.executable, "-c", READING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
        while reader.poll() is None:
            path.write_bytes(whole)
        counts = [int(n) for n in reader.stdout.read().split()]
    assert reader.returncode == 0 and min(counts) > 0
    command = [sys.executable, "-c", MAPPING, str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGBUS  # control


def test_saving_never_writes_into_the_old_file(saver: tuple[Callable[..., Any], Path]) -> None:
    """Whoever still reads the old file, by a mapping or under another name, keeps all of it."""
    save, path = saver
    save(0, path)
    old, witness = path.read_bytes(), path.with_name("witness")
    os.link(path, witness)
    save(1, path)
    assert path.read_bytes() != old and witness.read_bytes() == old
    with path.open("rb+") as file:  # control: in place, the witness would see it
        os.link(path, path.with_name("second"))
        file.write(b"!")
    assert path.with_name("second").read_bytes() == path.read_bytes()


def refused(folder: Path, save: Callable[[], Any], match: str, kind: type[Exception]) -> None:
    """`save` raises, and the folder holds afterwards what it held before."""
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    with pytest.raises(kind, match=match):
        save()
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full(saver: tuple[Callable[..., Any], Path]) -> None:
    save, path = saver
    save(0, path)
    assert path.stat().st_size > 500
    with no_file_beyond(500):
        refused(path.parent, lambda: save(1, path), "cannot be written.*untouched", OSError)
    save(1, path)  # control: with room it is written
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.fixture()
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB with a file that takes nearly all of it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_real_disk_that_is_full(full_disk: Path) -> None:
    path = full_disk / "d"
    direction(1.0).save(path)
    (full_disk / "filler").write_bytes(bytes(50_000))
    large = direction(2.0, steps=20)  # 20 KB
    refused(full_disk, lambda: large.save(path), "cannot be written.*untouched", OSError)
    assert bool((hsem.Direction.load(path).delta_h == 1).all())
    (full_disk / "filler").unlink()
    large.save(path)  # control


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    save = direction(1.0).save
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path, lambda: save(tmp_path / "folder"), "is a folder", IsADirectoryError)
    refused(tmp_path, lambda: save(tmp_path / "no" / "d"), "no folder", FileNotFoundError)
    refused(tmp_path, lambda: save(tmp_path / "file" / "d"), "no folder", FileNotFoundError)
    (tmp_path / "file").chmod(0o444)
    refused(tmp_path, lambda: save(tmp_path / "file"), "write-protected", PermissionError)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path, lambda: save(tmp_path / "pipe"), "device or a pipe", OSError)
    refused(tmp_path, lambda: save(tmp_path / ("n" * 300)), "too long", OSError)
    (tmp_path / "file").chmod(0o644)
    save(tmp_path / "file")  # control
    save(tmp_path / ("ä" * 127))  # control: 254 bytes, the longest name there is


def test_a_read_only_disk(full_disk: Path) -> None:
    path = full_disk / "d"
    direction(1.0).save(path)
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    refused(full_disk, lambda: direction(2.0).save(path), "(?i)read-only", OSError)
    with pytest.raises(OSError, match=r"(?i)read-only"):
        files.check_writable(path)
    subprocess.run(["mount", "-o", "remount,rw", str(full_disk)], check=True)
    files.check_writable(path)  # control


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RuntimeError])
def test_whatever_goes_wrong_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error):
        with files.replacing(path) as part:
            part.write_text("half", encoding="utf-8")
            raise error
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [
        ("x.txt", "old")
    ]
    with files.replacing(path) as part:
        part.write_text("new", encoding="utf-8")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [
        ("x.txt", "new")
    ]


def test_an_interrupt_while_a_file_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "close", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.check_writable(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    save = direction(1.0).save
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    save(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode  # as any new file
    (tmp_path / "new").chmod(0o640)
    (tmp_path / "link").symlink_to("new")
    save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_classifier_is_saved_whole_and_reads_any_letters(tmp_path: Path) -> None:
    net = classifier.load()
    net.save(tmp_path)
    again = classifier.load(tmp_path)
    assert again.names == net.names and not list(tmp_path.glob(".*"))
    with no_file_beyond(500):
        refused(tmp_path, lambda: net.save(tmp_path), "cannot be written", OSError)


WRITER = """
import sys, torch, hsem
path, fill = sys.argv[1], float(sys.argv[2])
delta_h = torch.full((200, 64, 8, 8), fill)
d = hsem.Direction(delta_h, range(199, -1, -1))
print("ready", flush=True)
while True:
    d.save(path)
"""


def test_two_writers_and_a_kill_never_leave_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, fill], stdout=subprocess.PIPE)
        for fill in ("1", "2")
    ]
    try:
        for each in writers:
            assert each.stdout is not None and each.stdout.readline()
        while not path.exists():
            pass
        for _ in range(10):
            values = hsem.Direction.load(path).delta_h.unique()
            assert values.tolist() in ([1.0], [2.0])
    finally:
        for each in writers:
            each.kill()
            each.wait()
    assert hsem.Direction.load(path).delta_h.unique().tolist() in ([1.0], [2.0])


# ----------------------------------------------------------------------- names no system could have

NAMES = {
    "null": "a\0b.npz",
    "long": "n" * 300,
    "long folder": "n" * 300 + "/a.npz",
    "deep": "d/" * 2500 + "a.npz",
    "under a file": "file/a.npz",
    "loop": "loop/a.npz",
    "pipe": "pipe",
}
READERS: dict[str, Callable[[str], Any]] = {
    "direction": hsem.Direction.load, "pca": hsem.HSpacePCA.load, "table": hsem.Annotation.load,
    "results": lambda p: results.load(f"./{p}.safetensors"), "model": lambda p: hsem.load(Path(p)),
    "classifier": classifier.load, "geometry": geometry.load, "photo": read_photo,
    "folder": read_expressions, "portraits": datasets.portraits,
}  # fmt: skip
WRITERS = {
    **SAVERS,
    "x.safetensors": lambda i, path: SAVERS["x.safetensors"](i, f"./{path}.safetensors"),
    "x.png": lambda i, path: SAVERS["x.png"](i, f"{path}.png"),
    "classifier": lambda i, path: classifier.load().save(path),
    "geometry": lambda i, path: geometry.load().save(path),
    "harvest": lambda i, path: hsem.harvest(MODEL, [0], checkpoint=path),
}
del WRITERS["x.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_file_can_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused at once, naming the place and saying more than the system does."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    said = repr(NAMES[name].split("/")[0])[1:-1][:60]  # of what is made first
    for what, read in READERS.items():
        with pytest.raises(OSError) as caught:
            read(NAMES[name])
        assert said in str(caught.value) and not str(caught.value).startswith("[Errno"), what
    for what, write in WRITERS.items():
        if name == "pipe" and what in ("x.safetensors", "x.png"):  # which add an ending
            continue
        with pytest.raises(OSError) as caught:
            write(0, NAMES[name])  # type: ignore[arg-type]
        assert said in str(caught.value), what
        assert any(word in str(caught.value) for word in ("another", "give", "make it")), what
    assert sorted(os.listdir()) == ["file", "loop", "pipe"]


def test_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match="name must be that of a file"):
        results.save("", MODEL, {"n": torch.ones(1)})
