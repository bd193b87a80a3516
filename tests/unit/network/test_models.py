"""`load`: the layouts that diffusers reads, names against folders, networks given as objects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

import hsem
from tests.unit.network.layouts import LAYOUTS, flat, network, pipeline, scheduler, training_run


def same(a: UNet2DModel, b: UNet2DModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("error")  # a scheduler that was not found would only be a warning
def test_layouts(layout: str, tmp_path: Path) -> None:
    unet = network()
    model = hsem.load(LAYOUTS[layout](tmp_path / "run", unet), device="cpu")
    assert same(model.unet, unet)
    assert model.prediction_type == "v_prediction"  # control: the default's is epsilon
    assert not same(model.unet, network(1))


def test_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    run = training_run(tmp_path / "run", network())
    plain = hsem.load(run / "checkpoint-500" / "unet", device="cpu")
    assert same(plain.unet, network(6)) and plain.prediction_type == "v_prediction"
    assert same(hsem.load(run, device="cpu").unet, network(5))  # the finished pipeline
    for name in ("unet", "scheduler"):
        for path in (run / name).iterdir():
            path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"training run; give one of its checkpoints, .*500"
    ):
        hsem.load(run)
    with pytest.warns(UserWarning, match="no scheduler found"):
        hsem.load(run / "checkpoint-500")


def test_a_scheduler_farther_away_is_not_taken(tmp_path: Path) -> None:
    scheduler().save_pretrained(tmp_path / "scheduler")
    network().save_pretrained(tmp_path / "mine")
    with pytest.warns(UserWarning, match="no scheduler found"):
        assert hsem.load(tmp_path / "mine").prediction_type == "epsilon"


def test_safetensors_first(tmp_path: Path) -> None:
    flat(tmp_path, network())
    network(1).save_pretrained(tmp_path, safe_serialization=False)
    network(2).save_pretrained(tmp_path, variant="fp16")
    assert same(hsem.load(tmp_path, device="cpu").unet, network())
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    assert same(hsem.load(tmp_path, device="cpu").unet, network(1))
    (tmp_path / "diffusion_pytorch_model.bin").unlink()
    assert same(hsem.load(tmp_path, device="cpu").unet, network(2))
    network(3).save_pretrained(tmp_path, variant="non_ema")
    with pytest.raises(OSError, match="as fp16, non_ema only"):
        hsem.load(tmp_path)


def test_half_precision_files(tmp_path: Path) -> None:
    network().half().save_pretrained(tmp_path, variant="fp16")
    scheduler().save_pretrained(tmp_path)
    model = hsem.load(tmp_path, device="cpu")
    assert model.dtype == torch.float32
    assert same(model.unet, network().half().float())
    assert hsem.load(tmp_path, device="cpu", dtype=torch.float16).dtype == torch.float16


# ----------------------------------------------------------------------------- names and folders


def test_a_packaged_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = hsem.load(device="cpu").fingerprint
    flat(tmp_path / "portraits-64", network())
    assert hsem.load("portraits-64", device="cpu").fingerprint == packaged
    for source in (Path("portraits-64"), "./portraits-64", str(tmp_path / "portraits-64")):
        assert same(hsem.load(source, device="cpu").unet, network())
    monkeypatch.chdir(Path("/"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        hsem.load(Path("portraits-64"))


def test_a_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flat(tmp_path / "google" / "ddpm-ema-celebahq-256", network())
    model = hsem.load("google/ddpm-ema-celebahq-256", device="cpu")
    assert same(model.unet, network())


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pipeline(tmp_path / "mine", network())
    assert same(hsem.load("~/mine", device="cpu").unet, network())


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("portrait-64", ValueError, "no known model, and no folder of .*known are portraits-64"),
        ("runs/faces/checkpoint-5", FileNotFoundError, "is not a folder: .*does not exist"),
        ("./faces", FileNotFoundError, "is not a folder: .*does not exist"),
        ("/nowhere/faces", FileNotFoundError, "is not a folder: .*does not exist"),
        ("https://huggingface.co/a/b", ValueError, "is an address; write 'owner/name'"),
        ("", ValueError, "no known model"),
    ],
)
def test_names_of_nothing(source: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        hsem.load(source)


def test_single_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    cases = {
        "ema.ckpt": "convert_ddpm_original_checkpoint_to_diffusers.py",
        "last.PTH": "convert",
        "model.safetensors": "put it into a folder as diffusion_pytorch_model.safetensors, with",
        "notes.txt": "is a file; give the folder",
    }
    for name, message in cases.items():
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(OSError, match=message):
            hsem.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"config.json is missing; .*ema.ckpt is a single"):
        hsem.load(tmp_path)
    flat(tmp_path / "mine", network())
    with pytest.raises(
        OSError, match=r"is one file of a model; give the folder, hsem.load\('.*mine'"
    ):
        hsem.load(tmp_path / "mine" / "diffusion_pytorch_model.safetensors")


# ------------------------------------------------------------------------- networks as objects


def state_of(unet: UNet2DModel) -> tuple[object, ...]:
    p = next(iter(unet.parameters()))
    strides = tuple(q.stride() for q in unet.parameters())
    return unet.training, p.requires_grad, p.dtype, p.device, strides


def test_a_copy_leaves_the_network_alone() -> None:
    unet = network().to(torch.float64).train()
    before = state_of(unet)
    model = hsem.load(unet, scheduler=DDPMScheduler(), copy=True, dtype=torch.float32)
    assert state_of(unet) == before
    assert model.unet is not unet and model.dtype == torch.float32
    next(iter(model.unet.parameters())).data.fill_(3.0)
    assert same(unet, network().to(torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_in_memory_is_not_changed(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    unet = network().to(dtype).to(memory_format=layout)
    before = state_of(unet)
    hsem.load(unet, scheduler=DDPMScheduler())
    assert state_of(unet)[2:] == before[2:]
    other = torch.bfloat16 if dtype == torch.float32 else torch.float32
    hsem.load(unet, scheduler=DDPMScheduler(), dtype=other)  # control: asked for
    assert state_of(unet)[2:] != before[2:]


def test_without_a_copy_it_is_the_same_network() -> None:
    """Evaluation mode and frozen, as documented; neither moved nor converted."""
    unet = network().to(torch.float64).train()
    *_, dtype, device, strides = state_of(unet)
    model = hsem.load(unet, scheduler=DDPMScheduler())
    assert model.unet is unet
    assert state_of(unet) == (False, False, dtype, device, strides)
    assert hsem.load(unet, scheduler=DDPMScheduler(), dtype=torch.float32).dtype == torch.float32
    assert next(iter(unet.parameters())).dtype == torch.float32  # control: asked for
