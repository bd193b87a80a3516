"""Running a notebook again must change only what changed."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import pytest
from execute import STATE, VIEW, normalise, reachable, run
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output


def executed(ids: str, bar: str = "d") -> NotebookNode:
    """A notebook with a linked pair of widgets under the given ids, and what should vanish."""
    slider, stack, link, lost = (letter * 32 for letter in ids)
    view = {VIEW: {"model_id": slider, "version_major": 2, "version_minor": 0}, "text/plain": "S"}
    cell = new_code_cell("slider", id="slider", metadata={"execution": {"when": ids}})
    cell.outputs = [
        new_output("stream", name="stderr", text=f"warning {ids}"),
        new_output("stream", name="stdout", text=f"<object at 0x7f{ids}0>"),
        new_output("display_data", data=view),
        new_output(
            "display_data",
            data={VIEW: {"model_id": lost}, "text/plain": "100%|###| 3/3 [00:00<00:00, 9it/s]"},
        ),
    ]
    nb = new_notebook(cells=[cell])
    nb.cells.append(copy.deepcopy(cell))  # with the same id, as copying in an editor does
    nb.metadata.language_info = {"name": "python", "version": f"3.{ord(ids[0])}"}
    nb.metadata.widgets = {
        STATE: {
            "state": {
                lost: {"model_name": "HBoxModel", "state": {}},
                link: {
                    "model_name": "LinkModel",
                    "state": {"source": [f"IPY_MODEL_{slider}"], "target": [f"IPY_MODEL_{stack}"]},
                },
                stack: {"model_name": "StackModel", "state": {"children": []}},
                slider: {"model_name": "VBoxModel", "state": {"children": [f"IPY_MODEL_{stack}"]}},
            },
        }
    }
    return nb


def test_two_runs_become_equal() -> None:
    first, second = executed("abef"), executed("0123")
    assert first != second
    normalise(first, "chapter")
    normalise(second, "chapter")
    assert first == second


def test_what_is_kept_and_what_is_dropped() -> None:
    nb = executed("abef")
    normalise(nb, "chapter")
    state = nb.metadata.widgets[STATE]["state"]
    assert [m["model_name"] for m in state.values()] == ["VBoxModel", "StackModel", "LinkModel"]
    kept = [o.get("name") or o.data["text/plain"] for o in nb.cells[0].outputs]
    assert kept == ["stdout", "S"]
    assert nb.cells[0].outputs[0].text == "<object>"
    assert nb.cells[0].outputs[1].data[VIEW]["model_id"] == next(iter(state))
    assert [cell.id for cell in nb.cells] == ["slider", "chapter-01"]  # the second was no name
    again = copy.deepcopy(nb)
    normalise(again, "chapter")
    assert again == nb


def test_another_chapter_gets_other_ids() -> None:
    one, other = executed("abef"), executed("abef")
    normalise(one, "one")
    normalise(other, "other")
    assert not set(one.metadata.widgets[STATE]["state"]) & set(
        other.metadata.widgets[STATE]["state"]
    )


def test_a_link_to_something_not_shown_is_not_kept() -> None:
    state = executed("abef").metadata.widgets[STATE]["state"]
    state["b" * 32]["state"]["source"] = ["IPY_MODEL_" + "9" * 32]
    state["e" * 32]["state"]["source"] = ["IPY_MODEL_" + "f" * 32]  # the unseen progress bar
    assert reachable(state, ["a" * 32]) == ["a" * 32, "b" * 32]


def test_a_failing_cell_leaves_the_stored_notebook_alone(tmp_path: Path) -> None:
    path = tmp_path / "fails.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0", id="divide")]), path)
    before = path.read_bytes()
    said = run(path, path, timeout=60)
    assert said is not None and "ZeroDivisionError" in said
    assert path.read_bytes() == before


def test_outputs_are_stored_and_the_folder_is_the_notebooks(tmp_path: Path) -> None:
    path, target = tmp_path / "good.ipynb", tmp_path / "out" / "good.ipynb"
    source = "from pathlib import Path\nprint(Path('good.ipynb').exists())"
    nbformat.write(new_notebook(cells=[new_code_cell(source, id="here")]), path)
    assert run(path, target, timeout=60) is None
    nb = nbformat.read(target, as_version=4)
    assert nb.cells[0].outputs[0].text == "True\n"
    assert nb.cells[0].execution_count == 1


@pytest.mark.parametrize("missing", [True, False])
def test_one_chapter_without_widgets_stores_no_widget_state(missing: bool) -> None:
    nb = executed("abef")
    nb.cells[0].outputs = nb.cells[1].outputs = []
    if missing:
        del nb.metadata["widgets"]
    normalise(nb, "chapter")
    assert "widgets" not in nb.metadata


def test_printed_text_is_one_piece_however_it_came() -> None:
    def printed(*pieces: str) -> NotebookNode:
        cell = new_code_cell("print", id="print")
        cell.outputs = [new_output("stream", name="stdout", text=piece) for piece in pieces]
        nb = new_notebook(cells=[cell])
        normalise(nb, "chapter")
        return nb

    assert printed("a\n", "b\n", "c\n") == printed("a\nb\n", "c\n")
    assert printed("a\n", "b\n") != printed("b\n", "a\n")
    assert [o.text for o in printed("a\n", "b\n").cells[0].outputs] == ["a\nb\n"]
