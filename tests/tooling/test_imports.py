"""Imports point downward, and what belongs in one place is imported in one place."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HSEM = Path(__file__).resolve().parents[2] / "hsem"

ABOUT = (HSEM.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMES = 47  # columns of the picture, before what it says of them


def layers(about: str) -> tuple[set[str], ...]:
    """The layers of the picture in ARCHITECTURE.md, from the bottom up.

    A room may import from itself and from those before it. A module that is named before its room
    stands lower than the rest of it: equations and arithmetic know nothing.
    """
    picture = about.split("```text\n viz,")[1].split("```")[0]
    rows = [line[:NAMES].strip() for line in f" viz,{picture}".splitlines()]
    text = "\n".join(row for row in rows if row.strip("─"))
    found = []
    for layer in re.split(r"(?<!,)\n", text):
        names = set()
        for name, inside in re.findall(r"([\w.]+)(?:\{([^}]*)\})?", re.sub(r"\s", "", layer)):
            names |= {name + each for each in inside.split(",")} if inside else {name}
        found.append(names)
    return tuple(reversed(found))


LAYERS = layers(ABOUT)
ROOMS = sorted(p.parent.name for p in HSEM.glob("*/__init__.py"))
MODULES = sorted(
    ".".join(p.relative_to(HSEM).with_suffix("").parts)
    for p in HSEM.rglob("*.py")
    if p.name != "__init__.py"
)
ONLY = {  # who alone may import these: rooms or modules
    "matplotlib": {"viz"},
    "ipywidgets": {"viz"},
    "PIL": {"viz", "photos", "reading", "recipes.sheets"},
    "diffusers": {"network.unet", "network.weights", "network.models", "network.layouts"},
    "transformers": {"judges.hub_scorers"},
    "portraits": set(),
}


def height(module: str) -> int:
    """The layer of a module, or of its room if it is not named itself."""
    for name in (module, module.split(".")[0]):
        for level, layer in enumerate(LAYERS):
            if name in layer:
                return level
    raise AssertionError(f"give {module} a layer in the picture of ARCHITECTURE.md")


def imported(source: str, module: str) -> tuple[set[str], set[str]]:
    """Names of our modules, and of others' packages, that the source of `module` imports."""
    here = ["hsem", *module.split(".")[:-1]]
    ours, others = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            path = HSEM.joinpath(*base[1:])
            inside = base[:1] == ["hsem"] and path.is_dir()  # `from . import a, b`
            found = [".".join([*base, *([a.name] if inside else [])]) for a in node.names]
        else:
            continue
        ours |= {name.removeprefix("hsem.") for name in found if name.startswith("hsem.")}
        others |= {name.split(".")[0] for name in found if not name.startswith("hsem")}
    return ours, others


def read(module: str) -> tuple[set[str], set[str]]:
    return imported(HSEM.joinpath(*module.split(".")).with_suffix(".py").read_text(), module)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    ours, others = read(module)
    assert ours <= {*MODULES, *ROOMS}, f"{module} imports {ours}, which is not all ours"
    upward = {name for name in ours if height(name) > height(module)}
    assert not upward, f"{module} imports {upward} from a higher layer"
    at_home = {module, module.split(".")[0]}
    misplaced = {name for name in others if not at_home & ONLY.get(name, at_home)}
    assert not misplaced, f"{module} imports {misplaced}, which belongs elsewhere"


def test_the_picture_is_read_as_it_is_meant() -> None:
    """All modules have a layer, and nothing has one that is not there."""
    named = [name for layer in LAYERS for name in layer]
    assert len(named) == len(set(named)) and set(named) <= {*MODULES, *ROOMS}
    assert len(LAYERS) == 10 and LAYERS[-1] == {"viz", "recipes"} and "counts" in LAYERS[0]
    for module in MODULES:
        height(module)
    with pytest.raises(AssertionError, match="picture"):  # control
        height("stranger")
    assert "network.cost" in LAYERS[2] and "evaluation.stability" in LAYERS[1]


INSTALLED_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "huggingface_hub": "huggingface-hub"}


def test_what_the_package_may_import_is_said() -> None:
    row = next(line for line in ABOUT.splitlines() if line.startswith("| `hsem/`"))
    said = {name.strip() for name in re.split(r"[,;:]", row.split("|")[3])}
    standard = {*sys.stdlib_module_names, "hsem"}
    used = {name for module in MODULES for name in read(module)[1]} - standard
    used = {INSTALLED_AS.get(name, name) for name in used}
    assert used <= said, f"ARCHITECTURE.md does not say that hsem imports {used - said}"
    with (HSEM.parent / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["project"]["dependencies"]
    assert {re.split(r"[<>=]", name)[0] for name in needed} <= said & used  # and all are used


def test_which_rooms_chapters_import_from_is_said() -> None:
    said = ABOUT.split("Chapters import the rest from its room")[1].split("\n\n")[0]
    used = set()
    for path in (HSEM.parent / "book").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                used |= set(re.findall(r"from hsem\.(\w+)[\w.]* import", "".join(cell["source"])))
    assert used == set(re.findall(r"`(\w+)`", said))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    """Rooms hold a sentence; names are reached through `hsem`, so that importing has no order."""
    tree = ast.parse((HSEM / room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert f"{room}/" in ABOUT
    if room != "viz":
        assert len(tree.body) == 1


def test_the_subspace_iteration_knows_torch_only() -> None:
    """Algorithms 1 and 2 take any function; they must not know what a diffusion model is."""
    own = {f"unsupervised.{name}" for name in ("jacobian", "products", "search")}
    for module in {*own, "network.memory"}:
        ours, others = read(module)
        assert ours <= {*own, "network.memory", "callers", "counts", "blocks"}
        assert not others & {"numpy", "diffusers", "sklearn", "tqdm"}


WRITES = re.compile(r"save_file|np\.save|write_(text|bytes)|open\(\"[wax]")
READS = re.compile(r"safe_open\(|load_file\(|torch\.load\(")


def test_one_module_writes() -> None:
    """Whole or not at all: what opens a file for writing does so under a name of `files`."""
    for module in MODULES:
        lines = HSEM.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        found = [line for line in lines.splitlines() if WRITES.search(line)]
        if module == "files":
            assert found  # control: the pattern sees what it should
        else:
            assert all("part" in line or "np.savez(" in line for line in found), (module, found)


def test_few_modules_open_files_of_strangers() -> None:
    """Tensors are opened where damaged and hostile files are told apart."""
    readers = {
        module
        for module in MODULES
        if READS.search(HSEM.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))
    }
    assert readers <= {"files", "reading", "network.weights"}
    assert readers  # control: the pattern sees what it should


def test_there_is_no_circle() -> None:
    graph = {m: read(m)[0] & set(MODULES) for m in MODULES}
    TopologicalSorter(graph).prepare()
    graph["diffusion.schedule"] = {"diffusion.sampling"}
    with pytest.raises(CycleError):  # negative control
        TopologicalSorter(graph).prepare()


def test_every_form_of_import_is_seen() -> None:
    source = (
        "import hsem.viz.show\nfrom . import a\nfrom .b import c\nfrom ..viz.film import e\n"
        "def late():\n    import PIL.Image\n    from matplotlib import pyplot\n"
        "    from hsem import f\n    from .. import results"
    )
    assert imported(source, "viz.x") == (
        {"viz.show", "viz.a", "viz.b", "viz.film", "f", "results"},
        {"PIL", "matplotlib"},
    )
