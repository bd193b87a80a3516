"""ONNX graphs compute what torch computes, for any batch, and sample the same pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

import hsem
from hsem.diffusion.schedule import direction_to_xt

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")


class Graphs:
    """A folder that `export_onnx` wrote, as somebody without hsem would use it."""

    def __init__(self, folder: Path) -> None:
        self.about = json.loads((folder / "model.json").read_text())
        self.sessions = {
            path.stem: runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for path in folder.glob("*.onnx")
        }

    def run(self, name: str, **inputs: Any) -> dict[str, Tensor]:
        session = self.sessions[name]
        out = session.run(None, {k: np.asarray(v) for k, v in inputs.items()})
        names = [o.name for o in session.get_outputs()]
        return {k: torch.from_numpy(v) for k, v in zip(names, out, strict=True)}

    def network(self, x: Tensor, t: int) -> Tensor:
        given = self.run("encoder", x=x, t=np.full(len(x), t, dtype=np.float32))
        return self.run("decoder", **given)["output"]


class Light(torch.nn.Module):
    names = ("light",)

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def tiny(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[hsem.HSpaceUNet, Graphs]:
    model = hsem.tiny_unet(prediction_type=request.param)
    folder = tmp_path_factory.mktemp("tiny")
    differences = hsem.export_onnx(model, folder, scorer=Light(), half=False)
    assert set(differences) == {"encoder", "decoder", "classifier"}
    assert max(differences.values()) < 1e-5
    return model, Graphs(folder)


@pytest.mark.parametrize("batch", [1, 3])
def test_graphs_are_the_network(tiny: tuple[hsem.HSpaceUNet, Graphs], batch: int) -> None:
    model, graphs = tiny
    x = torch.randn(batch, *model.image_shape, generator=torch.Generator().manual_seed(1))
    for t in (0, 500, 999):
        expected = model.output(*model.encode(x, t))
        assert (graphs.network(x, t) - expected).abs().max() < 1e-5
        assert (graphs.network(x, t // 2 + 1) - expected).abs().max() > 1e-4  # control


def test_h_is_what_the_decoder_is_given(tiny: tuple[hsem.HSpaceUNet, Graphs]) -> None:
    model, graphs = tiny
    x = torch.randn(1, *model.image_shape, generator=torch.Generator().manual_seed(1))
    given = graphs.run("encoder", x=x, t=np.array([300], dtype=np.float32))
    h, context = model.encode(x, 300)
    assert (given["h"] - h).abs().max() < 1e-5
    assert [list(given[k].shape[1:]) for k in given if k != "h"] == graphs.about["context"]
    out = graphs.run("decoder", **(given | {"h": given["h"] + 1}))["output"]
    assert (out - model.output(h + 1, context)).abs().max() < 1e-5
    assert (out - model.output(h, context)).abs().max() > 1e-4  # control


def test_samples_are_those_of_hsem(tiny: tuple[hsem.HSpaceUNet, Graphs]) -> None:
    """With nothing but the graphs, the numbers of model.json, and equations 2 to 4."""
    model, graphs = tiny
    alpha_bar = graphs.about["alpha_bar"]
    x, _ = hsem.draw_noise(tuple(graphs.about["image_shape"]), [7], 0)
    times = model.schedule(5).timesteps
    for t, following in zip(times, [*times[1:], None], strict=True):
        a, a_prev = alpha_bar[t], 1.0 if following is None else alpha_bar[following]
        out = graphs.network(x, t)
        if graphs.about["prediction_type"] == "v_prediction":
            x0, eps = a**0.5 * x - (1 - a) ** 0.5 * out, a**0.5 * out + (1 - a) ** 0.5 * x
        else:
            x0, eps = (x - (1 - a) ** 0.5 * out) / a**0.5, out
        x = a_prev**0.5 * x0 + direction_to_xt(eps, a_prev, 0.0)
    expected = hsem.sample(model, [7], steps=5, eta=0.0, progress=False).images
    assert (x - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.slow
def test_portraits_in_half_precision_with_directions_and_classifier(tmp_path: Path) -> None:
    model, judge = hsem.load(device="cpu"), hsem.classifier.load()
    directions = hsem.results.load("named", model).directions
    found = hsem.export_onnx(model, tmp_path, directions=directions, scorer=judge)
    graphs = Graphs(tmp_path)
    # the weights are stored in half precision, so nothing is lost but by the classifier, whose
    # normalisations the exporter folds into its weights
    assert max(found["encoder"], found["decoder"]) < 1e-5
    assert found["classifier"] < 1e-3
    x = torch.randn(1, *model.image_shape, generator=torch.Generator().manual_seed(1))
    assert (graphs.network(x, 500) - model.output(*model.encode(x, 500))).abs().max() < 1e-5
    images = x.clamp(-1, 1)
    scores = graphs.run("classifier", images=images)["scores"]
    assert ((scores - judge(images)) / judge.spread).abs().max() < 0.01
    assert [c["name"] for c in graphs.about["scores"]] == list(judge.names)
    stored = hsem.results.load(tmp_path / "directions.safetensors", model).directions
    assert stored["yaw"].cosine(directions["yaw"]) > 0.9999
    size = sum((tmp_path / f"{name}.onnx").stat().st_size for name in ("encoder", "decoder"))
    assert size < 2.2 * sum(p.numel() for p in model.unet.parameters())  # 2 bytes a weight


def test_files_hold_no_path_of_this_machine(tiny: tuple[hsem.HSpaceUNet, Graphs]) -> None:
    _, graphs = tiny
    for session in graphs.sessions.values():
        raw = Path(session._model_path).read_bytes()
        assert b".py" not in raw and str(Path.home()).encode() not in raw


def test_a_scorer_without_attributes_gives_names(tiny: tuple[hsem.HSpaceUNet, Graphs]) -> None:
    _, graphs = tiny
    assert graphs.about["scores"] == [{"name": "light"}]
    images = torch.rand(2, 3, 16, 16)
    scores = graphs.run("classifier", images=images)["scores"]
    assert torch.allclose(scores[:, 0], images.mean(dim=(1, 2, 3)), atol=1e-5)


def test_a_direction_of_other_weights_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    model, other = hsem.tiny_unet(0), hsem.tiny_unet(1)
    grid = model.schedule(2).timesteps
    foreign = hsem.Direction(
        torch.ones(2, *model.h_shape), grid, "made up", hsem.provenance_of(other)
    )
    with pytest.raises(ValueError, match="was made for model"):
        hsem.export_onnx(model, tmp_path / "out", directions={"x": foreign})
    assert not (tmp_path / "out").exists()


def test_without_the_packages_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r'pip install "hsem\[onnx\]"'):
        hsem.export_onnx(hsem.tiny_unet(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def unusual(kind: str) -> hsem.HSpaceUNet:
    """Networks unlike `portraits-64`: deep, of one level, grey, resampled in other ways."""
    settings: dict[str, Any] = {
        "six levels": {
            "sample_size": 64,
            "block_out_channels": (4, 4, 8, 8, 8, 8),
            "down_block_types": ("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4,
            "attention_head_dim": 4,
        },
        "odd and without levels": {
            "sample_size": (15, 17),
            "block_out_channels": (8,),
            "down_block_types": ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",),
        },
        "grey, oblong, no attention": {
            "sample_size": (24, 40),
            "in_channels": 1,
            "out_channels": 1,
            "add_attention": False,
            "block_out_channels": (8, 8),
            "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"),
            "resnet_time_scale_shift": "scale_shift",
        },
    }[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(layers_per_block=1, norm_num_groups=4, **settings)
    return hsem.HSpaceUNet(unet, DDIMScheduler(), kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["six levels", "odd and without levels", "grey, oblong, no attention"]
)
def test_any_network(kind: str, tmp_path: Path) -> None:
    model = unusual(kind)
    differences = hsem.export_onnx(model, tmp_path)
    # the weights are rounded to 11 bits
    assert 0 < max(differences.values()) < 1e-2
    x = torch.randn(3, *model.image_shape, generator=torch.Generator().manual_seed(1))
    expected = model.output(*model.encode(x, 400))
    assert (Graphs(tmp_path).network(x, 400) - expected).abs().max() < 1e-2 * expected.abs().max()
