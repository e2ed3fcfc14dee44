"""The wheel: everything that is needed travels in it, and what is installed from it works outside of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 120
SOURCES = ("advisor", "profiles", "pyproject.toml", "LICENSE", "README.md")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves its folders beside the sources, and finds what an earlier one left there."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / "source" / name)
    # Without isolation: nothing is fetched, setuptools is the one of the extra `test`.
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source"))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site-packages")
    _pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def test_every_package_of_the_sources_is_named() -> None:
    """A list, since `profiles` lies outside: a new folder that is not in it works here and is missing elsewhere."""
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / "advisor").rglob("__init__.py")}
    data = [ROOT / "profiles", *{file.parent for file in (ROOT / "profiles").rglob("*.toml")}]
    there |= {".".join(("advisor", *folder.relative_to(ROOT).parts)) for folder in data}
    assert named == there


@pytest.mark.slow
def test_every_file_of_the_package_travels(wheel: Path) -> None:
    """Sources, the templates and styles of the page, the script of the demo."""
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "advisor").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {path.suffix for path in map(Path, wanted)} >= {".py", ".typed", ".jinja", ".css"}
    assert "advisor/demo/train.py" in wanted
    assert wanted - _names(wheel) == set()


def test_profiles_travel(wheel: Path) -> None:
    wanted = {f"advisor/{path.relative_to(ROOT)}" for path in (ROOT / "profiles").rglob("*.toml")}
    assert wanted
    assert wanted - _names(wheel) == set()


def test_the_licence_travels(wheel: Path) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in _names(wheel))


def test_nothing_else_travels(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in _names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"advisor"}


@pytest.mark.slow
def test_the_installed_package_shows_its_help(installed: Path, tmp_path: Path) -> None:
    done = _advisor(["--help"], installed, cwd=tmp_path)
    assert "advisor [OPTIONS] COMMAND" in done.stdout


def test_the_installed_package_is_the_one_that_answers(installed: Path, tmp_path: Path) -> None:
    done = _python(["-c", "import advisor; print(advisor.__file__)"], installed, cwd=tmp_path)
    assert Path(done.stdout.strip()) == installed / "advisor" / "__init__.py"


@pytest.mark.slow
def test_the_installed_package_finds_the_hardware(installed: Path, tmp_path: Path) -> None:
    done = _advisor(["hardware", "--json"], installed, cwd=tmp_path)
    assert json.loads(done.stdout)["cpu"]


def test_the_installed_package_finds_its_device_profiles(installed: Path, tmp_path: Path) -> None:
    code = "from advisor.hardware.peaks import device_profiles; print(len(device_profiles()))"
    done = _python(["-c", code], installed, cwd=tmp_path)
    assert int(done.stdout) > 10


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _advisor(args: list[str], installed: Path, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return _python(["-m", "advisor", *args], installed, cwd=cwd)


def _python(args: list[str], installed: Path, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def _pip(*args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *args],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
