"""The pictures in the package are what their labels say."""

import numpy as np
import pytest
import torch

import hsem
from hsem import masks
from hsem.datasets import expressions
from hsem.supervised.examples import expression_pairs

SIX = {"happiness", "sadness", "anger", "fear", "disgust", "surprise"}


@pytest.fixture(scope="module")
def pictures():
    return expressions()


def test_a_hundred_people_and_seven_faces(pictures):
    assert len(pictures) == 700 and pictures.images.shape == (700, 3, 64, 64)
    assert -1 <= pictures.images.min() < -0.5 and 0.5 < pictures.images.max() <= 1
    assert set(pictures.expression) == SIX | {"neutral"}
    assert all(pictures.subject.count(k) == 7 for k in range(100))


@pytest.mark.parametrize("expression", sorted(SIX))
def test_pairs_share_everything_but_the_face(pictures, expression):
    positive, negative = expression_pairs(pictures, expression)
    assert len(positive) == 100
    assert [pictures.subject[k] for k in positive] == [pictures.subject[k] for k in negative]
    different = pictures.labels[positive] != pictures.labels[negative]
    changed = {n for n, d in zip(pictures.names, different.any(dim=0), strict=True) if d}
    assert changed <= {"smile", "mouth_open", "eye_open", "brow_raise"}
    change = pictures.images[positive] - pictures.images[negative]
    per_row = change.square().mean(dim=(0, 1, 3))
    assert per_row[16:].mean() > 20 * per_row[:8].mean()  # the face, and not the crown, changes
    other = pictures.images[positive.roll(1)] - pictures.images[negative]
    assert other.square().mean() > 4 * change.square().mean()  # control: another person's face


def test_expressions_move_their_own_factors(pictures):
    happy, neutral = expression_pairs(pictures, "happiness")
    sad, _ = expression_pairs(pictures, "sadness")
    assert bool((pictures["smile"][happy] > pictures["smile"][neutral]).all())
    assert bool((pictures["smile"][sad] < pictures["smile"][neutral]).all())


def test_errors(tmp_path):
    np.savez(tmp_path / "half.npz", images=np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(OSError, match=r"it must hold images, labels.*intensity"):
        expressions(tmp_path / "half.npz")


@pytest.mark.parametrize(("dtype", "fine"), [(np.uint8, True), (np.uint16, False)])
def test_other_numbers_than_bytes_are_refused(tmp_path, dtype, fine):
    path, labels = tmp_path / "a.npz", np.zeros((1, 1), np.float32)
    images = np.full((1, 4, 4, 3), np.iinfo(dtype).max, dtype)
    np.savez(path, images=images, labels=labels, names=np.array(["a"]))
    if fine:  # control
        assert hsem.datasets.portraits(path).images.max() == 1
        return
    with pytest.raises(OSError, match="images must be uint8, got uint16"):
        hsem.datasets.portraits(path)


def test_held_out_portraits_differ_from_expression_portraits(pictures):
    held = hsem.datasets.portraits()
    assert held.names == pictures.names
    assert pictures["yaw"].abs().max() == 0 and held["yaw"].abs().max() > 10


# ------------------------------------------------------------------- the table of face regions


@pytest.mark.parametrize("name", masks.region_names())
def test_regions_hold_pixels_at_the_usual_threshold(name):
    assert 10 < masks.region(name).sum() < 2500


def test_regions_lie_where_parts_of_a_face_lie():
    def centre(name):
        rows, columns = masks.region(name).nonzero().float().mean(dim=0).tolist()
        return rows, columns

    assert centre("left_eye")[1] < 31 < centre("right_eye")[1]  # of the picture
    heights = [centre(name)[0] for name in ("hair", "eyes", "nose", "mouth", "chin")]
    assert heights == sorted(heights)
    eyes = torch.maximum(masks.region("left_eye"), masks.region("right_eye"))
    assert float((eyes - masks.region("eyes")).abs().mean()) < 0.01
    assert float((masks.region("face") * masks.region("background")).sum()) == 0
