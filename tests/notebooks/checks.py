"""What every stored chapter must fulfil, so that GitHub, Colab, the book and git can bear it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import nbformat
from execute import STATE, VIEW, normalise, read
from nbformat import NotebookNode

MAX_BYTES = 3_000_000
# folders that exist on one machine only
PLACES = ["/home", "/Users", str(Path.home()), gettempdir(), str(Path(__file__).parents[2])]
PATHS = re.compile("|".join(rf"{re.escape(place)}/[\w.-]+" for place in PLACES))


def faults(path: Path, url: str) -> list[str]:
    """Everything that is wrong with the notebook; an empty list if nothing is."""
    if path.stat().st_size > MAX_BYTES:
        return [f"{path.stat().st_size / 1e6:.1f} MB, more than 3 MB"]
    nb = read(path)
    try:
        nbformat.validate(copy.deepcopy(nb))
    except nbformat.ValidationError as error:
        return [f"no valid notebook: {error.message}"]
    code = [c for c in nb.cells if c.cell_type == "code" and c.source.strip()]
    return [
        *_frame(nb, path.name, url),
        *_ids(nb),
        *_outputs(code),
        *_widgets(nb, code),
        *_texts(nb, code),
        *_normal(nb, path.stem),
    ]


def _frame(nb: NotebookNode, name: str, url: str) -> Iterator[str]:
    """The first two cells serve Colab; the book does not show them."""
    if len(nb.cells) < 3:
        yield "fewer than three cells"
        return
    badge, setup = nb.cells[:2]
    colab = url.replace("https://", "https://colab.research.google.com/").replace(
        ".com/github.com", ".com/github"
    )
    if badge.cell_type != "markdown" or f"({colab}/blob/main/book/{name})" not in badge.source:
        yield f"the first cell must be a Colab badge that leads to {colab}/blob/main/book/{name}"
    if "![Open in Colab]" not in badge.source:
        yield "the badge needs the alternative text 'Open in Colab'"
    guard = re.search(r'if "google\.colab" in sys\.modules:\n +%pip install (.*)', setup.source)
    if setup.cell_type != "code" or guard is None:
        yield 'the second cell must hold: if "google.colab" in sys.modules: %pip install ...'
    elif f"git+{url}" not in guard[1] or "--no-deps" not in guard[1]:
        yield f"the second cell must install with --no-deps from git+{url}"
    for which, cell in (("first", badge), ("second", setup)):
        if "remove-cell" not in cell.metadata.get("tags", []):
            yield f"the {which} cell needs the tag remove-cell"
    if not nb.cells[2].source.startswith("# "):
        yield "the third cell must begin with the chapter's title"


def _ids(nb: NotebookNode) -> Iterator[str]:
    ids = [cell.get("id", "") for cell in nb.cells]
    for name in {i for i in ids if ids.count(i) > 1}:
        yield f"cell id {name!r} occurs {ids.count(name)} times"
    for name in ids:
        if not name or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name):
            yield f"cell id {name!r} is random; give the cell a name that stays"


def _outputs(code: list[NotebookNode]) -> Iterator[str]:
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"cells must have been run once each, in order; counts are {counts}"
    if not any(cell.outputs for cell in code):
        yield "no outputs are stored"
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.id}: stored an error, {output.ename}: {output.evalue}"
            found = PATHS.search(json.dumps({k: v for k, v in output.items() if k != "data"}))
            found = found or PATHS.search(str(output.get("data", {}).get("text/plain", "")))
            if found:
                yield f"cell {cell.id}: the output names a folder of one machine, {found[0]}"


def _widgets(nb: NotebookNode, code: list[NotebookNode]) -> Iterator[str]:
    state = nb.metadata.get("widgets", {}).get(STATE, {}).get("state")
    if "widgets" in nb.metadata and state is None:
        yield "metadata.widgets holds no state (saved from Colab?); GitHub refuses such a notebook"
    state = state or {}
    for cell in code:
        for output in cell.outputs:
            view = output.get("data", {}).get(VIEW)
            if view and view["model_id"] not in state:
                yield f"cell {cell.id}: a widget is shown whose state is not stored"
    missing = set(re.findall(r"IPY_MODEL_([0-9a-f]+)", json.dumps(state))) - set(state)
    if missing:
        yield f"{len(missing)} widgets are referred to, but not stored"


def _texts(nb: NotebookNode, code: list[NotebookNode]) -> Iterator[str]:
    """Every picture has an alternative text."""
    for cell in code:
        for output in cell.outputs:
            data = output.get("data", {})
            image = any(kind.startswith("image/") for kind in data)
            if image and VIEW not in data and "<img" not in data.get("text/html", ""):
                yield f"cell {cell.id}: a bare image; show it with hsem.viz.figure(..., alt=...)"
            for alt in _alts(data.get("text/html", "")):
                if not alt.strip():
                    yield f"cell {cell.id}: an image without alternative text"
    for cell in nb.cells:
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(", cell.source):
            yield f"cell {cell.id}: an image without alternative text"


def _alts(text: str) -> list[str]:
    tags = re.findall(r"<img\b[^>]*>", text)
    return [m[1] if (m := re.search(r'\balt="([^"]*)"', tag)) else "" for tag in tags]


def _normal(nb: NotebookNode, name: str) -> Iterator[str]:
    again = copy.deepcopy(nb)
    normalise(again, name)
    if again != nb:
        yield "not as `make notebooks` stores it; run it for this chapter"
