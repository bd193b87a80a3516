"""Damaged and hostile files: one error each, with the path and the remedy, and nothing is run."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import hsem
from hsem.network import weights
from tests.unit.network.layouts import STEM, flat, flat_bin, network, pipeline, sharded

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 454000000\n"
HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "HTML": (lambda _: HTML, "is an HTML page"),
    "Git LFS": (lambda _: LFS, "is a Git LFS pointer"),
    "Latin-1": (lambda _: '{"_class_name": "Ü"}'.encode("latin-1"), "is not UTF-8"),
    "UTF-16": (lambda good: good.decode().encode("utf-16"), "is not UTF-8"),
    "a list": (lambda _: b"[1, 2]", "holds a list"),
    "a number": (lambda _: b"7", "holds a int"),
    "cut short": (lambda good: good[: len(good) // 2], "no valid JSON"),
    "too deep": (lambda _: b"[" * 100_000, "no valid JSON"),
}


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_json(damage: str, name: str, tmp_path: Path) -> None:
    path = pipeline(tmp_path, network()) / name
    spoil, message = DAMAGE[damage]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(OSError, match=f"{re.escape(str(path))} {message}|{message}"):
        hsem.load(tmp_path)


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_a_folder_in_place_of_json(name: str, tmp_path: Path) -> None:
    path = pipeline(tmp_path, network()) / name
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=f"{re.escape(str(path))} is a folder"):
        hsem.load(tmp_path)


@pytest.mark.filterwarnings("error")
def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    pipeline(tmp_path, network())
    for name in ("unet/config.json", "scheduler/scheduler_config.json", "model_index.json"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert hsem.load(tmp_path, device="cpu").prediction_type == "v_prediction"
    (tmp_path / "model_index.json").write_bytes(HTML)  # nothing depends on it
    assert hsem.load(tmp_path, device="cpu").h_shape == (8, 8, 8)


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "values of another kind": ({"block_out_channels": "many"}, "does not describe a UNet2DModel"),
    "an unknown block": ({"down_block_types": ["X", "Y"]}, "does not describe a UNet2DModel"),
    "a million layers": ({"layers_per_block": 10**6}, "describes 2000000 layers or more"),
    "NaN": ({"norm_eps": float("nan")}, "no valid JSON .*NaN"),
    "beyond all numbers": ({"freq_shift": float("inf")}, "no valid JSON .*Infinity"),
    "a text": ({"freq_shift": "x"}, "its config is wrong .TypeError"),
    "pictures of 10^18 pixels": ({"sample_size": 10**9}, "its config is wrong .RuntimeError"),
    "far too large": ({"block_out_channels": [10**7, 10**7]}, "do not fit the config"),
    "another model": ({"layers_per_block": 2}, "do not fit the config"),
    "a text encoder": ({"_class_name": None, "model_type": "clip"}, "describes"),
    "a conditional network": ({"_class_name": "UNet2DConditionModel"}, "record_h and edit_h"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_wrong_configs(case: str, tmp_path: Path) -> None:
    path = flat(tmp_path, network()) / "config.json"
    change, message = CONFIGS[case]
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises((OSError, ValueError), match=message) as caught:
        hsem.load(tmp_path)
    if "JSON" not in message:
        assert "again" not in str(caught.value)  # fetching it again would not help


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "DDPMSchedular"}, "which diffusers does not have"),
        ({"_class_name": "UNet2DModel"}, "which diffusers does not have"),
        ({"_class_name": ["DDPMScheduler"]}, "which diffusers does not have"),
        ({"num_train_timesteps": 10**13}, "num_train_timesteps=10000000000000"),
        ({"beta_schedule": "wavy"}, "does not describe a DDPMScheduler"),
        ({"trained_betas": [float("nan")] * 1000}, "no valid JSON .*NaN"),
        ({"beta_schedule": "linear", "beta_end": 2.0}, "alpha_bar from -?0 to"),
        ({"beta_schedule": "linear", "beta_start": -1.0}, "alpha_bar from .* to"),
        ({"steps_offset": "a"}, "steps_offset='a'"),
        ({"steps_offset": None}, "steps_offset=None"),
        ({"steps_offset": -3}, "steps_offset=-3"),
        ({"steps_offset": 5000}, "steps_offset=5000"),
        ({"timestep_spacing": "bogus"}, "timestep_spacing='bogus'"),
        ({"prediction_type": "sample"}, "prediction_type='sample'"),
        ({"trained_betas": 0.1}, r"noise levels of shape \(\)"),
        ({"trained_betas": [[0.1]]}, r"noise levels of shape \(1, 1\).*one list of numbers"),
    ],
)
def test_wrong_schedulers(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = flat(tmp_path, network()) / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises((OSError, ValueError), match=message) as caught:
        hsem.load(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "got"), [({}, "an empty mapping"), ({"error": "Not found"}, "error")]
)
def test_a_scheduler_that_says_nothing(content: dict[str, Any], got: str, tmp_path: Path) -> None:
    path = flat(tmp_path, network()) / "scheduler_config.json"
    path.write_text(json.dumps({"beta_schedule": "linear"}))
    hsem.load(tmp_path, device="cpu")  # control
    path.write_text(json.dumps(content))
    with pytest.raises(OSError, match=f"{re.escape(str(path))} describes no noise.*got {got}"):
        hsem.load(tmp_path)


def test_a_network_that_cannot_be_split_is_named(tmp_path: Path) -> None:
    path = flat(tmp_path, network()) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sample_size": None}))
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: .*has no sample_size"):
        hsem.load(tmp_path)


@pytest.mark.parametrize(
    "change", [{}, {"steps_offset": 1}, {"timestep_spacing": "trailing"},
               {"rescale_betas_zero_snr": True}],
)  # fmt: skip
def test_unusual_schedulers_are_read(change: dict[str, Any], tmp_path: Path) -> None:
    """Control of the one above: a schedule that ends in pure noise suits a network of v."""
    path = flat(tmp_path, network()) / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    model = hsem.load(tmp_path, device="cpu")
    assert (model.alpha_bar[-1] == 0) == ("rescale_betas_zero_snr" in change)
    assert model.steps_offset == change.get("steps_offset", 0)


# ------------------------------------------------------------------------------------ weights


class Code:
    """A pickle that leaves a mark if it is ever run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", [f"{STEM}.bin", f"{STEM}.fp16.bin", f"{STEM}.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused(name: str, zipped: bool, tmp_path: Path) -> None:
    flat(tmp_path, network())
    (tmp_path / f"{STEM}.safetensors").unlink()
    mark, path = tmp_path / "mark", tmp_path / name
    state = {**network().state_dict(), "conv_in.bias": Code(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(OSError, match=re.escape(str(path))) as caught:
        hsem.load(tmp_path)
    if name.endswith(".bin"):
        assert "nothing in it was run" in str(caught.value) and "mkdir" in str(caught.value)
    assert caught.value.__cause__ is None or "weights_only" not in str(caught.value.__cause__)
    assert not mark.exists()
    torch.load(path.rename(tmp_path / "x.pt"), weights_only=False)  # control: it does carry code
    assert mark.exists()


def test_a_shard_with_code_is_refused(tmp_path: Path) -> None:
    sharded(safe=False)(tmp_path, network())
    path, mark = sorted(tmp_path.glob("*-of-*"))[-1], tmp_path / "mark"
    torch.save({"x": Code(mark)}, path)
    with pytest.raises(OSError, match=f"{re.escape(path.name)} is a pickle that holds more"):
        hsem.load(tmp_path)
    assert not mark.exists()


def test_a_bin_is_read_rather_than_mapped(tmp_path: Path, monkeypatch) -> None:
    """Another program writes the file anew after it was opened: weights would be the new ones."""
    (path,) = flat_bin(tmp_path, network()).glob(f"{STEM}.bin")
    mapped = torch.load(path, weights_only=True, mmap=True)
    build = weights._without_weights

    def meanwhile(*args: Any) -> Any:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
        return build(*args)

    monkeypatch.setattr(weights, "_without_weights", meanwhile)
    found = hsem.load(tmp_path, device="cpu").unet.state_dict()
    for name, x in network().state_dict().items():
        assert torch.equal(found[name], x)
    assert not any(torch.equal(mapped[name], x) for name, x in found.items() if x.any())  # control


def large_header(_: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + b"{}"


WEIGHTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "Git LFS": (lambda _: LFS, r"is a Git LFS pointer.*git lfs pull"),
    "HTML": (lambda _: HTML, "is an HTML page"),
    "cut short": (lambda good: good[:3000], "is damaged, cut short"),
    "noise": (lambda good: bytes(range(1, 256)) * 10, "is damaged|more than tensors, or is"),
    "huge header": (large_header, "is damaged|more than tensors, or is"),
}


@pytest.mark.parametrize("save", [flat, flat_bin])
@pytest.mark.parametrize("damage", WEIGHTS)
def test_damaged_weights(damage: str, save: Callable[..., Path], tmp_path: Path) -> None:
    (path,) = save(tmp_path, network()).glob(f"{STEM}.*")
    spoil, message = WEIGHTS[damage]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(OSError, match=message) as caught:
        hsem.load(tmp_path)
    assert str(path) in str(caught.value)
    if damage in ("Git LFS", "HTML"):
        assert "again" not in str(caught.value)  # the same would come


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / f"{STEM}.safetensors"
    state = load_file(path)
    change(state)
    save_file({k: v.contiguous() for k, v in state.items()}, path, metadata={"format": "pt"})


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    def turned(state: dict[str, torch.Tensor]) -> None:  # as many numbers, in another shape
        state["conv_in.weight"] = state["conv_in.weight"].transpose(0, 1)

    def renamed(state: dict[str, torch.Tensor]) -> None:
        state["conv_inn.bias"] = state.pop("conv_in.bias")

    def one_less(state: dict[str, torch.Tensor]) -> None:
        del state["conv_in.bias"]

    for k, change in enumerate((turned, renamed, one_less)):
        changed(flat(tmp_path / str(k), network()), change)
        with pytest.raises(OSError, match="do not fit the config") as caught:
            hsem.load(tmp_path / str(k))
        assert "again" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    changed(flat(tmp_path, network()), lambda state: state["conv_in.bias"][:1].fill_(value))
    with pytest.raises(
        OSError, match=r"NaN or infinite numbers in 1 weights, such as conv_in\.bias"
    ):
        hsem.load(tmp_path)


def test_a_checkpoint_under_the_name_of_weights(tmp_path: Path) -> None:
    flat_bin(tmp_path, network())
    torch.save({"state_dict": network().state_dict(), "epoch": 3}, tmp_path / f"{STEM}.bin")
    with pytest.raises(OSError, match="holds a mapping of state_dict, epoch"):
        hsem.load(tmp_path)


ODD: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "plain": (lambda x: x, ""),  # control
    "without numbers": (lambda x: x.to("meta"), "that is without numbers"),
    "sparse": (lambda x: x.to_sparse(), "that is torch.sparse_coo"),
    "compressed": (lambda x: x[None].to_sparse_csr(), "that is torch.sparse_csr"),
    "nested": (lambda x: torch.nested.nested_tensor([x, x]), "that is nested"),
}


@pytest.mark.filterwarnings("ignore:.*(Sparse|nested)")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_of_another_layout(kind: str, tmp_path: Path) -> None:
    (path,) = flat_bin(tmp_path, network()).glob(f"{STEM}.bin")
    change, message = ODD[kind]
    state = network().state_dict()
    torch.save({**state, "conv_in.bias": change(state["conv_in.bias"])}, path)
    if not message:
        hsem.load(tmp_path, device="cpu")
        return
    with pytest.raises(OSError, match=f"{re.escape(str(path))} holds 'conv_in.bias' .*{message}"):
        hsem.load(tmp_path)


def test_weights_by_number(tmp_path: Path) -> None:
    (path,) = flat_bin(tmp_path, network()).glob(f"{STEM}.bin")
    torch.save(dict(enumerate(network().parameters())), path)
    with pytest.raises(OSError, match=f"{re.escape(str(path))} holds a mapping of 0, 1, 2, 3"):
        hsem.load(tmp_path)


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", 7])
def test_an_index_names_its_own_folder_only(name: object, tmp_path: Path) -> None:
    sharded(safe=True)(tmp_path, network())
    index = tmp_path / f"{STEM}.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["conv_in.bias"] = name
    index.write_text(json.dumps(content))
    with pytest.raises(OSError, match="must name files of the same folder"):
        hsem.load(tmp_path)


def test_missing_weights_and_shards(tmp_path: Path) -> None:
    sharded(safe=True)(tmp_path / "a", network())
    next((tmp_path / "a").glob("*-00002-of-*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"00002-of.* is missing; bring it from .*index"):
        hsem.load(tmp_path / "a")
    (flat(tmp_path / "b", network()) / f"{STEM}.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        hsem.load(tmp_path / "b")
