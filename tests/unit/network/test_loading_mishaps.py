"""`load` with what people really give it: odd paths, odd pipelines, odd objects."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel, VQModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

import hsem
from tests.pipelines import conditional_unet
from tests.unit.network.layouts import (
    STEM,
    flat,
    flat_bin,
    network,
    pipeline,
    scheduler,
    sharded,
    training_run,
)


def same(a: UNet2DModel, b: UNet2DModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def found(source: str | Path) -> bool:
    """Whether the averaged weights of `training_run` are found, and the scheduler of the run."""
    model = hsem.load(source, device="cpu")
    return same(model.unet, network()) and model.prediction_type == "v_prediction"


# ---------------------------------------------------------------------------------------- paths


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("where", "source"),
    [
        (".", "a run ü"),
        (".", "a run ü/checkpoint-500"),
        (".", "./a run ü//checkpoint-500/"),
        (".", Path("a run ü/checkpoint-500")),
        ("a run ü", "checkpoint-500"),
        ("a run ü/checkpoint-500", "."),
        ("a run ü/checkpoint-500/unet_ema", "."),
        ("a run ü/checkpoint-500/unet_ema", ".."),
        ("a run ü/checkpoint-500/unet", "../unet_ema"),
        (".", "latest"),
        ("latest", "unet_ema"),
    ],
)
def test_ways_to_a_checkpoint(
    where: str, source: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training_run(tmp_path / "a run ü", network())
    (tmp_path / "latest").symlink_to(run / "checkpoint-500")
    monkeypatch.chdir(tmp_path / where)
    if source == "a run ü":  # the finished pipeline is another network
        assert same(hsem.load(source, device="cpu").unet, network(5))
    else:
        assert found(source)


def test_the_pipeline_of_another_run_is_not_taken(tmp_path: Path) -> None:
    """Control: `..` and links do not lead anywhere but to the run itself."""
    run = training_run(tmp_path / "run", network())
    shutil.rmtree(run / "scheduler")
    scheduler().save_pretrained(tmp_path / "scheduler")
    (run / "latest").symlink_to(run / "checkpoint-500")
    for source in (run / "latest", run / "checkpoint-500" / "unet" / ".."):
        with pytest.warns(UserWarning, match="no scheduler found"):
            assert hsem.load(source, device="cpu").prediction_type == "epsilon"


def test_the_latest_checkpoint_is_named(tmp_path: Path) -> None:
    for number in (500, 1000, 1500, 900):
        (tmp_path / f"checkpoint-{number}").mkdir()
    with pytest.raises(FileNotFoundError, match=r"for example .*checkpoint-1500$"):
        hsem.load(tmp_path)


def test_one_of_the_two_networks_of_a_checkpoint(tmp_path: Path) -> None:
    checkpoint = training_run(tmp_path / "run", network()) / "checkpoint-500"
    shutil.rmtree(checkpoint / "unet_ema")  # trained without --use_ema
    assert same(hsem.load(checkpoint, device="cpu").unet, network(6))
    model = hsem.load(training_run(tmp_path / "other", network()) / "checkpoint-500")
    assert same(model.unet.cpu(), network())


def test_averaged_weights_are_read_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMAModel writes its settings into the network's config; diffusers would complain of them."""
    checkpoint = training_run(tmp_path, network()) / "checkpoint-500"
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    assert found(checkpoint) and not caplog.records
    path = checkpoint / "unet_ema" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    assert found(checkpoint)
    assert "colour" in caplog.text and "decay" not in caplog.text  # control


def test_a_full_network_before_its_variants(tmp_path: Path) -> None:
    sharded(safe=True)(tmp_path, network())
    network(1).half().save_pretrained(tmp_path, variant="fp16")
    assert same(hsem.load(tmp_path, device="cpu").unet, network())
    for path in tmp_path.glob(f"{STEM}*"):
        if "fp16" not in path.name:
            path.unlink()
    assert same(hsem.load(tmp_path, device="cpu").unet, network(1).half().float())


