"""mypy says the same with and without the packages of the extras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# How moderngl 5.13 declares what takes backend="egl", and more names than it declares.
STUB = """
from typing import Any
def create_context(
    require: int | None = None, standalone: bool = False, share: bool = False,
    **settings: dict[str, Any],
) -> Any: ...
"""


@pytest.mark.slow
def test_the_renderer_with_moderngl_installed(tmp_path: Path) -> None:
    (tmp_path / "stubs" / "moderngl").mkdir(parents=True)
    (tmp_path / "stubs" / "moderngl" / "__init__.pyi").write_text(STUB)
    control = tmp_path / "control.py"
    control.write_text("import moderngl\nmoderngl.create_context(backend='egl')\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    command += ["portraits/renderer/gl.py", str(control)]
    path = {**os.environ, "MYPYPATH": str(tmp_path / "stubs")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=path)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    # the control is refused, and nothing else
    assert len(errors) == 1 and "control.py:2" in errors[0], done.stdout
    assert 'Argument "backend"' in errors[0]
