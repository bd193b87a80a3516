"""Damaged and hostile files: one error with the path and the remedy, quickly, without memory.

Every reader of the package against every bad file. Pictures have a table of their own in
test_photo_files.py; folders of models in network/.
"""

from __future__ import annotations

import json
import pickle
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hsem
from hsem import classifier, datasets, geometry, results
from hsem.files import save_tensors
from hsem.judges.classifier import Attribute, PortraitClassifier
from hsem.photos import read_photo
from hsem.recipes.parts import Parts
from hsem.unsupervised import masks

MODEL = hsem.tiny_unet(0)
GRID = MODEL.schedule(3).timesteps
REMEDY = r"again|compute it|give (one|another)"


def make_direction(path: Path) -> None:
    hsem.Direction(torch.ones(3, *MODEL.h_shape), GRID).save(path)


def make_results(path: Path) -> None:
    direction = hsem.Direction(torch.ones(3, *MODEL.h_shape), GRID)
    results.save(path, MODEL, {"n": torch.ones(4)}, directions={"d": direction})


def make_pca(path: Path) -> None:
    h = torch.randn(8, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    pca = hsem.HSpacePCA(2).fit(h)
    pca.timesteps_ = GRID
    pca.save(path)


def make_annotation(path: Path) -> None:
    scores = torch.zeros(4, 1, dtype=torch.float64)
    hsem.Annotation((0, 1, 2, 3), scores, ("a",), GRID, (0.0,) * 3).save(path)


def make_classifier(path: Path) -> None:
    PortraitClassifier((Attribute("yaw", "degrees", 0.0, 1.0),), width=2).save(path.parent)


def make_geometry(path: Path) -> None:
    geometry.PortraitGeometry((2, 2)).save(path.parent)


def make_portraits(path: Path) -> None:
    make = {"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros((2, 1), np.float32)}
    np.savez(path, names=np.array(["a"]), **make)


def make_expressions(path: Path) -> None:
    make_portraits(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays |= {"subject": np.array([0, 1]), "expression": np.array(["x", "y"])}
    np.savez(path, **arrays, intensity=np.array([0.0, 1.0], np.float32))


def make_part(path: Path) -> None:
    save_tensors(path, {"value": torch.ones(4)}, {})


def read_part(path: Path) -> Any:
    parts = Parts("x", MODEL)
    parts.folder = path.parent
    return parts(path.stem, lambda: torch.zeros(4))


def make_regions(path: Path) -> None:
    np.savez(path, names=np.array(["mouth"]), shares=np.full((1, 4, 4), 255, np.uint8))


class Reader(NamedTuple):
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    file: str
    nan_is_allowed: frozenset[str] = frozenset()


READERS = {
    "direction": Reader(make_direction, hsem.Direction.load, "d.safetensors"),
    "results": Reader(make_results, results.load, "r.safetensors", frozenset({"tensor/n"})),
    "pca": Reader(make_pca, hsem.HSpacePCA.load, "p.safetensors"),
    "classifier": Reader(make_classifier, lambda p: classifier.load(p.parent), "model.safetensors"),
    "geometry": Reader(make_geometry, lambda p: geometry.load(p.parent), "model.safetensors"),
    "annotation": Reader(make_annotation, hsem.Annotation.load, "a.npz", frozenset({"scores"})),
    "portraits": Reader(make_portraits, datasets.portraits, "p.npz"),
    "expressions": Reader(make_expressions, datasets.expressions, "e.npz"),
    "regions": Reader(make_regions, masks._regions.__wrapped__, "m.npz"),
}

NPZ = [name for name, reader in READERS.items() if reader.file.endswith(".npz")]


class Run:
    """Whoever unpickles this has run code of a stranger."""

    ran = False

    def __reduce__(self) -> Any:
        return setattr, (Run, "ran", True)


def claims(size: int, path: Path) -> bytes:
    return struct.pack("<Q", size) + path.read_bytes()[8:]


# What is wrong with the file as such: from the good file's path to the bad one's bytes.
BYTES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda path: b"",
    "one byte": lambda path: b"{",
    "text": lambda path: b"This is no file of numbers.\n" * 50,
    "page": lambda path: b"<!DOCTYPE html><html><body>404</body></html>",
    "half": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "last byte missing": lambda path: path.read_bytes()[:-1],
    "zeros": lambda path: bytes(path.stat().st_size),
    "pickle": lambda path: pickle.dumps(Run()),
    "header of 10 GB": lambda path: claims(10**10, path),
    "header of 2**63": lambda path: claims(2**63, path),
    "npy": lambda path: b"\x93NUMPY\x01\x00v\x00" + npy_head(10**10),
    "pickled npy": lambda path: b"\x93NUMPY\x01\x00v\x00" + npy_head(1, "|O") + pickle.dumps(Run()),
}


def npy_head(n: int, kind: str = "<f8") -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({n},), }}"
    return head.ljust(117).encode() + b"\n"


