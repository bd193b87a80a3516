"""The sampler: one seed, one portrait; ranges; the correlations that it is said to have."""

from dataclasses import fields, replace

import numpy as np
import pytest

from hsem.datasets import portraits as held_out
from portraits.dataset.sampler import CORRELATIONS, sample
from portraits.renderer import shape
from portraits.renderer.colours import hair_colour, luminance, skin_colour
from portraits.renderer.factors import ANCESTRIES, FACTORS, LABELS, labels
from portraits.train.classifier import COLUMNS


def draw(seed, number):
    return sample(np.random.default_rng([seed, number]))


@pytest.fixture(scope="module")
def table():
    """Labels (2000, 37) of a seed that no data set uses."""
    return np.stack([labels(draw(99, k)) for k in range(2000)])


def test_one_seed_one_portrait():
    assert draw(5, 3) == draw(5, 3)
    assert draw(5, 3) != draw(5, 4)
    assert draw(5, 3) != draw(6, 3)


def test_the_portraits_in_the_package_come_from_this_sampler():
    pictures = held_out()
    assert pictures.names == LABELS
    mine = np.stack([labels(draw(7, k)) for k in range(len(pictures))])
    np.testing.assert_array_equal(mine, pictures.labels.numpy())
    others = np.stack([labels(draw(8, k)) for k in range(len(pictures))])  # control
    assert (others != mine).mean() > 0.5


def test_the_classifier_reads_the_same_columns():
    assert tuple(COLUMNS) == LABELS


@pytest.mark.parametrize("name", LABELS)
def test_ranges(table, name):
    column, factor = table[:, LABELS.index(name)], FACTORS[name]
    assert factor.low - 1e-6 <= column.min() and column.max() <= factor.high + 1e-6
    assert column.max() - column.min() > 0.35 * (factor.high - factor.low)  # and not only a corner
    if factor.unit in ("yes/no", "kind"):
        assert np.array_equal(column, column.round())


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize(("cause", "effect"), CORRELATIONS)
def test_correlations_are_there(table, cause, effect):
    a, b = (table[:, LABELS.index(name)] for name in (cause, effect))
    sign, about = CORRELATIONS[cause, effect]
    assert about
    assert sign * correlation(a, b) > 0.06, "5 standard errors are 0.11, 3 are 0.067"
    shuffled = np.random.default_rng(0).permutation(b)
    assert abs(correlation(a, shuffled)) < 0.09


@pytest.mark.parametrize("other", ["yaw", "pitch", "roll", "light_azimuth", "light_ambient"])
@pytest.mark.parametrize("name", ["gender", "age", "smile", "skin_tone", "glasses", "hat", "bg_r"])
def test_what_is_not_named_is_independent(table, name, other):
    assert abs(correlation(table[:, LABELS.index(name)], table[:, LABELS.index(other)])) < 0.09


def test_a_woman_with_a_cap_wears_a_beanie_and_men_have_caps():
    capped = [p for p in (draw(3, k) for k in range(600)) if p.hat and p.hat_type == "cap"]
    assert capped and all(p.gender > 0.5 for p in capped)


def test_labels_follow_what_is_seen():
    p = replace(draw(1, 0), glasses=False, sunglasses=True, hat=False, hat_type="fedora")

    def label(portrait, name):
        return labels(portrait)[LABELS.index(name)]

    assert label(p, "sunglasses") == label(p, "glasses_shape") == label(p, "hat_type") == 0
    worn = replace(p, glasses=True, hat=True)
    assert label(worn, "sunglasses") == label(worn, "glasses") == label(worn, "hat_type") == 1
    assert label(worn, "glasses_shape") == pytest.approx(p.glasses_form.shape)
    white = replace(p, background=(1.0, 1.0, 1.0))
    assert [label(white, f"bg_{c}") for c in "rgb"] == [1, 1, 1]


def test_a_portrait_cannot_be_changed_by_accident():
    p = draw(1, 1)
    with pytest.raises(AttributeError):
        p.yaw = 3.0
    with pytest.raises(TypeError):
        p.shape["nose-hump-incr"] = 1.0
    assert {f.name for f in fields(p)} >= {"yaw", "shape", "face_units", "grain"}


def test_colours_run_from_dark_to_light():
    tones = [luminance(skin_colour(t)) for t in np.linspace(0, 1, 20)]
    assert np.all(np.diff(tones) > 0)
    hair = [luminance(hair_colour(light, 0, 0)) for light in np.linspace(0, 1, 20)]
    assert np.all(np.diff(hair) > 0)
    red, grey = hair_colour(0.4, 1, 0), hair_colour(0.4, 1, 1)
    assert red[0] > 2 * red[1] and np.ptp(grey) < 0.03


def test_macro_weights_are_shares():
    ancestry = dict(zip(ANCESTRIES, (0.2, 0.3, 0.5), strict=True))
    for gender, age, weight in ((0.0, 16, 0.2), (0.7, 40, 0.5), (1.0, 85, 0.9)):
        weights = shape.macro_weights(gender, age, ancestry, weight)
        people = [w for name, w in weights.items() if not name.startswith("universal")]
        bodies = [w for name, w in weights.items() if name.startswith("universal")]
        assert sum(people) == pytest.approx(1) and sum(bodies) == pytest.approx(1)
        assert min(weights.values()) >= 0
    child = shape.macro_weights(0.5, 12, ancestry)
    assert all(w == 0 for name, w in child.items() if "young" in name)


def test_targets_that_a_head_lacks_are_left_out():
    p = draw(1, 2)
    name = next(name for name, weight in p.shape.items() if weight)
    assert name in shape.target_weights(p, set(p.shape))
    assert name not in shape.target_weights(p, set(p.shape) - {name})


def test_expression_factors_move_their_own_face_units():
    p = replace(draw(1, 3), smile=0.0, mouth_open=0.0, eye_open=1.0, brow_raise=0.0)
    neutral = shape.target_weights(p, p.shape)
    for change, unit in (
        ({"smile": 0.5}, "fu-mouthSmileLeft"),
        ({"smile": -0.5}, "fu-mouthFrownRight"),
        ({"mouth_open": 0.5}, "fu-jawOpen"),
        ({"eye_open": 0.3}, "fu-eyeBlinkLeft"),
        ({"eye_open": 1.2}, "fu-eyeWideLeft"),
        ({"brow_raise": -0.5}, "fu-browDownLeft"),
        ({"face_units": {"noseSneerLeft": 0.5}}, "fu-noseSneerLeft"),
    ):
        assert unit not in neutral
        assert shape.target_weights(replace(p, **change), p.shape)[unit] > 0
