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
    ("hooks.py", "tensor"): "only a number is looked at, of whatever dtype",
    ("classifier.py", "tensor"): "part of a network, beside weights on the default device",
}


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


@pytest.mark.parametrize("path", sorted(HSEM.rglob("*.py")), ids=lambda p: p.name)
def test_every_tensor_is_made_with_a_dtype_and_a_device(path: Path) -> None:
    found = unnamed(path.read_text(encoding="utf-8"))
    assert not [f for f in found if (path.name, f[1]) not in ALLOWED], path


def test_the_search_finds_what_it_should() -> None:
    assert unnamed("torch.randn(3, generator=g)") == [(1, "randn")]
    assert unnamed("x = 1\ntorch.zeros(3, dtype=torch.long)") == [(2, "zeros")]
    assert not unnamed("torch.zeros(3, dtype=torch.long, device='cpu'); torch.ones(2, **where)")
