"""Nothing depends on torch's global defaults: what makes a tensor names its dtype and device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HSEM = Path(__file__).resolve().parents[2] / "hsem"
MAKERS = {
    "arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "normal", "ones", "rand",
    "randint", "randn", "randperm", "tensor", "zeros",
}  # fmt: skip
ALLOWED = {  # where, and why
    ("unet.py", "as_tensor"): "a timestep, whole or traced for an export, keeps its dtype",
    ("classifier.py", "tensor"): "part of a network, beside weights on the default device",
    ("geometry.py", "tensor"): "part of a network, beside weights on the default device",
    ("checkpoint.py", "as_tensor"): "what an optimiser keeps, tensors and numbers, as it keeps it",
}
CODE = sorted(p for place in ("hsem", "portraits") for p in (HSEM.parent / place).rglob("*.py"))


def unnamed(source: str) -> list[tuple[int, str]]:
    """Lines of calls such as torch.zeros(3) that leave dtype or device to the global default."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if not (isinstance(owner, ast.Name) and owner.id == "torch" and node.func.attr in MAKERS):
            continue
        names = {keyword.arg for keyword in node.keywords}
        if None not in names and not {"dtype", "device"} <= names:  # None stands for **where
            found.append((node.lineno, node.func.attr))
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(HSEM.parent)))
def test_every_tensor_is_made_with_a_dtype_and_a_device(path: Path) -> None:
    found = unnamed(path.read_text(encoding="utf-8"))
    assert not [f for f in found if (path.name, f[1]) not in ALLOWED], path


def test_the_search_finds_what_it_should() -> None:
    assert unnamed("torch.randn(3, generator=g)") == [(1, "randn")]
    assert unnamed("x = 1\ntorch.zeros(3, dtype=torch.long)") == [(2, "zeros")]
    assert not unnamed("torch.zeros(3, dtype=torch.long, device='cpu'); torch.ones(2, **where)")


# ------------------------------------------------------------------------- the machine's code page


def in_the_code_page(source: str) -> list[int]:
    """Lines that read or write text in an encoding that differs from machine to machine."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        given = {k.arg for k in node.keywords} & {"encoding", None}
        texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
        texts += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
        if name in ("read_text", "write_text"):
            bad = not given and not {"utf-8", "utf8"} & {t for t in texts if isinstance(t, str)}
        elif name == "open" and owner not in ("Image", "os", "tarfile", "webbrowser"):
            binary = any(isinstance(t, str) and set(t) <= set("rwaxb+") and "b" in t for t in texts)
            bad = not given and not binary
        else:
            continue
        if bad:
            found.append(node.lineno)
    return found


ROOT = HSEM.parent
SOURCES = sorted(
    p
    for place in ("hsem", "portraits", "book/_tools", "benchmarks")
    for p in (ROOT / place).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_texts_are_utf_8(path: Path) -> None:
    assert not in_the_code_page(path.read_text(encoding="utf-8"))


def test_the_search_for_code_pages_finds_what_it_should() -> None:
    assert in_the_code_page("p.read_text()\np.open('w')\nopen(p, 'a')\np.write_text(x)") == [
        1,
        2,
        3,
        4,
    ]
    assert not in_the_code_page("p.read_text('utf-8'); p.open('rb'); open(p, encoding='ascii')")
