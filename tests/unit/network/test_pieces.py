"""Out of memory on a CUDA device: half as much at once, one warning, the same result.

No device is needed: a fake one raises what torch raises, above a size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import hsem
from hsem.diffusion.replay import Replay
from hsem.judges.scorers import from_function, scores_of
from hsem.network.memory import Pieces, usual_batch
from hsem.unsupervised.products import JacobianProducts

MODEL = hsem.tiny_unet(0)
OPTIONS: dict[str, Any] = {"steps": 3, "progress": False}


def small(limit: int, tried: list[int], error: type[Exception] = torch.cuda.OutOfMemoryError):
    """What a device with room for `limit` does when asked for n."""

    def check(n: int) -> None:
        tried.append(n)
        if n > limit:
            raise error("CUDA out of memory. Tried to allocate 2.00 GiB")

    return check


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 16])
def test_slices_cover_everything_once_and_in_order(limit):
    tried: list[int] = []
    check = small(limit, tried)

    def task(which: slice) -> list[int]:
        check(which.stop - which.start)
        return list(range(which.start, which.stop))

    pieces = Pieces(16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = [*pieces.run(21, task), *pieces.run(21, task)]
    assert [k for part in done for k in part] == [*range(21), *range(21)]
    assert len(caught) == (limit < 16)  # one warning, however often it was halved
    assert pieces.size <= limit
    assert sum(n > limit for n in tried) <= 4  # and not tried again


def test_the_warning_names_the_argument_and_the_remedy():
    check = small(2, [])
    with pytest.warns(RuntimeWarning, match=r"chunk=5; going on with 2 and less.*give chunk a sm"):
        Pieces(8, "chunk").run(5, lambda which: check(which.stop - which.start))


def test_what_does_not_fit_alone_is_passed_on():
    check = small(0, [])
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(torch.cuda.OutOfMemoryError, match="allocate 2"),
    ):
        Pieces(4).run(4, lambda which: check(which.stop - which.start))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        Pieces(1).run(4, lambda which: check(which.stop - which.start))


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)",
    ],
)
def test_what_the_libraries_of_a_device_say_counts_too(said):
    """They ask for memory of their own, and raise a bare RuntimeError."""

    def task(which: slice) -> int:
        if which.stop - which.start > 2:
            raise RuntimeError(said)
        return which.start

    with pytest.warns(RuntimeWarning, match="no memory for batch_size=5; going on with 2"):
        assert Pieces(8).run(5, task) == [0, 2, 4]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, ValueError, KeyboardInterrupt])
def test_other_errors_pass_through(error):
    tried: list[int] = []
    check = small(0, tried, error)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            Pieces(4).run(4, lambda which: check(which.stop - which.start))
    assert tried == [4]


def test_the_tensors_of_the_failed_attempt_are_gone():
    """An error holds the frames it came through, and with them all that lay on the device."""
    alive: list[int] = []
    held: list[Any] = []

    class Held:
        def __init__(self) -> None:
            held.append(None)

        def __del__(self) -> None:
            held.pop()

    def task(which: slice) -> None:
        alive.append(len(held))
        big = Held()
        if which.stop - which.start > 1:
            raise torch.cuda.OutOfMemoryError("no")
        del big

    with pytest.warns(RuntimeWarning):
        Pieces(4).run(4, task)
    assert alive == [0] * 6  # two that failed, four that did not


# ------------------------------------------------------------------------- where it is used


@contextmanager
def room_for(limit: int, patch: pytest.MonkeyPatch, error: type[Exception]) -> Iterator[list[int]]:
    """The decoder runs on at most `limit` pictures at once."""
    tried: list[int] = []
    check, encode = small(limit, tried, error), type(MODEL).encode

    def limited(self: Any, x: Tensor, t: int) -> Any:
        check(len(x))
        return encode(self, x, t)

    with patch.context() as within:
        within.setattr(type(MODEL), "encode", limited)
        yield tried


def brightness(limit: int, error: type[Exception]) -> Any:
    check = small(limit, [])
    if error is not torch.cuda.OutOfMemoryError:
        check = small(limit, [], error)

    def score(images: Tensor) -> Tensor:
        check(len(images))
        return images.mean((1, 2, 3))

    return from_function(score, "brightness")


def samples() -> Tensor:
    return hsem.sample(MODEL, range(7), batch_size=6, **OPTIONS).images


def inverted() -> Tensor:
    images = torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    return hsem.invert(MODEL, images, fixed_point=0, batch_size=6, **OPTIONS).x_T


def harvested() -> Tensor:
    pca = hsem.HSpacePCA(2)
    return hsem.harvest(MODEL, range(7), batch_size=6, pca=pca, **OPTIONS).mean_


def annotated() -> Tensor:
    plain = from_function(lambda images: images.mean((1, 2, 3)), "brightness")
    return hsem.annotate(MODEL, plain, range(7), batch_size=6, **OPTIONS).scores


@pytest.mark.parametrize("work", [samples, inverted, harvested, annotated])
def test_work_on_the_network_goes_on_in_halves(work: Callable[[], Tensor], monkeypatch):
    expected = work()
    with room_for(2, monkeypatch, torch.cuda.OutOfMemoryError) as tried:
        with pytest.warns(RuntimeWarning, match="no memory for batch_size=6") as caught:
            result = work()
    assert max(tried) == 6 and len([w for w in caught if "no memory" in str(w.message)]) == 1
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    with room_for(2, monkeypatch, RuntimeError):  # control
        with pytest.raises(RuntimeError, match="CUDA out of memory"):
            work()


def table() -> Tensor:
    return hsem.annotate(
        MODEL, brightness(99, RuntimeError), range(24), batch_size=6, **OPTIONS
    ).scores


def effects() -> Tensor:
    delta = torch.ones(3, *MODEL.h_shape)
    direction = hsem.Direction(delta, MODEL.schedule(3).timesteps)
    scorer = brightness(99, RuntimeError)
    return hsem.effect_matrix(
        MODEL, {"a": direction}, scorer, n=6, repeats=4, batch_size=6, progress=False
    ).effects


def mean() -> Tensor:
    half = hsem.Examples("a", tuple(range(12)), tuple(range(12, 24)), (666, 333, 0), (1.0,) * 3)
    return hsem.supervised_direction(MODEL, half, batch_size=6, progress=False).delta_h


def replayed() -> Tensor:
    replay = Replay(MODEL, range(6), steps=3)
    scales = torch.linspace(0, 2, 6)
    edit = hsem.add(torch.ones(3, *MODEL.h_shape), scales)  # a row each
    return torch.stack([replay.images, *(replay.edited(edit, first=k) for k in (1, 1, 0))])


@pytest.mark.parametrize("work", [table, effects, mean, replayed])
def test_what_did_not_fit_is_remembered_over_the_batches(work: Callable[[], Tensor], monkeypatch):
    expected = work()
    with room_for(3, monkeypatch, torch.cuda.OutOfMemoryError) as tried:
        with pytest.warns(RuntimeWarning, match="no memory for") as caught:
            result = work()
    assert len([n for n in tried if n > 3]) == 1 and len([n for n in tried if n <= 3]) > 4
    assert [w.filename for w in caught if "no memory" in str(w.message)] == [__file__]
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    with room_for(3, monkeypatch, torch.cuda.OutOfMemoryError) as tried:  # control: nobody told
        with pytest.warns(RuntimeWarning):
            for _ in range(4):
                hsem.sample(MODEL, range(6), batch_size=6, record=(), **OPTIONS)
    assert len([n for n in tried if n > 3]) == 4


def test_so_it_is_for_scorers():
    images = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pieces, scorer = Pieces(64), brightness(2, torch.cuda.OutOfMemoryError)
    with pytest.warns(RuntimeWarning, match="no memory for batch_size=4"):
        first = scores_of(scorer, images, batch_size=pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(scores_of(scorer, images, batch_size=pieces), first)
    with pytest.warns(RuntimeWarning):  # control
        scores_of(scorer, images)


def test_scorers_go_on_in_halves():
    images = torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = scores_of(brightness(99, RuntimeError), images, batch_size=8)
    with pytest.warns(RuntimeWarning, match="batch_size=8"):
        limited = scores_of(brightness(3, torch.cuda.OutOfMemoryError), images, batch_size=8)
    assert torch.equal(limited, expected)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):  # control
        scores_of(brightness(3, RuntimeError), images, batch_size=8)


def test_the_scorer_of_a_harvest_goes_on_in_halves():
    scorer = brightness(2, torch.cuda.OutOfMemoryError)
    options = {"batch_size": 4, "pca": hsem.HSpacePCA(2), **OPTIONS}
    with pytest.warns(RuntimeWarning, match="batch_size=4"):
        limited = hsem.harvest(MODEL, range(6), scorer=scorer, **options)
    options["pca"] = hsem.HSpacePCA(2)
    free = hsem.harvest(MODEL, range(6), scorer=brightness(9, RuntimeError), **options)
    assert torch.equal(limited.attributes_, free.attributes_)
    assert torch.equal(limited.components_, free.components_)


def test_columns_of_a_jacobian_go_on_in_halves(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    weights, v, u = (torch.randn(s, generator=generator) for s in ((5, 6), (8, 6), (8, 5)))
    op = JacobianProducts(lambda h: weights @ h, torch.zeros(6), chunk=8)
    grad, check = torch.autograd.grad, small(3, [])

    def limited(output, source, part, *, is_grads_batched, **options):
        check(len(part) if is_grads_batched else 1)
        return grad(output, source, part, is_grads_batched=is_grads_batched, **options)

    monkeypatch.setattr(torch.autograd, "grad", limited)
    with pytest.warns(RuntimeWarning, match="no memory for chunk=8; going on with 4"):
        pushed, pulled = op.push(v), op.pull(u)
    torch.testing.assert_close(pushed, v @ weights.T)
    torch.testing.assert_close(pulled, u @ weights)
    assert (op.pushed, op.pulled) == (8, 8)  # counted once, however often they were tried


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_that_is_full():
    """The real thing: room for a few pictures only, and the same pictures all the same."""
    model = hsem.load(device="cuda")
    expected = hsem.sample(model, range(64), steps=2, record=(), batch_size=4, progress=False)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4e8) / total)
    try:
        with pytest.warns(RuntimeWarning, match="no memory for batch_size=64"):
            limited = hsem.sample(
                model, range(64), steps=2, record=(), batch_size=64, progress=False
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch.testing.assert_close(limited.images, expected.images, atol=2e-2, rtol=0)


def test_how_many_pictures_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU as many as have the pixels of 16 pictures of 256 x 256, and 16 elsewhere."""
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert [usual_batch(gpu, (3, side, side)) for side in (32, 64, 256, 512)] == [1024, 256, 16, 16]
    assert usual_batch(cpu, (3, 64, 64)) == 16
    with room_for(99, monkeypatch, torch.cuda.OutOfMemoryError) as tried:
        plain = hsem.sample(MODEL, range(40), record=(), **OPTIONS).images
        monkeypatch.setattr("hsem.network.memory.usual_batch", lambda *_: 25)
        larger = hsem.sample(MODEL, range(40), record=(), **OPTIONS).images
        hsem.sample(MODEL, range(40), record=(), batch_size=30, **OPTIONS)
    assert list(dict.fromkeys(tried)) == [16, 8, 25, 15, 30, 10]
    torch.testing.assert_close(larger, plain, atol=1e-4, rtol=1e-4)
