"""Whole numbers, and other words that are refused by name instead of by a foreign error."""

from __future__ import annotations

import json
import shutil
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hsem
from hsem.counts import whole_number
from hsem.diffusion.schedule import Schedule
from hsem.judges.scorers import from_function
from hsem.network.folders import DATA
from hsem.photos import read_photo

MODEL = hsem.tiny_unet()
H = torch.randn(8, 3, 16, 4, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
DIRECTION = hsem.Direction(H[0], (600, 300, 0), "test")
CURVE = torch.linspace(1, 0.01, 1000)


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_a_whole_number_passes(value: object) -> None:
    assert whole_number("n", value) == 3


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.mean(dim=(1, 2, 3))[:, None]


def keep_annotation(path: Path, whole: Any, real: Any) -> object:
    scorer = from_function(brightness, "b")
    settings: dict[str, Any] = {"steps": 2, "progress": False, "path": path}
    eta = [real(1), real(0)]
    hsem.annotate(MODEL, scorer, range(4), batch_size=whole(3), eta=eta, **settings)
    about = hsem.Annotation.load(path)
    return about.eta, about.provenance["batch_size"]


def keep_harvest(path: Path, whole: Any, real: Any) -> object:
    settings: dict[str, Any] = {"steps": 2, "progress": False, "checkpoint": path}
    pca = hsem.HSpacePCA(whole(2))
    hsem.harvest(MODEL, range(4), batch_size=whole(3), eta=real(1), pca=pca, **settings)
    again = hsem.HSpacePCA.load(path)
    assert again.provenance_ is not None
    return again.n_components, again.provenance_["batch_size"], again.provenance_["eta"]


def keep_direction(path: Path, whole: Any, real: Any) -> object:
    hsem.HSpacePCA(2).fit(H).direction(whole(1), (600, 300, 0)).save(path)
    return hsem.Direction.load(path).provenance["component"]


def keep_facts(path: Path, whole: Any, real: Any) -> object:
    facts = {"n": whole(3), "scale": real(0.5), "seeds": [whole(1), whole(2)]}
    found = hsem.results.save(path, MODEL, {"x": torch.ones(1)}, **facts)
    about = hsem.results.load(found).provenance
    return about["n"], about["scale"], about["seeds"]


@pytest.mark.parametrize(
    "keep", [keep_annotation, keep_harvest, keep_direction, keep_facts], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("whole, real", [(np.int64, np.float32), (np.int32, np.float16)])
def test_numbers_of_numpy_are_kept_as_plain_ones(keep, whole, real, tmp_path: Path) -> None:
    plain = keep(tmp_path / "plain", int, float)  # control
    assert repr(keep(tmp_path / "numpy", whole, real)) == repr(plain)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    odd = hsem.Direction(H[0], (600, 300, 0), "test", {"v": {1}})
    with pytest.raises(TypeError, match=r"\{1\} \(set\) cannot be kept as JSON"):
        odd.save(tmp_path / "d")


@pytest.mark.parametrize("eta", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5), [0.5] * 2])
def test_eta_is_any_number(eta: Any) -> None:
    found = hsem.sample(MODEL, [1], steps=2, eta=eta, progress=False).eta
    assert found == (0.5, 0.5) and {type(e) for e in found} == {float}


