"""What `export_onnx` refuses, and what it leaves in a folder that was not empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hsem
from hsem.network import export

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


class Light(torch.nn.Module):
    names = ("light",)

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]


def identity(value: float = 1.0) -> Any:
    """A graph x -> value * x, with a large constant."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.full((3, 32, 32), value, dtype=np.float32), "w")
    into, out = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 3, 32, 32]) for n in "xy"
    )
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "g", [into], [out], [weight]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


class Times(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return self.value * x


def test_what_float16_cannot_hold_is_no_number_and_zero_is_equal_to_zero() -> None:
    x = torch.ones(1, 3, 32, 32)
    for value, ends in ((0.5, 0.0), (1e6, np.inf), (0.0, 0.0)):
        graph = identity(value)
        export._halve(graph)
        found = export._difference(graph.SerializeToString(), Times(value), (x,), ["x"])
        assert found == ends
    graph = identity(float("nan")).SerializeToString()
    assert np.isnan(export._difference(graph, Times(1.0), (x,), ["x"]))
    # control: without rounding, what is large is no fault
    graph = identity(1e6).SerializeToString()
    assert export._difference(graph, Times(1e6), (x,), ["x"]) == 0


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("found", [np.nan, np.inf])
def test_a_wrong_graph_is_refused_and_what_was_there_stays(
    found: float, half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_graph", lambda *_: identity())
    monkeypatch.setattr(export, "_difference", lambda *_: found)
    (tmp_path / "encoder.onnx").write_text("before")
    with pytest.raises(ValueError, match="half=False" if half else "report this network"):
        hsem.export_onnx(hsem.tiny_unet(), tmp_path, half=half)
    assert [p.name for p in tmp_path.iterdir()] == ["encoder.onnx"]
    assert (tmp_path / "encoder.onnx").read_text() == "before"


def test_what_the_exporter_refuses_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no graph for aten::odd\nand pages of advice")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(ValueError, match=r"encoder of .* says 'no graph for aten::odd'; nothing"):
        hsem.export_onnx(hsem.tiny_unet(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_earlier_export_is_replaced_with_all_that_belonged_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_graph", lambda *_: identity())
    monkeypatch.setattr(export, "_difference", lambda *_: 0.0)
    (tmp_path / "notes.txt").write_text("the reader's own")
    (tmp_path / "classifier.onnx").write_text("the reader's own")
    hsem.export_onnx(hsem.tiny_unet(), tmp_path)  # control: no export was there
    assert (tmp_path / "classifier.onnx").read_text() == "the reader's own"
    hsem.export_onnx(hsem.tiny_unet(), tmp_path, scorer=Light())
    assert json.loads((tmp_path / "model.json").read_text())["scores"] == [{"name": "light"}]
    hsem.export_onnx(hsem.tiny_unet(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "decoder.onnx", "encoder.onnx", "model.json", "notes.txt",
    ]  # fmt: skip
    assert "scores" not in json.loads((tmp_path / "model.json").read_text())


def test_a_bad_place_or_scorer_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a graph was made")

    monkeypatch.setattr(export, "_graph", never)
    model = hsem.tiny_unet()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(NotADirectoryError, match="is a file"):
            hsem.export_onnx(model, folder)

    def read_only(path: Path, name: str) -> None:
        assert path.parent == tmp_path
        raise PermissionError(f"{name} is read-only")

    with monkeypatch.context() as patch:  # root may write everywhere
        patch.setattr(export, "check_writable", read_only)
        with pytest.raises(PermissionError, match="folder is read-only"):
            hsem.export_onnx(model, tmp_path / "new/deeper")
    for scorer in (lambda x: x, torch.nn.Identity()):
        with pytest.raises(TypeError, match="scorer must be a network"):
            hsem.export_onnx(model, tmp_path / "new", scorer=scorer)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
    with pytest.raises(AssertionError, match="a graph was made"):  # control
        hsem.export_onnx(model, tmp_path / "new")