# ------------------------------------------------------------------------------- odd pipelines


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["DDIMPipeline", "MyOwnPipeline", None, 7])
def test_the_class_of_a_pipeline_does_not_matter(name: object, tmp_path: Path) -> None:
    pipeline(tmp_path, network())
    changed(tmp_path / "model_index.json", _class_name=name)
    assert found(tmp_path)


def changed(path: Path, **entries: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.filterwarnings("error")
def test_a_network_under_another_name(tmp_path: Path) -> None:
    """A pipeline of one's own may call it as it likes; its index says which part it is."""
    pipeline(tmp_path, network())
    (tmp_path / "unet").rename(tmp_path / "denoiser")
    with pytest.raises(FileNotFoundError, match=r"this one has denoiser, model_index.json, sch"):
        hsem.load(tmp_path)
    changed(tmp_path / "model_index.json", denoiser=["diffusers", "UNet2DModel"])
    assert found(tmp_path) and found(tmp_path / "denoiser")
    changed(tmp_path / "model_index.json", denoiser=["diffusers", "UNet1DModel"])  # control
    with pytest.raises(FileNotFoundError, match=r"config.json is missing"):
        hsem.load(tmp_path)


def test_latents_are_no_pictures(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    pipeline(tmp_path, network())
    assert found(tmp_path) and not recwarn.list
    VQModel(
        block_out_channels=(8,), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
    ).save_pretrained(tmp_path / "vqvae")  # fmt: skip
    for source in (tmp_path, tmp_path / "unet"):
        with pytest.warns(UserWarning, match="its network draws latents, which .*vqvae"):
            hsem.load(source, device="cpu")


# ----------------------------------------------------------------------------------- odd files


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_any_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    model = hsem.load(kept_as(tmp_path, dtype), device="cpu")
    assert model.dtype == torch.float32 and same(model.unet, network().to(dtype).float())


def kept_as(folder: Path, dtype: torch.dtype) -> Path:
    path = flat(folder, network()) / f"{STEM}.safetensors"
    save_file({k: v.to(dtype) for k, v in load_file(path).items()}, path)
    return folder


def test_eight_bits(tmp_path: Path) -> None:
    if hasattr(torch, "float8_e4m3fn"):
        model = hsem.load(kept_as(tmp_path / "float", torch.float8_e4m3fn), device="cpu")
        assert torch.isfinite(model.unet.conv_in.weight).all()
    with pytest.raises(OSError, match=r"holds whole numbers \(torch.int8\) .* quantised"):
        hsem.load(kept_as(tmp_path / "int", torch.int8))


def test_a_whole_module_is_a_pickle_with_code(tmp_path: Path) -> None:
    flat_bin(tmp_path, network())
    torch.save(network(), tmp_path / f"{STEM}.bin")
    with pytest.raises(OSError, match=r"it asks for diffusers\..*UNet2DModel.*nothing in it was"):
        hsem.load(tmp_path)


def test_parameters_in_a_pickle(tmp_path: Path) -> None:
    """`torch.save(dict(unet.named_parameters()))`, which require gradients."""
    flat_bin(tmp_path, network())
    torch.save(dict(network().named_parameters()), tmp_path / f"{STEM}.bin")
    model = hsem.load(tmp_path, device="cpu")
    assert same(model.unet, network())
    assert not any(p.requires_grad for p in model.unet.parameters())


@pytest.mark.parametrize("name", [f"{STEM}.safetensors", "config.json", "scheduler_config.json"])
def test_a_link_that_leads_nowhere(name: str, tmp_path: Path) -> None:
    """A folder of the hub's cache that was copied without its blobs."""
    flat(tmp_path, network())
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(f"../../blobs/{name}")
    with pytest.raises(FileNotFoundError, match=r"is a link to \.\./\.\./blobs.*cp -rL"):
        hsem.load(tmp_path)


@pytest.mark.filterwarnings("error")
def test_a_folder_of_the_hubs_cache(tmp_path: Path) -> None:
    """Given as a path: every file is a link to a blob."""
    snapshot, blobs = tmp_path / "snapshots" / "0123abcd", tmp_path / "blobs"
    pipeline(snapshot, network())
    blobs.mkdir()
    for k, path in enumerate(sorted(p for p in snapshot.rglob("*") if p.is_file())):
        path.rename(blobs / str(k))
        path.symlink_to(os.path.relpath(blobs / str(k), path.parent))
    assert found(snapshot) and found(snapshot / "unet")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / f"{STEM}.safetensors").rename(f / "model.safetensors"), "it has config.js"),
        (lambda f: (f / "config.json").unlink(), f"and this one has {STEM}.safetensors, sched"),
        (lambda f: [p.unlink() for p in f.iterdir()], "and this one is empty"),
    ],
)
def test_what_lies_there_is_named(
    spoil: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    spoil(flat(tmp_path, network()))
    with pytest.raises(FileNotFoundError, match=message):
        hsem.load(tmp_path)


def test_a_folder_in_place_of_weights(tmp_path: Path) -> None:
    flat(tmp_path, network())
    (tmp_path / f"{STEM}.safetensors").unlink()
    (tmp_path / f"{STEM}.safetensors").mkdir()
    with pytest.raises(OSError, match="is a folder, where a file of weights is expected"):
        hsem.load(tmp_path)


# --------------------------------------------------------------------------------- odd objects

NOISE = DDPMScheduler()
OBJECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a pipeline": (
        lambda: DDPMPipeline(network(), NOISE),
        r"holds a network; load that, hsem.load\(x.unet, scheduler=x.scheduler\)",
    ),
    "a pipeline that reads prompts": (
        lambda: SimpleNamespace(unet=conditional_unet(), scheduler=NOISE),
        "UNet2DConditionModel: .*record_h and edit_h do work on it",
    ),
    "compiled": (
        lambda: torch.compile(network(), backend="eager"),
        r"load that, hsem.load\(x._orig_mod\)",
    ),
    "wrapped": (lambda: torch.nn.DataParallel(network()), r"load that, hsem.load\(x.module\)"),
    "loaded": (hsem.tiny_unet, "loaded already; use it as it is"),
    "averages": (lambda: EMAModel(network().parameters()), "must be .*, got EMAModel"),
    "nothing": (lambda: None, "must be .*, got NoneType None"),
    "bytes": (lambda: b"portraits-64", "must be .*, got bytes"),
    "another network": (lambda: torch.nn.Linear(2, 2), "only unconditional UNet2DModel"),
    "without weights": (lambda: network().to("meta"), "without weights .* 'meta'"),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_that_are_no_network(kind: str) -> None:
    make, message = OBJECTS[kind]
    with pytest.raises(ValueError, match=message):
        hsem.load(make(), scheduler=NOISE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"device": "cud"}, "device='cud' is no device"),
        ({"dtype": "float16"}, "dtype='float16' is no floating"),
        ({"dtype": torch.int8}, "dtype=torch.int8 is no floating"),
        ({"scheduler": DDPMScheduler}, "is a class; give the object"),
        ({"scheduler": "runs/scheduler"}, "is a name; give the object"),
    ],
)
def test_arguments_that_are_none(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hsem.load(network(), **{"scheduler": NOISE, **wrong})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_network_in_training_is_left_alone_by_a_copy(dtype: torch.dtype) -> None:
    unet = network().train()
    unet.conv_in.bias.requires_grad_(False)
    unet(torch.ones(1, 3, 16, 16), 3).sample.sum().backward()
    unet.to(dtype)  # gradients too
    gradients = [None if p.grad is None else p.grad.clone() for p in unet.parameters()]
    model = hsem.load(unet, scheduler=NOISE, copy=True)
    after = [p.grad for p in unet.parameters()]
    assert unet.training and unet.dtype == dtype
    assert [p.requires_grad for p in unet.parameters()].count(False) == 1
    for a, b in zip(gradients, after, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)  # type: ignore[arg-type]
    assert not model.unet.training and not any(p.requires_grad for p in model.unet.parameters())
    hsem.load(unet, scheduler=NOISE)  # control: without a copy, as documented
    assert not unet.training and not any(p.requires_grad for p in unet.parameters())
