"""What the playground loads when its reader presses start, as scripts below `book/_static/live/`.

    python book/_tools/live.py

A page that was opened from disk may load scripts, but neither modules nor files. So the runtime
(from npm, see assets.py) and the model (exported from the package) are packed as text: each file is
compressed, written in base64, and handed to `hsemLive(name, text, planes)`. Git ignores the folder;
`make` fills it before it builds the pages, which takes half a minute and happens again when the
weights change. A page that was built without it says so and shows a picture.

Graphs are optimized here, for one picture and the processor, and not once more in every reader's
browser: there it took longer than anything else before the first picture.
"""

from __future__ import annotations

import base64
import gzip
import sys
import tempfile
from pathlib import Path

import hsem
from hsem.files import replacing

STATIC = Path(__file__).resolve().parents[1] / "_static"
VENDOR = STATIC / "vendor" / "onnxruntime"
LIVE = STATIC / "live"
GLUE = "ort-wasm-simd-threaded"
# script -> name on the page -> file of onnxruntime-web
RUNTIMES = {
    "wasm.js": {"ort.js": "ort.wasm.min.js", "ort.mjs": f"{GLUE}.mjs", "ort.wasm": f"{GLUE}.wasm"},
    "webgpu.js": {
        "ort.js": "ort.webgpu.min.js",
        "ort.mjs": f"{GLUE}.asyncify.mjs",
        "ort.wasm": f"{GLUE}.asyncify.wasm",
    },
}


def pack(script: Path, files: dict[str, Path]) -> None:
    """Write a script that hands over files by name."""
    calls = []
    for name, path in files.items():
        content = path.read_bytes()
        # Weights were stored in float16, so half of a float32's bytes hardly vary. All first bytes,
        # then all second ones, and so on: packed they are then as small as float16 was.
        planes = 4 if path.suffix == ".onnx" else 1
        dealt = b"".join(content[k::planes] for k in range(planes))
        text = base64.b64encode(gzip.compress(dealt, mtime=0)).decode("ascii")
        calls.append(f'hsemLive("{name}", "{text}", {planes});\n')
    script.parent.mkdir(parents=True, exist_ok=True)
    with replacing(script) as part:
        part.write_text("".join(calls), encoding="utf-8")


def optimize(graph: Path) -> None:
    """Fold what is constant, and fuse what the runtime has one operation for, for one picture."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # the next level lays numbers out for the processor of this machine
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_free_dimension_override_by_name("b", 1)
    options.log_severity_level = 3
    with replacing(graph) as part:
        options.optimized_model_filepath = str(part)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def pack_model(script: Path, model: hsem.HSpaceUNet) -> dict[str, float]:
    """Export and pack a model with its named directions, and the judge that did not choose them."""
    stored = hsem.results.load("named", model)  # refuses those of other weights
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        differences = hsem.export_onnx(
            model,
            folder,
            directions=stored.directions,
            scorer=hsem.classifier.load(hsem.classifier.SECOND),
            half=False,
        )
        for graph in folder.glob("*.onnx"):
            optimize(graph)
        pack(script, {path.name: path for path in sorted(folder.iterdir())})
    return differences


def main() -> int:
    """Pack everything; the model last, because its file says that the set is complete."""
    missing = [
        f for files in RUNTIMES.values() for f in files.values() if not (VENDOR / f).exists()
    ]
    if missing:
        print(
            f"The playground is left out: {', '.join(missing)} of onnxruntime-web is not in "
            f"{VENDOR}. With npm on the machine, `make setup` fetches it."
        )
        return 1
    for script, files in RUNTIMES.items():
        pack(LIVE / script, {name: VENDOR / file for name, file in files.items()})
    differences = pack_model(LIVE / "model.js", hsem.load(device="cpu"))
    said = ", ".join(f"{name} {value:.0e}" for name, value in differences.items())
    print(f"The playground's model is packed; largest differences to torch: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
