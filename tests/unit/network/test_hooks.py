"""Hooks fire whatever was done to the network before, and none is left behind whatever happens."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hsem
from hsem.network import watching
from hsem.network.unet import fingerprint

PATIENCE = 600  # seconds; on a starved machine a thread may wait long, but not for ever
X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float32)


@pytest.fixture()
def net() -> nn.Module:
    return hsem.tiny_unet(0).unet


def called(net: Any, t: int = 500, x: Tensor = X) -> Tensor:
    with torch.no_grad():
        return net(x, t).sample


def doubled(i: int, h: Tensor) -> Tensor:
    return 2 * h


def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


# ------------------------------------------------------------------------------ compiled networks


class Small(nn.Module):
    """All that a hook asks of a network. A U-Net of thirty thousand weights is compiled just as
    well, and takes three seconds each time, or a minute where a processor is shared."""

    def __init__(self) -> None:
        super().__init__()
        self.mid_block = nn.Conv2d(3, 3, 1)

    def forward(self, sample: Tensor, timestep: int) -> Any:
        return SimpleNamespace(sample=self.mid_block(sample.sin()).cos() * (timestep + 1))


@pytest.fixture()
def small() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small().requires_grad_(False)


def wrapped(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")


def in_place(net: nn.Module) -> Any:
    net.compile(backend="eager")
    return net


def only_forward(net: nn.Module) -> Any:
    net.forward = torch.compile(net.forward, backend="eager")
    return net


def only_middle(net: Any) -> Any:
    net.mid_block.compile(backend="eager")
    return net


@pytest.fixture()
def no_compiled_code() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("compiled", [wrapped, in_place, only_forward, only_middle])
@pytest.mark.parametrize("ran_before", [False, True])
@pytest.mark.usefixtures("no_compiled_code")
def test_a_compiled_network(
    small: nn.Module, compiled: Callable[[nn.Module], Any], ran_before: bool
) -> None:
    in_each_way(small, compiled, ran_before)


@pytest.mark.usefixtures("no_compiled_code")
def test_a_compiled_network_of_diffusers(net: nn.Module) -> None:
    in_each_way(net, in_place, True)


def in_each_way(net: nn.Module, compiled: Callable[[nn.Module], Any], ran_before: bool) -> None:
    plain = called(net)
    with hsem.edit_h(net, doubled, [500]):
        edited = called(net)
    run = compiled(net)
    if ran_before:
        called(run)
    for held in (net, run):  # the pipeline may hold either
        with hsem.record_h(held) as record:
            called(run)
            called(run, 400)
        assert record.timesteps == [500, 400]
        with hsem.record_h(held) as record:  # the one of them, while the pipeline calls the other
            called(net)
        assert record.timesteps == [500]
        with hsem.edit_h(held, doubled, [500]):
            torch.testing.assert_close(called(run), edited)
        torch.testing.assert_close(called(run), plain)  # and nothing of it is compiled in
    assert float((edited - plain).abs().max()) > 1e-3  # control


@pytest.mark.usefixtures("no_compiled_code")
def test_a_compiled_network_that_is_not_called_is_still_noticed(small: nn.Module) -> None:
    run = wrapped(small)
    called(run)
    with pytest.raises(RuntimeError, match="was not called"):
        with hsem.record_h(small):
            pass


@pytest.mark.usefixtures("no_compiled_code")
def test_a_compiled_block_does_not_change_who_a_network_is(net: Any) -> None:
    before = fingerprint(net)
    net.mid_block = wrapped(net.mid_block)
    assert fingerprint(net) == before == hsem.tiny_unet(0).fingerprint
    assert before != hsem.tiny_unet(1).fingerprint  # control


# ------------------------------------------------------------------------- wrapped, and exported


def test_a_network_in_a_wrapper_of_a_trainer(small: nn.Module) -> None:
    """DataParallel, DistributedDataParallel and accelerate keep the network as `.module`."""
    run = nn.DataParallel(nn.DataParallel(small))
    with hsem.edit_h(small, doubled, [500]):
        edited = called(small)
    with hsem.record_h(run) as record, hsem.edit_h(run, doubled, [500]):
        torch.testing.assert_close(called(run), edited)
    assert record.timesteps == [500] and hooks(run) == 0
    assert float((edited - called(run)).abs().max()) > 1e-3  # control
    with pytest.raises(TypeError, match="Linear without a mid_block"):
        with hsem.record_h(nn.DataParallel(nn.Linear(2, 2))):
            pass


class Bare(Small):
    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        return super().forward(sample, timestep).sample


@pytest.mark.parametrize("made", [torch.export.export, torch.jit.trace])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("no_compiled_code")
def test_a_network_without_modules_is_not_said_to_be_uncalled(made: Callable[..., Any]) -> None:
    """They keep a mid_block for its weights, and never run it."""
    net, given = Bare().requires_grad_(False), (X, torch.tensor(500))
    run = made(net, given)
    run = run.module() if hasattr(run, "module") else run
    with pytest.raises(RuntimeError, match="exported or traced network cannot be watched"):
        with hsem.record_h(run):
            run(*given)
    with hsem.record_h(net) as record:  # control
        net(*given)
    assert len(record) == 1


# --------------------------------------------------------------------------------- nothing is left


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
@pytest.mark.parametrize("where", ["the block", "the edit", "the network"])
def test_after_an_error(net: Any, error: type[BaseException], where: str) -> None:
    plain = called(net)

    def fails(*_: Any) -> Any:
        raise error

    handle = net.up_blocks[0].register_forward_hook(fails) if where == "the network" else None
    before = hooks(net)
    with pytest.raises(error):
        with hsem.record_h(net), hsem.edit_h(net, fails if where == "the edit" else doubled, [500]):
            assert hooks(net) > before  # control: they were there
            called(net)
            raise error
    assert hooks(net) == before
    if handle is not None:
        handle.remove()
    assert torch.equal(called(net), plain)
    with hsem.record_h(net) as record:  # and the next block works
        called(net)
    assert len(record) == 1


@pytest.mark.parametrize("where", ["conv_in", "up_blocks"])
def test_after_an_interrupt_within_the_block(where: str) -> None:
    """What is called by hand then is not taken for a part of the call that was cut off."""
    model = hsem.tiny_unet(0)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    part: Any = getattr(model.unet, where)
    handle = (part if where == "conv_in" else part[0]).register_forward_hook(interrupt)
    with hsem.edit_h(model.unet, doubled, [500]):
        with pytest.raises(KeyboardInterrupt):
            called(model.unet)
        handle.remove()
        with pytest.raises(RuntimeError, match="outside of its network"):
            model.encode(X, 500)
        called(model.unet)  # and the next call is edited


def test_a_copy_made_within_the_block_is_not_watched(net: nn.Module) -> None:
    plain = called(net)
    with hsem.record_h(net) as record, hsem.edit_h(net, doubled, [500]):
        copied = copy.deepcopy(net)
        assert torch.equal(called(copied), plain) and not len(record)
        assert not torch.equal(called(net), plain) and len(record) == 1  # control
    assert torch.equal(called(copied), plain)


def test_nested_blocks_close_in_any_order(net: nn.Module) -> None:
    plain = called(net)
    outer, edit, inner = hsem.record_h(net), hsem.edit_h(net, doubled, [500]), hsem.record_h(net)
    records = [block.__enter__() for block in (outer, edit, inner)]
    called(net)
    torch.testing.assert_close(records[2].h[0], 2 * records[0].h[0])
    for block in (outer, inner, edit):  # as an ExitStack or a notebook may do
        block.__exit__(None, None, None)
    assert not hooks(net) and torch.equal(called(net), plain)


@pytest.mark.usefixtures("no_compiled_code")
def test_compiled_networks_are_compiled_again_afterwards() -> None:
    compilations: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        compilations.append(1)
        return graph.forward

    run = torch.compile(lambda x: x + 1, backend=backend)
    blocks = [hsem.record_h(hsem.tiny_unet(seed)) for seed in range(3)]
    for block in blocks:
        block.__enter__()
    run(X)
    assert not compilations  # control: not within the blocks
    for block in blocks:  # the first one first
        with pytest.raises(RuntimeError, match="not called"):
            block.__exit__(None, None, None)
    run(X)
    assert compilations


def test_a_generator_that_is_dropped_half_way(net: nn.Module) -> None:
    def frames() -> Iterator[Tensor]:
        with hsem.edit_h(net, doubled, [500]):
            while True:
                yield called(net)

    running = frames()
    next(running)
    assert hooks(net)
    running.close()
    assert not hooks(net)


def test_a_block_that_closes_while_another_opens_waits_for_nobody(small: nn.Module) -> None:
    """Python may collect a dropped generator, and close its block, at any line of this thread, also
    where it holds the lock; if a thread can take that only once, it waits for itself."""
    finished = threading.Event()

    def within_the_lock() -> None:
        block = watching._as_written()
        block.__enter__()
        with watching._eager.lock:
            block.__exit__(None, None, None)
        finished.set()

    torch.compile(small, backend="eager")
    assert "torch._dynamo" in sys.modules  # control: else there is nothing to set, nor to lock
    threading.Thread(target=within_the_lock, daemon=True).start()
    assert finished.wait(60)
    assert not watching._eager.blocks


def test_two_threads_in_one_block_keep_their_timesteps(net: Any) -> None:
    """Thread A stands in the encoder at t = 500 while B passes at t = 400."""
    arrived, passed = threading.Event(), threading.Event()

    def wait(module: nn.Module, args: Any, output: Any) -> None:
        if threading.current_thread().name == "A":
            arrived.set()
            passed.wait(PATIENCE)

    handle = net.conv_in.register_forward_hook(wait)
    with hsem.record_h(net) as record:
        slow = threading.Thread(target=called, args=(net, 500), name="A")
        slow.start()
        try:
            assert arrived.wait(PATIENCE)
            called(net, 400)
        finally:
            passed.set()
            slow.join(PATIENCE)
    handle.remove()
    assert record.timesteps == [400, 500] and not hooks(net)
    alone = hsem.HRecord()
    for t in (400, 500):
        with hsem.record_h(net) as one:
            called(net, t)
        alone.h += one.h
    assert all(torch.equal(a, b) for a, b in zip(record.h, alone.h, strict=True))
    assert not torch.equal(record.h[0], record.h[1])  # control


def test_sampling_in_another_thread_is_left_alone() -> None:
    model = hsem.tiny_unet(0)
    options = {"steps": 2, "progress": False}
    expected = hsem.sample(model, [1], **options).images
    found: list[Any] = []
    with hsem.record_h(model.unet) as record, hsem.edit_h(model.unet, doubled, [500]):
        called(model.unet)
        other = threading.Thread(
            target=lambda: found.append(hsem.sample(model, [1], **options).images)
        )
        other.start()
        other.join(PATIENCE)
        with pytest.raises(RuntimeError, match="outside of its network"):  # control: one's own
            hsem.sample(model, [1], **options)
    assert torch.equal(found[0], expected) and record.timesteps == [500]


def test_threads_with_networks_of_their_own() -> None:
    nets = [hsem.tiny_unet(seed).unet for seed in range(4)]
    expected = []
    for each in nets:
        with hsem.record_h(each) as record:
            called(each)
        expected.append(record.h[0])
    found: dict[int, Tensor] = {}

    def work(k: int) -> None:
        for _ in range(3):
            with hsem.record_h(nets[k]) as record:
                called(nets[k])
            found[k] = record.h[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert not any(each.is_alive() for each in threads)
    assert all(torch.equal(found[k], expected[k]) for k in range(4))
    assert not any(hooks(each) for each in nets)
