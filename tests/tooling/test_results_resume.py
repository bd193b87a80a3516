"""`make results` goes on where it was killed, and ends as if it had not been."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hsem import results

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "named": "--n 24 --count 4 --people 2",
    "principal": "--n 24 --m 2 --steps 3 --batch-size 4",
    "factors": "--n 40 --m 2 --k 2 --people 2 --draws 2",
    "arithmetic": "--people 2 --pairs 2",
    "regions": "--m 3 --rank 4",
    "transfer": "--owners 2 --people 2 --rank 4",
    "moments": "--m 2",
    "swap": "--n 2",
    "ages": "--n 16 --count 3 --people 2",
    "learning": "--n 16 --pairs 8 --draws 2 --people 2 --steps 3",
    "pairs": "--pairs 4 --people 2 --steps 4 --draws 2",
    "real_faces": "--faces 2 --people 2 --rounds 1 --steps 4",
    "given": "--faces 2",
    "sequence": "--people 2",
    "table_one": "--n 2 --repeats 3",
    "controls": "--n 2 --repeats 1",
    "untangling": "--people 2",
    "detector": "--n 8",
    "geometry": "--people 2 --draws 1",
    "expressions": "--people 2",
    "asyrp": "--people 2 --images 2 --rank 2",
    "steps": "--people 2 --images 2",
}
# A recipe with the small network of the tests; it dies by SIGKILL as it writes file number `last`.
RUNNER = """
import importlib, os, signal, sys
root, last, name, *words = sys.argv[1:]
sys.path[:0] = [root]
import hsem
from hsem.recipes import parts
from tests.tooling.conftest import small
model = small()
hsem.load = lambda *args, **kwargs: model
count = 0
def counted(save):
    def write(*args, **kwargs):
        global count
        count += 1
        if count == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return save(*args, **kwargs)
    return write
parts.save_tensors = counted(parts.save_tensors)
parts.pieces.__kwdefaults__["size"] = 8  # so that a small crowd has several parts
hsem.results.save = counted(hsem.results.save)
recipe = importlib.import_module(f"hsem.recipes.{name}")
if name == "real_faces":
    recipe.SETTINGS = ((3, 0), (3, 2))
recipe.fill(recipe.parser().parse_args(words), model)
"""


def run(folder: Path, name: str, last: int, *more: str) -> int:
    words = [*SMALL[name].split(), "--output", str(folder / f"{name}.safetensors"), *more]
    command = [sys.executable, "-c", RUNNER, str(ROOT), str(last), name, *words]
    env = {"HSEM_CACHE": str(folder), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode


@pytest.fixture(scope="module")
def needed(tmp_path_factory) -> dict[str, list[str]]:
    """What the scripts take from each other."""
    folder = tmp_path_factory.mktemp("needed")
    names = ("named", "principal", "factors", "real_faces")
    for name in names:
        assert run(folder, name, 0) == 0
    named, principal, judged, given = (str(folder / f"{n}.safetensors") for n in names)
    found = {name: ["--principal", principal] for name in ("regions", "transfer", "moments")}
    found["regions"] += ["--directions", named]
    found["expressions"] = ["--directions", given]
    found["arithmetic"] = ["--directions", named, "--samples", judged]
    takers = (
        "table_one", "controls", "untangling", "sequence", "given", "detector", "geometry",
    )  # fmt: skip
    both = ["--directions", named, "--principal", principal]
    found |= {"asyrp": both, "steps": both}
    found |= {name: ["--directions", named] for name in takers}
    found["untangling"] += ["--mouths", named]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_killed_and_started_again(name: str, needed: dict, tmp_path: Path) -> None:
    more = needed.get(name, [])
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(whole, name, 0, *more) == 0
    assert not list((whole / "parts").glob("*"))  # cleared when the result is there
    for last in (2, 2):  # killed, and killed again later
        assert run(broken, name, last, *more) == -signal.SIGKILL
    assert list(broken.rglob("*.safetensors")) and not list(broken.rglob(".*"))  # nothing half
    assert run(broken, name, 0, *more) == 0
    one, two = (results.load(f / f"{name}.safetensors", check=False) for f in (whole, broken))
    assert one.tensors.keys() == two.tensors.keys()
    for key, value in one.tensors.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=0, equal_nan=True, msg=key)
    for key, direction in one.directions.items():
        torch.testing.assert_close(
            two.directions[key].delta_h, direction.delta_h, rtol=0, atol=0, msg=key
        )


def test_no_recipe_is_left_out() -> None:
    texts = (ROOT / "hsem" / "recipes").glob("*.py")
    assert SMALL.keys() == {p.stem for p in texts if "\ndef fill(" in p.read_text("utf-8")}


@pytest.mark.slow
def test_parts_of_other_settings_are_not_taken(tmp_path: Path) -> None:
    assert run(tmp_path, "learning", 3) == -signal.SIGKILL
    parts = set(tmp_path.rglob("parts/*/*"))
    assert run(tmp_path, "learning", 1, "--steps", "4") == -signal.SIGKILL  # nothing was found
    assert set(tmp_path.rglob("parts/*/*")) == parts
