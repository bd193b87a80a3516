"""Imports point downward, as ARCHITECTURE.md draws them."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hsem

SOURCES = {p.stem: p.read_text() for p in Path(hsem.__file__).parent.glob("*.py")}
SOURCES.pop("__init__")
LAYERS = [
    {"schedule", "_version"},
    {"unet", "models"},
    {"directions", "edits", "sampling", "inversion", "hooks"},
    {"pca", "supervised", "evaluation", "harvest", "annotation", "examples"},
    {"viz"},
]
DRAWING = {"viz", "_film", "_picture", "_anatomy"}


def imports(source: str) -> tuple[set[str], set[str]]:
    """Modules of ours, and top-level packages of others, that a source imports anywhere."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            ours |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


GRAPH = {name: imports(source) for name, source in SOURCES.items()}


def test_there_is_no_circle() -> None:
    list(TopologicalSorter({name: ours for name, (ours, _) in GRAPH.items()}).static_order())
    with pytest.raises(CycleError):  # control: one arrow upward would be noticed
        upward = {name: set(ours) for name, (ours, _) in GRAPH.items()}
        upward["schedule"].add("sampling")
        list(TopologicalSorter(upward).static_order())


@pytest.mark.parametrize("height", range(len(LAYERS)))
def test_a_layer_imports_from_itself_or_below(height: int) -> None:
    above = set().union(*LAYERS[height + 1 :])
    for name in LAYERS[height] & set(GRAPH):
        assert not GRAPH[name][0] & above, name


def test_the_mathematics_knows_torch_only() -> None:
    allowed = {"jacobian", "products", "_search"}
    for name in allowed:
        ours, others = GRAPH[name]
        assert ours <= allowed
        assert not others & {"diffusers", "numpy", "matplotlib", "tqdm", "sklearn"}


def test_who_may_know_whom() -> None:
    for name, (ours, others) in GRAPH.items():
        if name not in DRAWING:
            assert not others & {"matplotlib", "PIL", "ipywidgets", "IPython"}, name
            assert not ours & DRAWING, name
        if name not in {"unet", "models"}:
            assert "diffusers" not in others, name
        assert "portraits" not in others, name