@pytest.mark.parametrize(
    "eta", ["1", ["0", "1"], np.float32(2), [np.float32("nan"), 0], [[1], [1]]]
)
def test_eta_that_is_none(eta: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        hsem.sample(MODEL, [1], steps=2, eta=eta, progress=False)


USUAL = [  # None is as many as usual
    lambda bad: hsem.invert(MODEL, IMAGES, steps=2, batch_size=bad),
    lambda bad: hsem.sample(MODEL, [0], steps=2, batch_size=bad),
]
CASES = {
    "steps": [
        lambda bad: Schedule.spaced(CURVE, bad, "linspace"),
        lambda bad: hsem.sample(MODEL, [0], steps=bad),
    ],
    "batch_size": [
        *USUAL,
        lambda bad: hsem.harvest(MODEL, range(8), steps=2, batch_size=bad),
        lambda bad: hsem.annotate(MODEL, lambda x: x[:, 0, 0], [0], steps=2, batch_size=bad),
        lambda bad: hsem.HSpacePCA(2).fit(H, batch_size=bad),
    ],
    "n_components": [hsem.HSpacePCA],
    "fixed_point": [lambda bad: hsem.invert(MODEL, IMAGES, steps=2, fixed_point=bad)],
    "size": [lambda bad: read_photo("picture.png", bad)],
}


@pytest.mark.parametrize("bad", [1.5, "2", None, -1])
@pytest.mark.parametrize("name, call", [(n, c) for n, calls in CASES.items() for c in calls])
def test_other_numbers_are_refused_by_name(name: str, call, bad: object) -> None:
    if bad is None and call in USUAL:
        call(bad)
        return
    with pytest.raises((TypeError, ValueError), match=f"{name}( must be|=)"):
        call(bad)


@pytest.mark.parametrize("bad", [[0.5], "12", ["3"], np.array([1.5]), np.int64(3), torch.tensor(3)])
def test_seeds_that_are_no_whole_numbers(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"seeds must (be integers|list one integer)"):
        hsem.sample(MODEL, bad, steps=2)


@pytest.mark.parametrize("seeds", [np.arange(3), torch.arange(3), range(3), [np.int8(0), 1.0, 2]])
def test_seeds_of_any_library(seeds: Any) -> None:
    assert hsem.sample(MODEL, seeds, steps=2, progress=False).seeds == (0, 1, 2)


@pytest.mark.parametrize("steps, fine", [([1.7], False), ("1", False), (torch.arange(1, 3), True)])
def test_steps_of_an_edit_are_whole_numbers(steps: Any, fine: bool) -> None:
    if fine:  # control
        assert hsem.only_at(lambda i, h: h + 1, steps)(2, H[0]).equal(H[0] + 1)
        return
    with pytest.raises(ValueError, match="steps must name step indices, whole numbers from 0 on"):
        hsem.only_at(lambda i, h: h, steps)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "two", [np.array(2.0), np.float64(2), Fraction(2), Decimal(2), True + True]
)
def test_a_direction_times_any_number(two: Any) -> None:
    for found in (DIRECTION * two, two * DIRECTION, DIRECTION / (1 / two)):
        assert found.delta_h.dtype == torch.float32 and torch.equal(found.delta_h, 2 * H[0])
        assert repr(found.provenance["factor"]) == "2.0"
    for other in ("2", None, DIRECTION):  # control
        with pytest.raises(TypeError):
            DIRECTION * other


@pytest.mark.parametrize("to", [25, np.int64(25), torch.tensor(25)])
def test_a_number_of_steps_is_no_grid(to: Any) -> None:
    with pytest.raises(TypeError, match=r"use resampled\(model.schedule\("):
        DIRECTION.resampled(to)


@pytest.mark.parametrize("other", [1, 1.5, None, H[0]])
def test_directions_are_added_to_directions_only(other: object) -> None:
    with pytest.raises(TypeError):
        DIRECTION + other
    with pytest.raises(TypeError):
        DIRECTION - other
    assert torch.equal(sum([DIRECTION, DIRECTION]).delta_h, 2 * H[0])  # control


@pytest.mark.parametrize("timesteps", [5, [float("nan")], [float("inf")], ["a"], torch.tensor(5)])
def test_timesteps_of_hooks_are_numbers(timesteps: object) -> None:
    with (
        pytest.raises(ValueError, match="timesteps must be numbers in descending order"),
        hsem.edit_h(MODEL.unet, lambda _, h: h, timesteps=timesteps),
    ):
        pass


@pytest.mark.parametrize("spacing, warned", [("leading", 1), ("linspace", 1), ("trailing", 0)])
def test_one_step_that_starts_without_noise_is_noticed(spacing: str, warned: int) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Schedule.spaced(CURVE, 1, spacing)
        Schedule.spaced(CURVE, 2, spacing)  # control
    assert len(seen) == warned


@pytest.mark.parametrize("bad", [None, IMAGES.numpy(), IMAGES[:0], IMAGES[0], IMAGES[..., :8]])
def test_inversion_names_its_images(bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match="images must"):
        hsem.invert(MODEL, bad, steps=2)


@pytest.mark.filterwarnings("ignore:.*not inverted")
def test_inversion_takes_any_precision_and_notices_the_range() -> None:
    def x_T(images: torch.Tensor) -> torch.Tensor:
        return hsem.invert(MODEL, images, steps=2, fixed_point=0, progress=False).x_T

    assert torch.equal(x_T(IMAGES.double()), x_T(IMAGES))
    resized = IMAGES.clamp(0, 1) * 1.01 - 0.005  # as resizing overshoots
    with pytest.warns(UserWarning, match=r"lie in \[0, 1\]"):
        x_T(resized)


def test_a_pca_of_too_few_samples_says_so_at_once() -> None:
    for few in (H[:0], H[:2]):
        with pytest.raises(RuntimeError, match="need more than 2 samples"):
            hsem.HSpacePCA(2).fit(few)
    hsem.HSpacePCA(2).fit(H[:3])  # control


@pytest.mark.parametrize("size", ["64", [64], 0, [64, 64.5], [64, 64, 64]])
def test_a_config_whose_size_is_none(size: object, tmp_path) -> None:
    folder = shutil.copytree(DATA / "portraits-64", tmp_path / "model")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "sample_size": size}))
    with pytest.raises(ValueError, match="is not one or two whole numbers"):
        hsem.load(folder)
