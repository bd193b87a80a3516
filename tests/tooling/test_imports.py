"""Imports point downward, and what belongs in one place is imported in one place."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HSEM = Path(__file__).resolve().parents[2] / "hsem"

# From the bottom up; a module may import from its own layer and from those before it.
LAYERS = {
    "numbers": {"_version", "schedule", "prompts", "masks", "memory"},
    "mathematics": {"products", "_search", "jacobian", "incremental", "alignment", "manifold"},
    "models": {"unet", "models", "scorers", "hub_scorers", "classifier"},
    "using a model": {
        "directions", "edits", "sampling", "inversion", "hooks", "datasets", "results",
    },
    "finding directions": {
        "pca", "harvest", "stability", "local", "focus",
        "annotation", "examples", "supervised", "normals", "evaluation", "curves",
    },
    "pictures": {"_picture", "_film", "viz", "_anatomy", "photos"},
}  # fmt: skip
HEIGHT = {name: height for height, layer in enumerate(LAYERS.values()) for name in layer}
MODULES = sorted(p.stem for p in HSEM.glob("*.py") if p.stem != "__init__")
ONLY = {  # who alone may import these
    "matplotlib": LAYERS["pictures"],
    "ipywidgets": LAYERS["pictures"],
    "PIL": LAYERS["pictures"],
    "diffusers": {"unet", "models"},
    "transformers": {"hub_scorers"},
    "portraits": set(),
}


def imported(source: str) -> tuple[set[str], set[str]]:
    """Names of our modules, and of others' packages, that a source imports anywhere."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            ours |= {n.split(".")[1] for n in names if n.startswith("hsem.")}
            others |= {n.split(".")[0] for n in names}
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module == "hsem"):
            whole = node.module in (None, "hsem")  # from . import a, b
            ours |= {alias.name for alias in node.names} if whole else {node.module or ""}
        elif isinstance(node, ast.ImportFrom):
            (ours if node.module.startswith("hsem.") else others).add(
                node.module.removeprefix("hsem.").split(".")[0]
            )
    return ours, others - {"hsem"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    assert module in HEIGHT, f"give {module} a layer in {Path(__file__).name} and ARCHITECTURE.md"
    ours, others = imported((HSEM / f"{module}.py").read_text())
    upward = {name for name in ours if HEIGHT[name] > HEIGHT[module]}
    assert not upward, f"{module} imports {upward} from a higher layer"
    misplaced = {name for name in others if module not in ONLY.get(name, {module})}
    assert not misplaced, f"{module} imports {misplaced}, which belongs elsewhere"


def test_the_subspace_iteration_knows_torch_only() -> None:
    """Algorithms 1 and 2 take any function; they must not know what a diffusion model is."""
    own = {"jacobian", "products", "_search"}
    for module in own:
        ours, others = imported((HSEM / f"{module}.py").read_text())
        assert ours <= own
        assert not others & {"numpy", "diffusers", "sklearn", "tqdm"}


def test_there_is_no_circle() -> None:
    graph = {m: imported((HSEM / f"{m}.py").read_text())[0] for m in MODULES}
    TopologicalSorter(graph).prepare()
    graph["schedule"] = {"sampling"}
    with pytest.raises(CycleError):  # negative control
        TopologicalSorter(graph).prepare()


def test_every_form_of_import_is_seen() -> None:
    source = (
        "import hsem.viz\nfrom . import a\nfrom .b import c\nfrom hsem.d import e\n"
        "def late():\n    import PIL.Image\n    from matplotlib import pyplot\n"
        "    from hsem import f"
    )
    assert imported(source) == ({"viz", "a", "b", "d", "f"}, {"PIL", "matplotlib"})
