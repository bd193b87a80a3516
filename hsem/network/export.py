"""A model as ONNX graphs, so that a browser or any other runtime can draw and edit with it.

The graphs are the two halves of `HSpaceUNet`, cut at h. Equations 2 to 5 are not in them: whoever
runs the graphs forms x from their output, with the noise levels of `model.json`.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import results
from ..directions.direction import Direction
from ..files import check_writable, replacing
from .unet import Context, HSpaceUNet

if TYPE_CHECKING:
    from onnx import ModelProto

FORMAT = "hsem-onnx/1"
ABOUT = "model.json"
OPTIONAL = ("classifier.onnx", "directions.safetensors")
SMALL = 1024  # a constant with fewer values than this is not worth a Cast
# A float32 result may differ from torch's by this much of its largest value, before export fails
TOLERANCE = 1e-4


class Encoder(nn.Module):
    """x (b, 3, H, W) and t (b,), float -> h, t_emb, and the skips, finest first."""

    def __init__(self, model: HSpaceUNet) -> None:
        super().__init__()
        self.unet, self.model = model.unet, model

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        # a sampler has one t for all; a graph takes it as an input, one per image
        h, context = self.model.encode(x, t)  # type: ignore[arg-type]
        return h, context.t_emb, *context.skips


class Decoder(nn.Module):
    """h, t_emb and the skips -> what the network itself predicts, eps or v, (b, 3, H, W)."""

    def __init__(self, model: HSpaceUNet) -> None:
        super().__init__()
        self.unet, self.model = model.unet, model

    def forward(self, h: Tensor, t_emb: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        return self.model.output(h, Context(skips, t_emb, h, 0))


def export_onnx(
    model: HSpaceUNet,
    folder: str | Path,
    *,
    directions: Mapping[str, Direction] | None = None,
    scorer: nn.Module | None = None,
    half: bool = True,
) -> dict[str, float]:
    """Write a model as ONNX graphs, and what is needed to sample with them.

    Parameters
    ----------
    model : any `HSpaceUNet`
    folder : is made if it is not there; an earlier export in it is replaced. Gets

        * `encoder.onnx`: x (b, 3, H, W) and t (b,) in float32 -> h (b, C, h, w), t_emb, skip_0, ...
        * `decoder.onnx`: h, t_emb, skip_0, ... -> output (b, 3, H, W), eps or v
        * `classifier.onnx`: images (n, 3, H, W) -> scores (n, k), if there is a scorer
        * `directions.safetensors`: as `hsem.results` stores them, in 8 bits, if there are any
        * `model.json`: shapes, noise levels, what the network predicts, names of the scores; it
          is written last, and a folder without it is not complete
    directions : by name, found for these weights
    scorer : a network of images with `names`, such as `hsem.classifier.load()`
    half : store weights in float16. Graphs compute in float32 all the same: WebAssembly has no
        float16 arithmetic, and the runtime converts once, when it loads them.

    Returns
    -------
    The largest difference between each graph, run by onnxruntime on two random samples, and torch,
    as a part of the largest value: {"encoder": 1e-6, ...}.

    Raises
    ------
    ImportError
        If onnx, onnxscript or onnxruntime is missing (`pip install "hsem[onnx]"`).
    TypeError
        If the scorer is no network, or has no names.
    ValueError
        If a direction belongs to other weights; if the exporter knows no graph for the network; if
        a graph computes something else than torch, or, with `half`, a weight is too large for
        float16. Nothing is written then.
    OSError
        If the folder is a file or cannot be written to, before anything is computed.

    Notes
    -----
    The output is left as the network predicts it, see `HSpaceUNet.predict` for what follows. With
    `half`, weights that were stored in float16 (those of `portraits-64`) come out unchanged;
    others are rounded.
    """
    _needs("onnx", "onnxscript", "onnxruntime")
    folder = Path(folder)
    for direction in (directions or {}).values():
        direction.check_model(model)
    if scorer is not None and not (isinstance(scorer, nn.Module) and hasattr(scorer, "names")):
        raise TypeError(
            "scorer must be a network (torch.nn.Module) with `names`, one per column of what it "
            f"returns, got {type(scorer).__name__}; a function cannot be written as a graph"
        )
    _check_folder(folder)
    twin = copy.copy(model)
    twin.unet = nn.Module.to(copy.deepcopy(model.unet), "cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *model.image_shape, generator=generator, dtype=torch.float32, device="cpu")
    t = torch.tensor([1.0, len(model.alpha_bar) // 2], dtype=torch.float32, device="cpu")
    encoder, decoder = Encoder(twin), Decoder(twin)
    with torch.no_grad():
        h, t_emb, *skips = encoder(x, t)
    names = ["h", "t_emb", *(f"skip_{k}" for k in range(len(skips)))]
    graphs: list[tuple[str, nn.Module, tuple[Any, ...], list[str], list[str]]] = [
        ("encoder", encoder, (x, t), ["x", "t"], names),
        ("decoder", decoder, (h, t_emb, tuple(skips)), names, ["output"]),
    ]
    if scorer is not None:
        judge = copy.deepcopy(scorer).to("cpu", torch.float32).eval()
        graphs.append(("classifier", judge, (x.clamp(-1, 1),), ["images"], ["scores"]))

    differences, ready = {}, {}
    for name, module, inputs, into, out in graphs:
        graph = _graph(name, model, module, inputs, into, out)
        if half:
            _halve(graph)
        ready[f"{name}.onnx"] = graph.SerializeToString()
        differences[name] = _difference(ready[f"{name}.onnx"], module, inputs, into)
        apart = not half and differences[name] > TOLERANCE
        if apart or not math.isfinite(differences[name]):  # a weight may leave float16's range
            remedy = "give half=False" if half else "please report this network"
            raise ValueError(
                f"the graph of the {name} of {model.name!r} differs from torch by "
                f"{differences[name]:.1e} of its largest value; {remedy}"
            )

    # only now, with all graphs there and checked, is anything written
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    for file, content in ready.items():
        with replacing(folder / file, "folder") as part:
            part.write_bytes(content)
    if directions:
        results.save(folder / "directions.safetensors", model, directions=directions)
    with replacing(folder / ABOUT, "folder") as part:  # last: all the others are there
        part.write_text(json.dumps(_about(model, t_emb, skips, scorer)) + "\n", encoding="utf-8")
    return differences


# ------------------------------------------------------------------------------------- details


def _check_folder(folder: Path) -> None:
    """Raise OSError now, not after a minute of work."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"folder={str(folder)!r}: {str(there)!r} is a file; give another")
    check_writable(there / ABOUT, "folder")


