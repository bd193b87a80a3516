"""Run notebooks and store their outputs, so that running them again changes only what changed.

What differs from run to run without meaning is made equal: widgets are renumbered in the order
in which the page shows them, widgets that no output shows (and progress bars) are dropped,
execution times, library versions and memory addresses are removed, cell ids are kept. Warnings
printed to stderr are not stored: they hold paths of the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from fill import Fill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
MAX_BYTES = 3_000_000


class Client(NotebookClient):
    """A notebook client that shows which cell it is at."""

    bar: tqdm

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> Any:
        result = await super().async_execute_cell(cell, *args, **kwargs)
        self.bar.update(cell.cell_type == "code")
        return result


def read(path: Path) -> NotebookNode:
    """The notebook as it is; `nbformat.read` would give cells with equal ids random ones."""
    nb = nbformat.v4.reads_json(path.read_text(encoding="utf-8"))
    if nb.nbformat != 4:
        raise ValueError(f"{path} is a notebook of format {nb.nbformat}; save it as format 4")
    return nb


def execute(nb: NotebookNode, folder: Path, name: str, timeout: int | None) -> None:
    """Run all cells in a fresh kernel, with `folder` as the working directory."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nb.metadata.pop("widgets", None)
    client = Client(
        nb,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=True,
        extra_arguments=["--log-level=40"],  # no word about the unencrypted loopback connection
        resources={"metadata": {"path": str(folder)}},
    )
    total = sum(cell.cell_type == "code" for cell in nb.cells)
    with tqdm(total=total, desc=name, unit="cell") as client.bar:
        client.execute()


def normalise(nb: NotebookNode, name: str) -> None:
    """Remove from an executed notebook what would differ if it were executed again."""
    nb.metadata = NotebookNode(
        kernelspec={
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        language_info={"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        **{k: v for k, v in nb.metadata.items() if k not in ("kernelspec", "language_info")},
    )
    taken: set[str] = set()
    for number, cell in enumerate(nb.cells):
        if not cell.get("id") or cell.id in taken:
            cell.id = f"{name}-{number:02d}"
        taken.add(cell.id)
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [
                o for o in cell.outputs if o.get("name") != "stderr" and not is_progress_bar(o)
            ]
            cell.outputs = merged(cell.outputs)
            for output in cell.outputs:
                _scrub(output)
    _renumber_widgets(nb, name)


def merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of printed text as one: how it is cut depends on the moment."""
    whole: list[NotebookNode] = []
    for output in outputs:
        if whole and _printed_to(output) and _printed_to(output) == _printed_to(whole[-1]):
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def _printed_to(output: NotebookNode) -> str | None:
    return str(output.name) if output.output_type == "stream" else None


def is_progress_bar(output: NotebookNode) -> bool:
    """Whether this is a bar of tqdm: on a page it would stand still for ever."""
    plain = output.get("data", {}).get("text/plain", "")
    return VIEW in output.get("data", {}) and re.search(r"\[\d\d:\d\d[<,]", plain) is not None


def _scrub(output: NotebookNode) -> None:
    if "text" in output:
        output.text = _without_addresses(output.text)
    plain = output.get("data", {}).get("text/plain")
    if plain:
        output.data["text/plain"] = _without_addresses(plain)


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _renumber_widgets(nb: NotebookNode, name: str) -> None:
    state = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                o for o in cell.outputs if VIEW not in o.get("data", {}) or _model(o) in state
            ]
    shown = [
        _model(o)
        for cell in nb.cells
        if cell.cell_type == "code"
        for o in cell.outputs
        if VIEW in o.get("data", {})
    ]
    order = reachable(state, shown)
    if not order:
        nb.metadata.pop("widgets", None)
        return
    # The id is made of the notebook's name and the position: two notebooks on one page of a
    # search, or one notebook twice, do not mix.
    new = {
        old: hashlib.sha256(f"{name}/{position}".encode()).hexdigest()[:32]
        for position, old in enumerate(order)
    }
    pattern = re.compile("|".join(map(re.escape, order)))

    def renamed(thing: Any) -> Any:
        return json.loads(pattern.sub(lambda match: new[match[0]], json.dumps(thing)))

    for cell in nb.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if VIEW in output.get("data", {}):
                    output.data[VIEW] = renamed(output.data[VIEW])
    widgets = nb.metadata.widgets[STATE]
    widgets["state"] = {new[old]: renamed(state[old]) for old in order}


def _model(output: NotebookNode) -> str:
    return str(output.data[VIEW]["model_id"])


def reachable(state: dict[str, Any], shown: list[str]) -> list[str]:
    """Ids of the widgets that the shown ones need, in the order in which they are met.

    A link between two widgets is named by neither of them, so links are added afterwards.
    """
    order: dict[str, None] = {}

    def visit(model: str) -> None:
        if model in order or model not in state:
            return
        order[model] = None
        for other in re.findall(r"IPY_MODEL_([0-9a-f]+)", json.dumps(state[model])):
            visit(other)

    for model in shown:
        visit(model)
    links = []
    for model, entry in state.items():
        if "Link" in entry["model_name"]:
            ends = re.findall(r"IPY_MODEL_([0-9a-f]+)", json.dumps(entry["state"]))
            if ends and all(end in order for end in ends):
                links.append(([list(order).index(end) for end in ends], model))
    # By what they link: the order in the file follows from ids, which are about to change.
    for _, model in sorted(links):
        visit(model)
    return list(order)


def run(source: Path, target: Path, timeout: int | None) -> str | None:
    """Execute one notebook and write it; returns what went wrong, or None."""
    nb = read(source)
    started = time.perf_counter()
    try:
        execute(nb, source.parent, source.stem, timeout)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return f"{source}: {error}"
    normalise(nb, source.stem)
    fill = Fill(source.parent)
    fill.notebook(nb)
    if fill.missing:
        return f"{source}: the text names {fill.missing}, which no cell publishes; nothing stored"
    nbformat.validate(nb)
    text = nbformat.writes(nb) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    megabytes = len(text.encode()) / 1e6
    tqdm.write(f"{source}: {time.perf_counter() - started:.1f} s, {megabytes:.2f} MB")
    return f"{source}: stored notebook exceeds 3 MB" if len(text) > MAX_BYTES else None


def main() -> int:
    """Command line: notebooks in place, or one notebook to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, help="write here instead of in place")
    parser.add_argument("--timeout", type=int, help="seconds per cell; without it, no limit")
    args = parser.parse_args()
    if args.output and len(args.notebooks) != 1:
        parser.error("--output takes exactly one notebook")
    failures = [run(path, args.output or path, args.timeout) for path in args.notebooks]
    for failure in filter(None, failures):
        print(failure, file=sys.stderr)
    return any(failures)


if __name__ == "__main__":
    sys.exit(main())
