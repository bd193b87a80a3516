"""One address, one set of versions, and page assets that are what they claim to be."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import assets
import offline
import pytest
import yaml
from address import address, forms
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", CONSTRAINTS, re.M)
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


# -- the address ----------------------------------------------------------------------------


def strangers(text: str, url: str) -> list[str]:
    """Mentions of a repository called as ours, but elsewhere; and of ours under another form."""
    name = url.rsplit("/", 1)[1]
    found = re.findall(rf"(?:github\.com|/github)/[\w.-]+/{name}\b", text)
    found += re.findall(rf"[\w-]+\.github\.io/{name}\b", text)
    allowed = [form.rstrip("/") for form in forms(url)]
    return [f for f in found if f not in allowed]


def test_every_mention_of_the_repository_agrees_with_the_config() -> None:
    url = address()
    files = tracked("*.md", "*.toml", "*.yml", "*.cff", "*.ipynb", "*.yaml")
    assert files
    wrong = {str(p.relative_to(ROOT)): s for p in files if (s := strangers(p.read_text(), url))}
    assert wrong == {}
    assert url in (ROOT / "README.md").read_text()
    assert url in (ROOT / "CITATION.cff").read_text()


def test_a_stranger_is_noticed() -> None:
    url = "https://github.com/one/hsem"
    assert strangers("see https://github.com/one/hsem/issues", url) == []
    assert strangers("git+https://github.com/two/hsem", url) == ["github.com/two/hsem"]
    badge = "https://colab.research.google.com/github/two/hsem/blob/main/book/a.ipynb"
    assert strangers(badge, url) == ["/github/two/hsem"]


# -- versions -------------------------------------------------------------------------------


def requirements() -> list[Requirement]:
    """All of the package and its extras, which may name each other (hsem[onnx])."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    found = [Requirement(r) for r in [*project["dependencies"], *(r for e in extras for r in e)]]
    return [r for r in found if r.name != project["name"]]


def test_each_requirement_is_pinned_to_a_version_it_allows() -> None:
    for requirement in requirements():
        pin = PINS[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), f"{requirement} but {pin} in constraints.txt"


def test_requirements_are_lower_bounds() -> None:
    """Colab brings its own torch; a pin would replace it, or refuse to install."""
    for requirement in requirements():
        operators = {s.operator for s in requirement.specifier}
        allowed = {">=", "<"} if requirement.name == "jupyter-book" else {">="}
        assert operators == allowed, str(requirement)


def test_constraints_hold_exact_versions_and_no_addresses() -> None:
    for line in CONSTRAINTS.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_continuous_integration_files_can_be_read() -> None:
    for path in [*tracked(".github/workflows/*"), ROOT / "environment.yml", ROOT / "CITATION.cff"]:
        assert isinstance(yaml.safe_load(path.read_text()), dict), path


# -- page assets ----------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`npm pack` that packs a file of ours."""
    inside = tmp_path / "embed.js"
    inside.write_text("draw()")
    tarball = tmp_path / "made.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(inside, "package/dist/embed.js")
        archive.add(inside, "package/dist/embed.js.map")

    def run(command: list[str], cwd: str = ".", **_: object) -> None:
        Path(cwd, "made.tgz").write_bytes(tarball.read_bytes())

    monkeypatch.setattr(assets, "npm", lambda: ["npm"])
    monkeypatch.setattr(assets.subprocess, "run", run)
    return tarball


def test_assets_are_unpacked_when_the_hash_agrees(packed: Path, tmp_path: Path) -> None:
    sha = assets.hashlib.sha256(packed.read_bytes()).hexdigest()
    assets.fetch("made", sha, {"package/dist/embed.js": "."}, tmp_path / "vendor")
    assert [p.name for p in (tmp_path / "vendor").iterdir()] == ["embed.js"]


def test_another_hash_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 0000"):
        assets.fetch("made", "0000", {"package/dist/embed.js": "."}, tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_without_npm_the_reader_is_told_and_nothing_half_done_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_npm() -> list[str]:
        raise FileNotFoundError("npm")

    monkeypatch.setattr(assets, "npm", no_npm)
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    monkeypatch.setattr(assets.sys, "argv", ["assets.py"])
    (tmp_path / "vendor").mkdir()
    assert assets.main() == 1
    assert "public" in capsys.readouterr().out
    assert not (tmp_path / "vendor").exists()


@pytest.mark.parametrize("fetched", [True, False])
def test_the_book_falls_back_to_public_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: bool
) -> None:
    notice = tmp_path / "NOTICE.txt"
    if fetched:
        notice.touch()
    monkeypatch.setattr(offline, "NOTICE", notice)

    given = {"mathjax_path": "vendor/m.js", "nb_ipywidgets_js": {"vendor/embed.js": {}}}
    config = FakeConfig(given)
    config.values = {name: SimpleNamespace(default="public") for name in given}
    offline.fall_back(None, config)  # type: ignore[arg-type]
    assert config == (given if fetched else dict.fromkeys(given, "public"))


class FakeConfig(dict):
    """What Sphinx passes: a mapping with a table of values and their defaults."""

    values: dict[str, SimpleNamespace]
