"""A run: cut off and gone on with, cooled down, spared a bad gradient, and exported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from portraits.train import loop
from portraits.train.checkpoint import Phase, Run, read_checkpoint
from portraits.train.command import main
from portraits.train.data import Pictures, draw_batch
from portraits.train.draws import seeded
from portraits.train.export import export
from portraits.train.levels import level_noise
from portraits.train.settings import SCHEDULER, Settings

ROOT = Path(__file__).parents[2]
TINY = [
    "--channels", "8", "8", "16", "16", "--attention", "0", "--batch", "2", "--log-every", "5",
    "--grid-every", "1000000", "--no-compile", "--quiet", "--device", "cpu",
]  # fmt: skip
LEVEL = level_noise(DDPMScheduler(**SCHEDULER).alphas_cumprod, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    np.savez(folder / "train_0.npz", images=images)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(data, tmp_path):
    return Run(
        Settings(
            data, tmp_path / "run", steps=50, batch=4, channels=(8, 8, 16, 16), attention=0,
            device="cpu", hold=0, log_every=3,
        )
    )  # fmt: skip


def step(run: Run, spoil: bool = False) -> None:
    images = Pictures(run.settings.data, run.device).images
    batch = draw_batch(images, run.settings, seeded(torch.Generator(), 0, run.step))
    if spoil:
        batch.noise[1, 0, 0, 0] = torch.inf
    loop.take_step(run, run.net, LEVEL, batch)


def state(run: Run) -> list[torch.Tensor]:
    found = [p.detach().clone() for p in run.net.parameters()]
    for opt in run.opts:
        saved = sorted(opt.state_dict()["state"].items())
        found += [v.clone() for _, own in saved for _, v in sorted(own.items())]
    return found


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder)[0]


@pytest.mark.slow
def test_killed_twice_and_gone_on_with_is_as_never_killed(data, tmp_path):
    """Weights, average, optimisers and log; exchanged skips, and the rate falling at the end."""

    def command(name, *more):
        return [
            "--data", str(data), "--out", str(tmp_path / name), *TINY, "--level", "2",
            "--steps", "60", "--cool", "0.6", "--save-every", "1", "--skip-exchange", "0.7", *more,
        ]  # fmt: skip

    def reached():
        try:
            return read_checkpoint(tmp_path / "killed")[1]["step"]
        except FileNotFoundError:
            return 0

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for goal in (4, 30):  # before the rate falls, and while it does
        process = subprocess.Popen(
            [sys.executable, "-m", "portraits.train", *command("killed")], env=environment
        )
        try:
            while reached() < goal:
                assert process.poll() is None, "the run ended before it was killed"
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert goal <= reached() < 60
    main(command("killed"))
    main(command("whole"))
    main(command("other", "--seed", "1"))  # control
    killed, whole, other = (tensors_of(tmp_path / n) for n in ("killed", "whole", "other"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[k], whole[k]) for k in whole)
    assert not all(torch.equal(other[k], whole[k]) for k in whole)
    logs = [read_checkpoint(tmp_path / n)[1]["log"] for n in ("killed", "whole")]
    for line in (*logs[0], *logs[1]):
        line.pop("images_per_second")
    assert logs[0] == logs[1] and [q["step"] for q in logs[0]] == list(range(5, 61, 5))
    assert not list((tmp_path / "killed").glob(".*.part"))  # of files half written
    kept = [load_file(tmp_path / n / "before_cooling.safetensors") for n in ("killed", "whole")]
    assert all(torch.equal(kept[0][k], kept[1][k]) for k in kept[1])


def test_a_checkpoint_that_cannot_be_finished_leaves_the_last(run, monkeypatch):
    step(run)
    run.save()
    before = (run.out / "checkpoint.safetensors").read_bytes()
    step(run)

    def half(tensors, path, **_):
        Path(path).write_bytes(before[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("hsem.files.save_file", half)
    with pytest.raises(KeyboardInterrupt):
        run.save()
    assert (run.out / "checkpoint.safetensors").read_bytes() == before
    monkeypatch.undo()
    run.save()  # control
    assert (run.out / "checkpoint.safetensors").read_bytes() != before


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_gradient_that_is_not_finite_costs_one_step(data, tmp_path, kind):
    settings = Settings(
        data, tmp_path / "run", steps=50, batch=4, channels=(8, 8, 16, 16), attention=0,
        device="cpu", optimizer=kind, log_every=3,
    )  # fmt: skip
    run = Run(settings)
    step(run)
    before = state(run)
    step(run, spoil=True)
    assert run.step == 2 and same(before, state(run))
    step(run)
    assert not same(before, state(run)) and all(v.isfinite().all() for v in state(run))
    line = loop.note(run, time.monotonic() - 1, 0)
    assert line["skipped"] == 1 and 0 < line["loss"] < 100
    for _ in range(3):
        step(run, spoil=True)
    with pytest.raises(FloatingPointError, match="no gradient was finite in 3 steps"):
        loop.note(run, time.monotonic() - 1, 0)


def test_spoiled_weights_do_not_replace_good_ones(run):
    step(run)
    run.save()
    with torch.no_grad():
        next(iter(run.net.parameters())).mul_(torch.inf)
    with pytest.raises(FloatingPointError, match="last good"):
        run.save()
    assert all(v.isfinite().all() for v in tensors_of(run.out).values())


class NoWaiting(TorchDispatchMode):
    """Refuses what makes a program wait for its device: reading a number, or a size from data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "item"):
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("exchange", [0.0, 0.7])
def test_a_step_never_waits_for_the_device(data, tmp_path, exchange):
    run = Run(
        Settings(
            data, tmp_path / "run", steps=50, batch=4, channels=(8, 8, 16, 16), device="cpu",
            skip_exchange=exchange,
        )
    )  # fmt: skip
    images = Pictures(data, run.device).images
    with NoWaiting():
        for _ in range(2):
            generator = seeded(torch.Generator(), 0, run.step)
            loop.take_step(run, run.net, LEVEL, draw_batch(images, run.settings, generator))
        with pytest.raises(AssertionError, match="waits"):  # control: the log does, and says so
            loop.note(run, 0.0, 0)


