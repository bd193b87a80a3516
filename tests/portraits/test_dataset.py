"""Shards that go on where they stopped, in the format training reads; the table of the card."""

from pathlib import Path

import numpy as np
import pytest

import hsem.files
from portraits.dataset import draw as dataset
from portraits.dataset import files, parts
from portraits.dataset.correlations import strongest
from portraits.dataset.draw import Shard, draw_shard, save_subset, shards
from portraits.dataset.files import pack, read_images, read_labels
from portraits.dataset.sampler import sample
from portraits.renderer.factors import LABELS, Portrait, labels
from portraits.train.checkpoint import CHECKPOINT, read_checkpoint
from portraits.train.classifier import load_targets
from portraits.train.data import load_images


class PlainStudio:
    """Paints the age of a portrait instead of drawing it."""

    def render(self, portrait: Portrait, size: int) -> np.ndarray:
        return np.full((size, size, 3), round(portrait.age), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "SHARD", 4)
    for split, total in (("train", 10), ("held", 4)):
        for shard in shards(tmp_path, split, total):
            draw_shard(PlainStudio(), shard)
    return tmp_path


def test_shards_cover_everything_once(tmp_path):
    todo = list(shards(tmp_path, "train", 1200))
    assert [(s.first, s.length) for s in todo] == [(0, 500), (500, 500), (1000, 200)]
    assert [s.path.name for s in todo][1] == "train_000500.npz"


def test_what_is_there_is_kept(folder):
    assert not list(shards(folder, "train", 10))
    assert len(list(folder.iterdir())) == 4
    (folder / "train_000004.npz").unlink()
    assert [s.first for s in shards(folder, "train", 10)] == [4]


def test_what_a_killed_writer_leaves_is_no_shard(folder, monkeypatch):
    """A kill while a file is written: its half must not match train_*.npz."""
    before = read_labels(folder)
    monkeypatch.setattr(hsem.files.os, "replace", lambda *a: (_ for _ in ()).throw(SystemExit))
    monkeypatch.setattr(Path, "unlink", lambda *a, **k: None)  # it is gone
    for write in (
        lambda: draw_shard(PlainStudio(), Shard("train", 12, 4, folder / "train_000012.npz")),
        lambda: pack(folder, folder / "train_q95.npz", "train", 101),
    ):
        with pytest.raises(SystemExit):
            write()
    assert len(list(folder.glob(".train_*.part"))) == 2  # control: they are there
    np.testing.assert_array_equal(read_labels(folder), before)


def test_each_portrait_depends_on_its_own_number(folder):
    images = load_images(folder)
    assert images.shape == (10, 3, 64, 64)
    for k in (0, 5, 9):
        p = sample(np.random.default_rng([2026, k]))
        assert images[k].float().mean() == round(p.age)
        np.testing.assert_array_equal(read_labels(folder)[k], labels(p))
    held = load_images(folder, "held")
    assert held[0].float().mean() == round(sample(np.random.default_rng([7, 0])).age)
    assert not np.array_equal(held[0], images[0])  # control
    assert load_targets(folder, "train").shape[0] == 10


def test_subset_for_the_package(folder, tmp_path):
    draw_shard(PlainStudio(), Shard("held", 0, 4, folder / "held_000000.npz"))
    save_subset(folder, tmp_path / "held_out.npz", 3)
    with np.load(tmp_path / "held_out.npz") as file:
        assert file["images"].shape == (3, 64, 64, 3) and tuple(file["names"]) == LABELS


def test_strongest_correlations_of_a_known_table():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4000, len(LABELS)))
    columns = {name: k for k, name in enumerate(LABELS)}
    table[:, columns["smile"]] += table[:, columns["age"]]  # r = 0.71
    table[:, columns["hair_r"]] = table[:, columns["hair_g"]]  # restated: not listed
    table[:, columns["african"]] = -table[:, columns["asian"]]
    found = list(strongest(table, 0.2))
    assert [{a, b} for a, b, _ in found] == [{"age", "smile"}]
    assert found[0][2] == pytest.approx(0.5**0.5, abs=0.03)


def test_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no train_\*\.npz"):
        read_labels(tmp_path)


