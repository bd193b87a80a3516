"""Whatever the package returns can be sent to another process, and copied."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import hsem
from hsem import results
from hsem.evaluation.effects import effect_matrix, table_one
from hsem.judges.scorers import from_function, join, select
from tests.painter import HALVES, Painter

MODEL = hsem.tiny_unet(0)
STEPS = 4
SCHEDULE = MODEL.schedule(STEPS)
QUIET: dict[str, Any] = {"progress": False}


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def brightness(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


SCORER = from_function(brightness, ["r", "g", "b"])
DIRECTION = hsem.Direction(
    noise(STEPS, *MODEL.h_shape), SCHEDULE.timesteps, "test", hsem.provenance_of(MODEL, seeds=[1])
)
H_SEQ = noise(1, STEPS, *MODEL.h_shape)
ADD = hsem.add(DIRECTION, 2.0)
EDITS: dict[str, hsem.Edit] = {
    "add": ADD,
    "add, one per sample": hsem.add(DIRECTION, torch.tensor([1.0, -1.0])),
    "add a tensor": hsem.add(noise(STEPS, *MODEL.h_shape)),
    "add one tensor per sample": hsem.add(noise(2, STEPS, *MODEL.h_shape)),
    "swap": hsem.swap(H_SEQ),
    "blend": hsem.blend(H_SEQ, 0.3),
    "blend, slerp": hsem.blend(H_SEQ, torch.tensor([0.3, 0.6]), "slerp"),
    "masked": hsem.masked(ADD, torch.eye(4)),
    "only_at": hsem.only_at(ADD, [0, 2]),
    "between": hsem.between(ADD, 600, 200, SCHEDULE),
    "chain": hsem.chain(ADD, hsem.masked(hsem.swap(H_SEQ), torch.eye(4)), hsem.only_at(ADD, [1])),
}


def sampled(edit: hsem.Edit | None = None, **options: Any) -> hsem.Samples:
    return hsem.sample(MODEL, range(2), steps=STEPS, edit=edit, **QUIET, **options)


def recorded() -> hsem.HRecord:
    with hsem.record_h(MODEL) as record:
        for t in SCHEDULE.timesteps:
            MODEL.unet(noise(2, 3, 16, 16), t)
    return record


def stored(tmp: Any) -> results.Results:
    path = results.save(tmp / "x.safetensors", MODEL, {"n": noise(3)}, directions={"d": DIRECTION})
    return results.load(path)


PAINTER = Painter()
PLANTED = {"upper": PAINTER.last_step(2, 0.1, 0.05), "lower": PAINTER.last_step(2, 0.0, 0.1)}


def learned() -> Any:
    annotation = hsem.annotate(PAINTER, HALVES, range(20), steps=2, eta=0, **QUIET)
    return hsem.learning_curve(
        PAINTER, hsem.extremes(annotation, "upper", count=6), (1, 2), draws=2,
        generator=torch.Generator().manual_seed(0), scorer=HALVES, seeds=range(2), **QUIET,
    )  # fmt: skip


def annotated() -> hsem.Annotation:
    return hsem.annotate(MODEL, SCORER, range(12), steps=2, **QUIET)


OBJECTS: dict[str, Callable[[Any], Any]] = {
    "Direction": lambda tmp: DIRECTION,
    "Schedule": lambda tmp: SCHEDULE,
    "Annotation": lambda tmp: annotated(),
    "Examples": lambda tmp: hsem.extremes(annotated(), "r", count=2),
    "Samples": lambda tmp: sampled(),
    "Samples with an edit": lambda tmp: sampled(EDITS["chain"]),
    "Inversion": lambda tmp: hsem.invert(
        MODEL, noise(1, 3, 16, 16) / 4, steps=3, fixed_point=0, **QUIET
    ),
    "Results": stored,
    "HRecord": lambda tmp: recorded(),
    "HSpacePCA": lambda tmp: hsem.HSpacePCA(2).fit(noise(8, 3, 4, 2, 2)),
    "HSpacePCA, harvested": lambda tmp: hsem.harvest(
        MODEL, range(6), steps=2, pca=hsem.HSpacePCA(2), scorer=brightness, **QUIET
    ),
    "HSpacePCA, not fitted": lambda tmp: hsem.HSpacePCA(2),
    "ImageDirections": lambda tmp: hsem.image_directions(MODEL, sampled(), step=1, k=2),
    "SubspaceResult": lambda tmp: hsem.jacobian_svd(lambda h: h**3, torch.arange(1.0, 4.0), 1),
    "AttributeCurve": lambda tmp: hsem.attribute_curve(
        MODEL, DIRECTION, SCORER, (-1, 0, 1), range(2), **QUIET
    ),
    "LearningCurve": lambda tmp: learned(),
    "EffectMatrix": lambda tmp: effect_matrix(PAINTER, PLANTED, HALVES, n=3, repeats=2, **QUIET),
    "TableOne": lambda tmp: table_one(PAINTER, PLANTED, HALVES, n=3, repeats=2, **QUIET),
    "Portraits": lambda tmp: hsem.datasets.portraits(),
    "Scorer": lambda tmp: join(select(SCORER, {"red": "r"}), select(SCORER, ["g"])),
    "Classifier": lambda tmp: hsem.classifier.load(),
    "Geometry": lambda tmp: hsem.geometry.load(),
    "HSpaceUNet": lambda tmp: hsem.tiny_unet(0),
}


def same(a: Any, b: Any) -> bool:
    """The same in every number, whatever it is made of."""
    if isinstance(a, Tensor):
        return torch.equal(a.nan_to_num(), b.nan_to_num())
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.nn.Module):
        return same(a.state_dict(), b.state_dict())
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if hasattr(a, "keys"):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if hasattr(a, "func"):  # functools.partial
        return same((a.func, a.args), (b.func, b.args))
    if type(a).__module__.startswith("hsem"):
        return same(vars(a), vars(b))
    return bool(a == b)


@pytest.mark.parametrize("name", [*OBJECTS, *EDITS])
def test_a_copy_is_the_same(name: str, tmp_path: Any) -> None:
    made = OBJECTS[name](tmp_path) if name in OBJECTS else EDITS[name]
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert same(made, again) and again is not made
    assert repr(pickle.loads(pickle.dumps(made))) == repr(made) or "0x" in repr(made)


def test_the_comparison_can_fail() -> None:
    assert not same(DIRECTION, 2 * DIRECTION)
    assert not same(ADD, hsem.add(DIRECTION, 3.0))
    assert not same(EDITS["masked"], hsem.masked(ADD, torch.ones(4, 4)))
    assert not same(EDITS["only_at"], hsem.only_at(ADD, [0, 1]))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_does_the_same_afterwards(name: str) -> None:
    again = pickle.loads(pickle.dumps(EDITS[name]))
    assert torch.equal(sampled(EDITS[name]).images, sampled(again).images)
    assert not torch.equal(sampled(again).images, sampled().images)  # control: it does something
    assert {EDITS[name]: 1}[EDITS[name]] == 1 and again != EDITS[name]  # equal to itself alone
    in_pieces = sampled(again, batch_size=1).images
    torch.testing.assert_close(in_pieces, sampled(again).images, atol=1e-4, rtol=1e-4)


def test_a_copy_shares_nothing_that_can_change() -> None:
    again = copy.deepcopy(DIRECTION)
    again.delta_h.zero_()
    again.provenance["seeds"].append(2)
    assert DIRECTION.norm() > 0 and DIRECTION.provenance["seeds"] == [1]
    with pytest.raises(TypeError, match="item assignment"):
        again.provenance["seeds"] = []  # type: ignore[index]
    assert dict(again.provenance) == again.provenance  # still compares as a mapping does


def doubled(direction: hsem.Direction, samples: hsem.Samples) -> tuple[hsem.Direction, Tensor]:
    again = hsem.sample(
        hsem.tiny_unet(0), samples.seeds, steps=STEPS, edit=samples.edit, progress=False
    )
    return 2 * direction, again.images


@pytest.mark.slow
def test_a_pool_of_processes() -> None:
    samples = sampled(EDITS["chain"])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        direction, images = pool.submit(doubled, DIRECTION, samples).result()
    assert torch.equal(direction.delta_h, 2 * DIRECTION.delta_h)
    torch.testing.assert_close(images, samples.images, atol=1e-4, rtol=1e-4)