def test_the_rate_rises_holds_and_falls_to_zero():
    phase = Phase([None, 1000, 0.6], begun=0)
    assert phase.rate(0) < 0.01 and phase.rate(300) == 1
    assert phase.rate(700) == pytest.approx(0.5) and 0 < phase.rate(999) < 0.01
    assert phase.progress(1000) == 1
    by_time = Phase([10.0, None, 0.5], begun=5000, seconds=450.0)
    assert by_time.progress(6000) == 0.75 and by_time.rate(6000) == pytest.approx(0.5)
    assert Phase([10.0, None, 0.0], seconds=599.0).rate(6000) == 1  # control: no cool-down


def test_a_command_given_again_finishes_its_phase_and_another_begins_one(run):
    step(run)
    run.phase.seconds = 30.0
    run.save()
    again = Run(run.settings)
    assert again.phase.seconds == 30.0 and again.phase.begun == 0 and again.step == 1
    assert same(state(run), state(again))
    run.phase.over = True
    run.save()
    assert Run(run.settings).phase.begun == 1
    other = Settings(**{**vars(run.settings), "minutes": 3.0})
    assert Run(other).phase == Phase([3.0, 50, 0.0], begun=1)


def test_minutes_end_a_run_and_weights_are_saved_by_the_clock(data, tmp_path, monkeypatch):
    saved = []
    own = Run.save
    monkeypatch.setattr(Run, "save", lambda self: (saved.append(self.step), own(self)))
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.2)
    out = tmp_path / "run"
    main(["--data", str(data), "--out", str(out), *TINY, "--minutes", "0.02", "--cooldown", "0.01"])
    meta = read_checkpoint(out)[1]
    assert meta["phase"]["over"] and 1.2 <= meta["phase"]["seconds"] < 10
    assert len(saved) >= 3 and saved[-1] == meta["step"]
    assert (out / "before_cooling.safetensors").exists()
    lines = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == meta["log"]


def test_a_run_becomes_a_pipeline_that_another_run_goes_on_from(data, tmp_path):
    def train(out, *more):
        main(["--data", str(data), "--out", str(tmp_path / out), *TINY, "--steps", "10", *more])

    train("first")
    model = tmp_path / "model"
    export(tmp_path / "first", model)
    told = json.loads((model / "training.json").read_text())
    assert told["pictures"] == 20 and [q["pictures"] for q in told["log"]] == [10, 20]
    assert len(told["log"][0]["loss_by_noise_level"]) == 5 and "cpu" in told["about"]
    unet = DDPMPipeline.from_pretrained(model).unet
    average = tensors_of(tmp_path / "first")
    for name, value in unet.state_dict().items():
        assert torch.equal(value.half(), average[f"ema.unet.{name}"].half())
    small = load_file(tmp_path / "first" / "average.safetensors")
    stored = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    assert {v.dtype for v in stored.values()} == {torch.float16}
    assert all(torch.equal(small[k], stored[k]) for k in stored) and len(small) == len(stored)
    train("second", "--init", str(model), "--skip-exchange", "0.7")
    export(tmp_path / "second", tmp_path / "twin")
    told = json.loads((tmp_path / "twin" / "training.json").read_text())
    assert told["pictures"] == 40 and [q["pictures"] for q in told["log"]] == [10, 20, 30, 40]
    settings = Settings(
        data, tmp_path / "third", init=model, channels=(8, 8, 16, 16), attention=0, device="cpu"
    )
    assert same(Run(settings).net.unet.half().parameters(), unet.half().parameters())


def test_small_pictures_are_not_exported(data, tmp_path):
    out = str(tmp_path / "run")
    main(["--data", str(data), "--out", out, *TINY, "--steps", "2", "--level", "2"])
    with pytest.raises(ValueError, match="16 pixels only"):
        export(tmp_path / "run", tmp_path / "model")
    main(["--data", str(data), "--out", out, *TINY, "--steps", "4", "--level", "0"])  # control
    assert export(tmp_path / "run", tmp_path / "model")["step"] == 4
    assert read_checkpoint(tmp_path / "run")[1]["entered"] == 2
