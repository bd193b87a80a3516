"""`torch.set_default_dtype` and `torch.set_default_device` change nothing: a seed is a picture.

The other default device is "meta", on which nothing can be computed at all: whatever forgets to
name its device fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hsem
from hsem.evaluation.effects import effect_matrix
from hsem.evaluation.manifold import off_manifold
from hsem.evaluation.stability import ratio_interval
from hsem.judges.scorers import from_function
from tests.painter import HALVES, Painter

MODEL = hsem.tiny_unet(0)
PAINTER = Painter()
PLANTED = {"upper": PAINTER.last_step(2, 0.1, 0.05)}
QUIET: dict[str, Any] = {"progress": False}
FIXED = hsem.draw_noise(MODEL, range(6), 4)[1]  # (6, 4, 3, 16, 16), what a test is given
H_SEQS = FIXED[:, :, :, :2, :2]
DIRECTION = hsem.Direction(
    FIXED.flatten(2)[0, :, : 16 * 16].reshape(4, 16, 4, 4), MODEL.schedule(4).timesteps
)
SCORER = from_function(lambda images: images.mean(dim=(2, 3)), ["r", "g", "b"])
SCORES = FIXED[:, :, 0, 0, 0].double()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def sampled(**options: Any) -> hsem.Samples:
    return hsem.sample(MODEL, range(2), steps=4, **QUIET, **options)


def table() -> hsem.Annotation:
    return hsem.Annotation(range(6), SCORES, tuple("abcd"), DIRECTION.timesteps, (1.0,) * 4)


def examples() -> hsem.Examples:
    return hsem.Examples("a", (1, 2, 3), (4, 5, 6), DIRECTION.timesteps, (1.0,) * 4)


def harvested() -> hsem.HSpacePCA:
    return hsem.harvest(MODEL, range(5), steps=3, pca=hsem.HSpacePCA(2), **QUIET)


WORK: dict[str, Callable[[], Any]] = {
    "tiny_unet": lambda: hsem.tiny_unet(1).unet.conv_in.weight,
    "draw_noise": lambda: hsem.draw_noise((3, 8, 8), [1, 2], 2),
    "sample": lambda: sampled().images,
    "z of samples": lambda: sampled(record=()).z,
    "sample with an edit": lambda: sampled(edit=hsem.add(DIRECTION, 0.3)).images,
    "slerp": lambda: hsem.slerp(H_SEQS[0], H_SEQS[1], 0.3),
    "invert": lambda: hsem.invert(MODEL, FIXED[:1, 0] / 4, steps=3, fixed_point=0, **QUIET).x_T,
    "random_like": lambda: hsem.random_like(DIRECTION, seeded()).delta_h,
    "resampled": lambda: DIRECTION.resampled((700, 300, 10)).delta_h,
    "project_out": lambda: hsem.project_out(
        DIRECTION, [hsem.random_like(DIRECTION, seeded())]
    ).delta_h,
    "a schedule": lambda: hsem.Schedule.spaced([1.0, 0.9, 0.5, 0.1], 3, "linspace").levels(),
    "harvest": lambda: (harvested().direction(0).delta_h, harvested().seeds_),
    "PCA": lambda: hsem.HSpacePCA(2).fit(H_SEQS).direction(1, (30, 20, 10, 0)).delta_h,
    "joint PCA of numpy": lambda: (
        hsem.HSpacePCA(2, joint=True).fit(H_SEQS.numpy()).direction(0, (30, 20, 10, 0)).delta_h
    ),
    "image_directions": lambda: hsem.image_directions(MODEL, sampled(), step=2, k=2, tol=0.1).v,
    "focused": lambda: hsem.image_directions(
        MODEL, sampled(), step=2, k=1, tol=0.1, outside="penalise",
        mask=hsem.masks.rectangle(MODEL, 0, 0, 0.5, 0.5), max_rounds=60,
    ).v,
    "masks": lambda: (
        hsem.masks.ellipse(16, 0.5, 0.5, 0.3, 0.2, angle=30),
        hsem.masks.polygon(16, [(0, 0), (1, 0), (0.5, 1)]),
        hsem.masks.from_array(np.eye(4), 16),
        hsem.masks.region("mouth"),
        *hsem.masks.smallest_box(FIXED[0, 0]),
    ),
    "annotate": lambda: hsem.annotate(MODEL, SCORER, range(3), steps=2, **QUIET).scores,
    "extremes": lambda: hsem.extremes(table(), "a", count=2, balance="b").positive,
    "draw": lambda: examples().draw(2, seeded()).positive,
    "supervised": lambda: hsem.supervised_direction(MODEL, examples(), **QUIET).delta_h,
    "bootstrap_angles": lambda: hsem.bootstrap_angles(SCORES[:, :, None], 2, repeats=3),
    "ratio_interval": lambda: ratio_interval(SCORES[:, 0].abs(), SCORES[:, 1].abs()),
    "effects": lambda: effect_matrix(
        PAINTER, PLANTED, HALVES, n=3, repeats=2, **QUIET
    ).effects,
    "off_manifold": lambda: off_manifold(SCORES[:2], SCORES, 1),
    "classifier": lambda: hsem.classifier.load()(torch.zeros(1, 3, 64, 64, dtype=torch.float32,
                                                             device="cpu")),
    "geometry": lambda: hsem.geometry.load()(torch.zeros(1, 3, 64, 64, dtype=torch.float32,
                                                         device="cpu")),
    "portraits": lambda: hsem.datasets.portraits().images[:2],
    "record_h": lambda: recorded(),
}  # fmt: skip


def recorded() -> Tensor:
    with hsem.record_h(MODEL.unet) as record:
        MODEL.unet(FIXED[:1, 0], 100)
    return record.h[0]


@contextmanager
def defaults(dtype: torch.dtype | None = None, device: str | None = None) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or before)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


def assert_same(got: Any, expected: Any) -> None:
    if isinstance(got, Tensor):
        assert (got.dtype, got.device) == (expected.dtype, expected.device)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    elif isinstance(got, (tuple, list)):
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b)
    else:
        assert got == expected


@pytest.mark.parametrize("name", WORK)
def test_another_default_dtype_changes_nothing(name: str) -> None:
    expected = WORK[name]()
    with defaults(dtype=torch.float64):
        got = WORK[name]()
        assert torch.ones(1).dtype == torch.float64  # control: it is the default
    assert_same(got, expected)


@pytest.mark.parametrize("load", [hsem.classifier.load, hsem.geometry.load])
def test_judges_under_a_default_that_numpy_does_not_know(load: Callable[[], Any]) -> None:
    """numpy has no bfloat16, in which their numbers would be if nobody said float32."""
    images = FIXED.flatten()[: 3 * 64**2].view(1, 3, 64, 64).to("cpu") / 4
    expected = load()(images)
    with defaults(dtype=torch.bfloat16):
        got = load()(images)
        with pytest.raises(TypeError, match="BFloat16"):  # control
            np.asarray(torch.ones(1))
    assert_same(got, expected)


def test_a_clip_of_random_weights_under_other_defaults() -> None:
    pytest.importorskip("transformers", reason="the optional package of hsem[hub]")
    from hsem.judges.random_clip import random_clip

    def weights(seed: int = 0) -> Tensor:
        return next(random_clip(device="cpu", seed=seed).model.vision_model.parameters())

    expected = weights()
    assert not torch.equal(expected, weights(1))  # control
    for dtype in (torch.float64, torch.bfloat16):
        with defaults(dtype=dtype):
            got = weights()
        assert torch.equal(got, expected) and got.dtype == torch.float32


@pytest.mark.parametrize("load", [hsem.classifier.load, hsem.geometry.load, hsem.tiny_unet])
def test_the_global_seed_is_left_alone(load: Callable[[], Any]) -> None:
    def next_number(work: Callable[[], Any]) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            work()
            return torch.randn(1)

    expected = next_number(lambda: None)
    assert torch.equal(next_number(load), expected)
    assert not torch.equal(next_number(lambda: torch.nn.Linear(1, 1)), expected)  # control


@pytest.mark.parametrize("name", sorted(WORK.keys() - {"tiny_unet"}))  # a scheduler of diffusers
def test_another_default_device_changes_nothing(name: str) -> None:
    expected = WORK[name]()
    with defaults(device="meta"):
        got = WORK[name]()
        assert torch.ones(1).device.type == "meta"  # control
    assert_same(got, expected)