@pytest.fixture
def measured():
    """Fails if a test took seconds or hundreds of megabytes, or ran code from a file."""
    before, start, Run.ran = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.time(), False
    yield
    assert time.time() - start < 10 and not Run.ran
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB on Linux


@pytest.fixture(params=READERS)
def good(request, tmp_path) -> tuple[Reader, Path]:
    reader = READERS[request.param]
    path = tmp_path / reader.file
    reader.make(path)
    reader.read(path)  # control: as made, it is read
    return reader, path


def refused(reader: Reader, path: Path) -> None:
    with pytest.raises((OSError, ValueError), match=REMEDY) as caught:
        reader.read(path)
    message = str(caught.value)
    assert str(path) in message or str(path.parent) in message
    assert type(caught.value) in {OSError, ValueError, FileNotFoundError, IsADirectoryError}


@pytest.mark.parametrize("bad", BYTES)
def test_files_that_are_something_else(good, bad, measured):
    reader, path = good
    path.write_bytes(BYTES[bad](path))
    refused(reader, path)


@pytest.mark.parametrize("length", [0x3C20, 0x3C2020])
def test_a_length_that_reads_as_the_start_of_a_page(tmp_path, length):
    path = tmp_path / "d.safetensors"
    make_direction(path)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    path.write_bytes(struct.pack("<Q", length) + data[8:end].ljust(length) + data[end:])
    assert path.read_bytes().lstrip().startswith(b"<")
    assert torch.equal(hsem.Direction.load(path).delta_h, torch.ones(3, *MODEL.h_shape))


def test_a_pointer_of_git_lfs_is_called_so(good):
    reader, path = good
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 45\n")
    with pytest.raises((OSError, ValueError), match=r"is a Git LFS pointer.*git lfs pull"):
        reader.read(path)


