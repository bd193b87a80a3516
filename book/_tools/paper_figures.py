"""Run the chapter on the paper's own model, and keep its pictures and results with their origin."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from execute import run

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "book" / "celeba.ipynb"


def folder_of(model: str, root: Path) -> Path:
    """Where the figures of a model belong: its last two names, without signs that files dislike."""
    name = "-".join(Path(model).parts[-2:])
    return root / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model")


def render(model: str, root: Path, chapter: Path = CHAPTER) -> Path:
    """Execute the chapter with `model`; pictures, results and notebook go to one folder.

    Raises
    ------
    RuntimeError
        If a cell failed.
    """
    out = folder_of(model, root).resolve()
    out.mkdir(parents=True, exist_ok=True)
    # the notebook runs in the folder of the book: a path from here must still lead there
    source = str(Path(model).resolve()) if Path(model).is_dir() else model
    os.environ |= {"HSEM_MODEL": source, "HSEM_OUT": str(out)}
    error = run(chapter, out / chapter.name, None)
    if error:
        raise RuntimeError(error)
    origin = {"model": model, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    stored = out / "results.safetensors"
    if stored.is_file():
        from hsem import results

        origin |= dict(results.load(stored).provenance)
    pictures = sorted(path.name for path in out.glob("*.png"))
    about = {"asked for": model, **origin, "pictures": pictures}
    (out / "provenance.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return out


def main() -> int:
    """Command line: the model, and optionally where to put the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help='a folder, a name on the hub, or "random"')
    parser.add_argument("--output", type=Path, default=ROOT / "_build" / "figures")
    arguments = parser.parse_args()
    try:
        print(render(arguments.model, arguments.output))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