def _clear(folder: Path) -> None:
    """Make an earlier export incomplete, and take away what the new one may not have."""
    try:
        before = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(before, dict) and before.get("format") == FORMAT:
        for name in (ABOUT, *OPTIONAL):
            (folder / name).unlink(missing_ok=True)


def _about(
    model: HSpaceUNet, t_emb: Tensor, skips: Sequence[Tensor], scorer: nn.Module | None
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": model.name,
        "fingerprint": model.fingerprint,
        "image_shape": model.image_shape,
        "h_shape": model.h_shape,
        "context": [list(part.shape[1:]) for part in (t_emb, *skips)],
        "prediction_type": model.prediction_type,
        "timestep_spacing": model.timestep_spacing,
        "steps_offset": model.steps_offset,
        "alpha_bar": model.alpha_bar.tolist(),
    }
    if scorer is not None:
        plain = [{"name": name} for name in scorer.names]  # type: ignore[union-attr]
        columns = [vars(a) for a in getattr(scorer, "attributes", ())]
        about["scores"] = columns or plain
    return about


def _needs(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise ImportError(
                f"export_onnx needs the package {package!r}, which is not installed; "
                'get what it needs with: pip install "hsem[onnx]"'
            ) from error


def _graph(
    name: str, model: HSpaceUNet, module: nn.Module, inputs: tuple[Any, ...],
    into: list[str], out: list[str],
) -> ModelProto:  # fmt: skip
    def batch(value: Any) -> Any:
        return tuple(map(batch, value)) if isinstance(value, tuple) else {0: "b"}

    talk = logging.getLogger("torch.onnx")
    level = talk.level
    try:
        talk.setLevel(logging.ERROR)  # it names packages that it would support
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own making
            program = torch.onnx.export(
                module.eval(), inputs, input_names=into, output_names=out,
                dynamo=True, dynamic_shapes=batch(inputs), verbose=False,
            )  # fmt: skip
    except Exception as error:  # of many kinds, with pages of advice for authors of networks
        reason = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the {name} of {model.name!r} cannot be written as an ONNX graph: PyTorch's exporter "
            f"says {reason!r}; nothing was written"
        ) from error
    finally:
        talk.setLevel(level)
    assert program is not None
    graph: ModelProto = program.model_proto
    for node in graph.graph.node:
        del node.metadata_props[:]  # stack traces of this machine
        node.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    del graph.graph.metadata_props[:]
    return graph


def _halve(graph: ModelProto) -> None:
    """Store large float32 constants in float16, with a Cast behind each."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for constant in graph.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type == onnx.TensorProto.FLOAT and values.size >= SMALL:
            name = constant.name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of overflow, which `_difference` finds
                rounded = values.astype("float16")
            constant.CopyFrom(numpy_helper.from_array(rounded, f"{name}.half"))
            casts.append(
                onnx.helper.make_node(
                    "Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT
                )
            )
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _difference(graph: bytes, module: nn.Module, inputs: tuple[Any, ...], into: list[str]) -> float:
    """Between onnxruntime and torch, as a part of the largest value; nan if one is no number."""
    import onnxruntime

    flat = [p for value in inputs for p in (value if isinstance(value, tuple) else (value,))]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    got = session.run(None, {name: p.numpy() for name, p in zip(into, flat, strict=True)})
    with torch.no_grad():
        expected = module(*inputs)
    pairs = zip(got, expected if isinstance(expected, tuple) else (expected,), strict=True)
    # b is 0 for a network whose last layer starts at zero; torch's max keeps a nan, not Python's
    parts = [(torch.from_numpy(a) - b).abs().max() / (b.abs().max() or 1) for a, b in pairs]
    return float(torch.stack(parts).max())