@pytest.mark.parametrize(("quality", "tolerance"), [(101, 0), (95, 3)])
def test_a_pack_gives_back_what_it_was_made_of(folder, tmp_path, quality, tolerance):
    trip = tmp_path / "trip"
    trip.mkdir()
    assert pack(folder, trip / "train_q.npz", "train", quality) == 10
    assert pack(folder, trip / "held_q.npz", "held", quality, count=3) == 3
    ours, theirs = read_images(trip).astype(int), read_images(folder).astype(int)
    assert np.abs(ours - theirs).max() <= tolerance
    assert np.abs(ours - theirs[::-1]).max() > 3  # control: another order is another data set
    np.testing.assert_array_equal(read_labels(trip), read_labels(folder))
    # one file may be named, too, and the other split is found beside it
    assert len(read_images(trip / "train_q.npz")) == 10
    assert len(read_images(trip / "train_q.npz", "held")) == 3
    assert load_images(trip / "held_q.npz", "held").shape == (3, 3, 64, 64)


def test_a_named_file_is_the_one_that_is_read(folder, tmp_path):
    trip = tmp_path / "trip"
    trip.mkdir()
    pack(folder, trip / "train_x.npz", "train", 101, count=2)
    pack(folder, trip / "mine.npz", "train", 101, count=5)
    mine, all_of_them = read_images(trip / "mine.npz"), read_images(folder)
    np.testing.assert_array_equal(mine, all_of_them[:5])  # not its sibling's two
    assert len(read_labels(trip / "mine.npz")) == 5
    assert len(read_images(trip)) == 2  # control: a folder goes by the names
    with pytest.raises(FileNotFoundError, match=r"file of train .* beside it lies no held_\*"):
        read_images(trip / "mine.npz", "held")
    pack(folder, trip / "held_q.npz", "held", 101, count=3)
    assert len(read_images(trip / "mine.npz", "held")) == 3
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_images(trip / "train_typo.npz")  # not train_x.npz beside it


def test_pictures_keep_their_place_in_a_mosaic():
    images = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(files._cut(files._mosaic(images))[:70], images)
    assert not files._cut(files._mosaic(images))[70:].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk", "not a zip file"),
        ({"other": np.zeros(3)}, "KeyError"),
        ({"images": np.zeros((3, 5, 5, 3), np.float32)}, "images must have shape"),
        ({"count": np.array(3), "m000000": np.frombuffer(b"junk", np.uint8)}, "Unidentified"),
        ({"images": np.array([{}], object)}, "pickle"),
    ],
)
def test_damaged_and_foreign_pictures_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "train_0.npz"
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(OSError, match=f"train_0.npz.*{message}.*portraits/README"):
        read_images(tmp_path)
    with pytest.raises(OSError, match=r"train_0.npz.*portraits/README"):
        read_labels(tmp_path)


def test_a_pack_that_lost_a_mosaic_is_refused(folder, tmp_path):
    """Its pictures would no longer be those of its labels."""
    pack(folder, tmp_path / "mine.npz", "train", 101)
    assert len(read_images(tmp_path / "mine.npz")) == 10  # control
    with np.load(tmp_path / "mine.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "mine.npz", **(arrays | {"count": np.array(2000)}))
    with pytest.raises(OSError, match=r"mine.npz.*images must have shape \(1024"):
        read_images(tmp_path / "mine.npz")


def test_labels_that_are_nan_or_of_other_factors_are_refused(tmp_path):
    good = np.zeros((3, len(LABELS)), np.float32)
    bad = good.copy()
    bad[1, 2] = np.nan
    for labels_, message in (
        (bad, "NaN"),
        (good[:, :5], "must have shape"),
        (good.astype(int), "kind"),
    ):
        np.savez(tmp_path / "train_0.npz", labels=labels_)
        with pytest.raises(OSError, match=f"train_0.npz.*{message}"):
            read_labels(tmp_path)
    np.savez(tmp_path / "train_0.npz", labels=good)
    assert len(read_labels(tmp_path)) == 3  # control


def test_parts_and_checkpoints_that_are_something_else_are_refused_by_name(tmp_path):
    (tmp_path / "held_0.npz").write_bytes(b"junk")
    with pytest.raises(OSError, match=r"held_0.npz.*portraits.dataset.parts"):
        parts.read(tmp_path, "held")
    for content in (b"junk", b"version https://git-lfs.github.com/spec/v1\n"):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(OSError, match=rf"{CHECKPOINT}.*is not a checkpoint of a run"):
            read_checkpoint(tmp_path)
    (tmp_path / CHECKPOINT).unlink()
    with pytest.raises(FileNotFoundError, match="there is no checkpoint at"):
        read_checkpoint(tmp_path)
