"""Pairs differ in the expression alone, sweeps in one factor alone."""

import os
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from portraits.dataset.controlled import (
    EXPRESSIONS,
    INTENSITIES,
    NEUTRAL,
    SWEEPS,
    express,
    person,
    sweep,
)
from portraits.dataset.regions import on_skin, overlay, regions_of
from portraits.dataset.sampler import sample
from portraits.dataset.sheets import save, sheet, with_row_names
from portraits.renderer.factors import FACTORS
from portraits.renderer.studio import PARTS


def differing(a, b):
    return {f.name for f in fields(a) if getattr(a, f.name) != getattr(b, f.name)}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_changes_the_face_and_nothing_else(name):
    neutral = person(3)
    assert {n: getattr(neutral, n) for n in NEUTRAL} == NEUTRAL
    for intensity in INTENSITIES:
        changed = differing(neutral, express(neutral, name, intensity))
        assert changed == set(EXPRESSIONS[name].factors) | {"face_units"}
    assert len(differing(neutral, person(4))) > 20  # control: another person


def test_intensity_scales_from_neutral():
    neutral = person(0)
    half, full = (express(neutral, "fear", i) for i in (0.5, 1.0))
    assert express(neutral, "fear", 0).eye_open == neutral.eye_open
    for name in EXPRESSIONS["fear"].factors:
        mean = (getattr(neutral, name) + getattr(full, name)) / 2
        assert getattr(half, name) == pytest.approx(mean)
    assert half.face_units.keys() == full.face_units.keys()
    assert all(half.face_units[n] == pytest.approx(w / 2) for n, w in full.face_units.items())
    with pytest.raises(ValueError, match=r"no expression 'boredom'; there are happiness"):
        express(neutral, "boredom", 1.0)


def test_people_who_make_faces_look_ahead_and_differ():
    people = [person(k) for k in range(20)]
    assert all(p.yaw == p.pitch == p.roll == p.gaze_x == 0 for p in people)
    assert not any(p.hat or p.glasses for p in people)
    assert len({p.skin_tone for p in people}) == 20


@pytest.mark.parametrize("factor", SWEEPS)
def test_a_sweep_changes_one_factor(factor):
    frames = list(sweep(sample(np.random.default_rng(1)), factor))
    values = [getattr(p, factor) for p in frames]
    assert values == pytest.approx(np.linspace(*SWEEPS[factor], 8).tolist())
    assert all(differing(a, b) == {factor} for a, b in pairwise(frames))
    assert FACTORS[factor].low <= min(values) and max(values) <= FACTORS[factor].high


# -------------------------------------------------------------------------------- face regions


@pytest.mark.parametrize(
    ("point", "region"),
    [
        ((-0.31, 7.28, 1.3), "left_eye"),
        ((0.31, 7.28, 1.3), "right_eye"),
        ((0.3, 7.42, 1.4), "brows"),
        ((0.0, 6.9, 1.65), "nose"),
        ((0.0, 6.6, 1.55), "mouth"),
        ((0.0, 6.25, 1.45), "chin"),
    ],
)
def test_points_of_the_neutral_head(point, region):
    found = on_skin(np.array(point)[None])
    inside = {name for name, where in found.items() if where[0]}
    assert inside == {region, "face"}
    behind = on_skin(np.array([point[0], point[1], -0.5])[None])  # control: back of the head
    assert not any(where[0] for where in behind.values())


def test_regions_of_a_picture_of_parts():
    part = np.full((2, 3), PARTS.index("background"))
    part[0] = PARTS.index("eyes"), PARTS.index("mouth"), PARTS.index("skin")
    part[1, 0] = PARTS.index("hair")
    place = np.zeros((2, 3, 3))
    place[0, 0] = -0.3, 7.3, 1.3
    place[0, 2] = 0.0, 6.9, 1.65
    found = regions_of(part, place)
    assert found["left_eye"].tolist() == [[True, False, False], [False] * 3]
    assert not found["right_eye"].any() and found["mouth"][0, 1] and found["nose"][0, 2]
    assert found["face"].sum() == 3 and found["hair"][1, 0] and found["background"].sum() == 2


def test_pages(tmp_path):
    black = np.zeros((4, 6, 3), np.uint8)
    page = sheet([black] * 5, 3, gap=1)
    assert page.shape == (2 * 5 + 1, 3 * 7 + 1, 3)
    assert (page == 0).sum() == 5 * black.size
    for k, path in enumerate([tmp_path / "sheet.webp"] * 2):
        save(page + k, path)
        if not k:
            old = path.read_bytes()
            os.link(path, tmp_path / "witness")
    assert (tmp_path / "witness").read_bytes() == old != path.read_bytes()  # not written in place
    named = with_row_names(page, ["first", "second"], width=60)
    assert named.shape == (11, 82, 3)
    assert np.array_equal(named[:, 60:], page) and named[:, :60].min() < 128
    table = {"mouth": np.eye(64)}
    assert overlay(table, np.full((64, 64, 3), 100.0)).dtype == np.uint8
