"""The address of the repository: `_config.yml` holds it, everything else follows.

python book/_tools/address.py                                    # say what it is
python book/_tools/address.py https://github.com/OWNER/NAME      # move everything there
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def address(root: Path = ROOT) -> str:
    """The address in `_config.yml`, as https://github.com/OWNER/NAME."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(
        r"^repository:\n(?:[ #].*\n)*?  url: (https://github\.com/[\w.-]+/[\w.-]+)$", config, re.M
    )
    if found is None:
        raise ValueError("_config.yml must hold repository: url: https://github.com/OWNER/NAME")
    return found[1]


def forms(url: str) -> list[str]:
    """What stands in files: OWNER/NAME after github.com/ or github/, and the page's address."""
    owner, name = url.removeprefix("https://github.com/").split("/")
    return [f"github.com/{owner}/{name}", f"/github/{owner}/{name}/", f"{owner}.github.io/{name}"]


def main() -> int:
    """Print the address, or replace it in every tracked text file."""
    old = address()
    if len(sys.argv) < 2:
        print(old)
        return 0
    new = sys.argv[1].rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", new):
        print(f"expected https://github.com/OWNER/NAME, got {new}", file=sys.stderr)
        return 2
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        moved = text
        for before, after in zip(forms(old), forms(new), strict=True):
            moved = moved.replace(before, after)
        if moved != text:
            path.write_text(moved, encoding="utf-8")
            print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