@pytest.mark.parametrize("name", ["classifier", "geometry"])
def test_cards_with_and_without_a_byte_order_mark(tmp_path, name):
    reader, path = READERS[name], tmp_path / "model.safetensors"
    reader.make(path)
    (card,) = tmp_path.glob("*.json")
    good = card.read_bytes()
    card.write_bytes(b"\xef\xbb\xbf" + good.replace(b'"metrics": {', b'"metrics": {"AUC": NaN'))
    reader.read(path)
    for bad, message in (
        (good.decode().encode("utf-16"), "is not UTF-8"),
        (b"<!DOCTYPE html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"[]", "holds a list"),
    ):
        card.write_bytes(bad)
        with pytest.raises(OSError, match=f"{card.name} {message}"):
            reader.read(path)


@pytest.mark.parametrize("bad", BYTES)
def test_a_part_of_a_recipe_that_is_something_else(tmp_path, bad, measured):
    """Parts are made where they are missing, and hold what they hold; but damaged ones are said."""
    reader, path = Reader(make_part, read_part, "x.safetensors"), tmp_path / "x.safetensors"
    assert bool((read_part(path) == 0).all())
    reader.make(path)
    assert bool((read_part(path) == 1).all())  # control
    path.write_bytes(BYTES[bad](path))
    refused(reader, path)


def test_a_folder_or_nothing_in_place_of_the_file(good):
    reader, path = good
    path.unlink()
    with pytest.raises(OSError, match=str(path.parent)):
        reader.read(path)
    path.mkdir()
    with pytest.raises(OSError, match=str(path.parent)):
        reader.read(path)


# ------------------------------------------------------------------ what the file holds is wrong


def contents(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file), {}
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def rewrite(path: Path, arrays: dict[str, Any], meta: dict[str, str]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path, metadata=meta)


def numbers(array: Any) -> bool:
    kind = getattr(array.dtype, "kind", None)
    return kind == "f" if kind else array.is_floating_point()


def with_first(array: Any, value: float) -> Any:
    copy = array.clone() if isinstance(array, torch.Tensor) else array.copy()
    copy.reshape(-1)[0] = value
    return copy


def test_nan_and_infinity(good):
    reader, path = good
    arrays, meta = contents(path)
    touched = 0
    for name, array in arrays.items():
        for value in (float("nan"), float("inf")):
            if not numbers(array) or not np.prod(array.shape) or name in reader.nan_is_allowed:
                continue
            rewrite(path, {**arrays, name: with_first(array, value)}, meta)
            refused(reader, path)
            touched += 1
    assert touched or path.name in {"a.npz", "m.npz"}  # these hold no other floating numbers
    rewrite(path, arrays, meta)
    reader.read(path)  # control: it was the value, not the writing


def test_infinite_scores(tmp_path):
    make_annotation(tmp_path / "a.npz")
    arrays, _ = contents(tmp_path / "a.npz")
    for value, fine in ((float("nan"), True), (float("inf"), False), (-float("inf"), False)):
        rewrite(tmp_path / "a.npz", {**arrays, "scores": with_first(arrays["scores"], value)}, {})
        if fine:
            hsem.Annotation.load(tmp_path / "a.npz")
        else:
            refused(READERS["annotation"], tmp_path / "a.npz")


def test_shapes_that_do_not_fit(good):
    """Each array one row longer, one axis longer, or not there."""
    reader, path = good
    arrays, meta = contents(path)
    free = {"tensor/n", "num_batches_tracked"}  # a result may have any shape
    touched = 0
    for name, array in arrays.items():
        if name.split(".")[-1] in free or not array.shape:
            continue
        stack = torch.cat if isinstance(array, torch.Tensor) else np.concatenate
        longer = {**arrays, name: stack([array, array[:1]])}
        deeper = {**arrays, name: array[None]}
        lacking = {key: value for key, value in arrays.items() if key != name}
        for wrong in (deeper, lacking, longer):
            rewrite(path, wrong, meta)
            refused(reader, path)
            touched += 1
    assert touched


@pytest.mark.parametrize("good", NPZ, indirect=True)
def test_arrays_of_objects_and_of_texts(good):
    reader, path = good
    arrays, _ = contents(path)
    Run.ran = False
    for name, array in arrays.items():
        bomb = np.empty(array.shape, dtype=object)
        bomb[...] = Run()
        wrong = [bomb] if array.dtype.kind == "U" else [bomb, array.astype(str)]
        for other in wrong:
            rewrite(path, {**arrays, name: other}, {})
            refused(reader, path)
    assert not Run.ran
    with np.load(path, allow_pickle=True) as file:  # control: this is how the code would run
        rewrite(path, {"a": bomb}, {})
    with np.load(path, allow_pickle=True) as file:
        file["a"]
    assert Run.ran


HEADERS: dict[str, Callable[[str], str | None]] = {
    "nothing": lambda value: None,
    "half": lambda value: value[: len(value) // 2],
    "a number": lambda value: "5",
    "null": lambda value: "null",
    "a list of texts": lambda value: '["a", "b"]',
    "nested deeply": lambda value: "[" * 100_000,
    "another format": lambda value: "hsem-other/9",
}


@pytest.mark.parametrize("good", ["direction", "results", "pca", "annotation"], indirect=True)
@pytest.mark.parametrize("bad", HEADERS)
def test_headers_that_say_something_else(good, bad):
    reader, path = good
    arrays, meta = contents(path)
    if path.name == "a.npz":  # its header is an array of text
        meta = {key: str(arrays[key]) for key in ("format", "about")}
    for key, value in meta.items():
        other = HEADERS[bad](value)
        if key == "method" and bad in ("a number", "null", "a list of texts"):
            continue  # whatever it says is turned into a text
        changed = {k: v for k, v in {**meta, key: other}.items() if v is not None}
        if path.name == "a.npz":
            kept = {k: v for k, v in arrays.items() if k not in meta}
            rewrite(path, {**kept, **{k: np.array(v) for k, v in changed.items()}}, {})
        else:
            rewrite(path, arrays, changed)
        refused(reader, path)


@pytest.mark.parametrize(
    "change",
    [{"width": 20_000}, {"width": 10**9}, {"width": -1}, {"width": "2"}, {"attributes": []},
     {"attributes": [{"name": "yaw"}]}, {"attributes": 5}, {"metrics": None, "width": None},
     {"attributes": [{"name": "yaw", "unit": "", "mean": float("nan"), "spread": 1.0}]},
     *({"attributes": [{"name": "yaw", "unit": "", "mean": 0.0, "spread": 1.0, **wrong}]} for wrong
       in ({"binary": 2}, {"binary": None}, {"temperature": 0.0}, {"temperature": -1.0},
           {"name": None}, {"name": 5}))],
)  # fmt: skip
def test_cards_of_a_classifier(tmp_path, change, measured):
    path = tmp_path / "model.safetensors"
    make_classifier(path)
    card = json.loads((tmp_path / "attributes.json").read_text())
    (tmp_path / "attributes.json").write_text(json.dumps({**card, **change}))
    refused(READERS["classifier"], path)


@pytest.mark.parametrize(
    ("key", "change"),
    [*(("n", n) for n in (-5, 0, 3, 10**30, "8", 8.5)),
     *(("shape", shape) for shape in ([3, 4, 4], [3, -4, -2, 2], [3, 4, 2, 2.0])),
     ("squares", -1.0), ("total", -1.0)],
)  # fmt: skip
def test_states_that_no_pca_can_have(tmp_path, key, change):
    path = tmp_path / "p.safetensors"
    make_pca(path)
    arrays, meta = contents(path)
    if key in arrays:
        arrays[key] = with_first(arrays[key], change)
    else:
        meta["about"] = json.dumps({**json.loads(meta["about"]), key: change})
    rewrite(path, arrays, meta)
    refused(READERS["pca"], path)


@pytest.mark.parametrize("factor", ["abc", None, [2]])
def test_a_direction_times_something_else(tmp_path, factor):
    path = tmp_path / "d.safetensors"
    make_direction(path)
    arrays, meta = contents(path)
    rewrite(path, arrays, {**meta, "provenance": json.dumps({"factor": 2})})
    assert (2 * hsem.Direction.load(path)).provenance["factor"] == 4  # control
    rewrite(path, arrays, {**meta, "provenance": json.dumps({"factor": factor})})
    refused(READERS["direction"], path)


@pytest.mark.parametrize(
    "change",
    [{"widths": [20_000, 20_000]}, {"widths": [10**9]}, {"widths": [-1, 2]}, {"widths": []},
     {"widths": "22"}, {"spread": [float("nan")] * 6}, {"spread": None}, {"parts": 1}],
)  # fmt: skip
def test_cards_of_a_geometric_judge(tmp_path, change, measured):
    path = tmp_path / "model.safetensors"
    make_geometry(path)
    card = json.loads((tmp_path / "geometry.json").read_text())
    (tmp_path / "geometry.json").write_text(json.dumps({**card, **change}))
    refused(READERS["geometry"], path)


@pytest.mark.parametrize("good", NPZ, indirect=True)
def test_a_file_that_unpacks_to_gigabytes(good, measured):
    reader, path = good
    arrays, _ = contents(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                part.write(b"\x93NUMPY\x01\x00v\x00" + npy_head(50_000_000))
                for _ in range(400 // len(arrays)):
                    part.write(bytes(1_000_000))
    assert path.stat().st_size < 20e6
    with pytest.raises((OSError, ValueError), match=r"would unpack to [0-9.]+ GB"):
        reader.read(path)


@pytest.mark.parametrize("good", NPZ, indirect=True)
def test_a_small_file_whose_array_claims_gigabytes(good, measured):
    reader, path = good
    arrays, _ = contents(path)
    for name in arrays:
        with zipfile.ZipFile(path, "w") as archive:
            for other, array in arrays.items():
                with archive.open(f"{other}.npy", "w") as part:
                    if other == name:
                        part.write(b"\x93NUMPY\x01\x00v\x00" + npy_head(10**10) + bytes(80))
                    else:
                        np.lib.format.write_array(part, np.asarray(array))
        refused(reader, path)


@pytest.mark.parametrize("shape", [[10**10], [2**62, 4], [-1]])
def test_a_tensor_that_claims_gigabytes(tmp_path, shape, measured):
    for name in ("direction", "results", "pca", "classifier", "geometry"):
        path = tmp_path / READERS[name].file
        READERS[name].make(path)
        end = int(np.prod(np.array(shape, dtype=float)) * 4)
        head = {"delta_h": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
        text = json.dumps(head).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
        refused(READERS[name], path)


def test_pictures_run_no_code_either(tmp_path, measured):
    for name, data in (("a.png", pickle.dumps(Run())), ("b.png", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(OSError, match=name):
            read_photo(tmp_path / name)


def test_this_would_have_run_code():
    """Control of the trap itself."""
    Run.ran = False
    pickle.loads(pickle.dumps(Run()))
    assert Run.ran
