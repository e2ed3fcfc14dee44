"""What is said of other machines before the first start."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor import api
from advisor.errors import ScriptError
from advisor.progress import Progress
from advisor.runtime import network_clients
from advisor.target import command


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def clients(folder: Path, **files: str) -> tuple[str, ...]:
    for name, text in files.items():
        target = folder.joinpath(*name.split("__")).with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return network_clients.clients_of(command.build(str(folder / "train.py"), [], cwd=folder))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import torch, math\n", ()),
        ("import boto3\nimport requests as r\n", ("boto3", "requests")),
        ("from google.cloud import storage\n", ("google.cloud",)),
        ("import urllib.parse\n", ()),
        ("from urllib import request\n", ("urllib.request",)),
        ("def save():\n    import psycopg2\n", ("psycopg2",)),
        ("import requests_cache_of_mine\n", ()),
        ("this is no python(", ()),
    ],
)
def test_imports_tell(tmp_path: Path, text: str, found: tuple[str, ...]) -> None:
    assert clients(tmp_path, train=text) == found


def test_modules_beside_the_script_are_read_too(tmp_path: Path) -> None:
    files = {"train": "from lib.data import load\n", "lib__data": "from . import store\nimport redis\n"}
    assert clients(tmp_path, **files) == ("redis",)


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    assert clients(tmp_path, train="import other\n", other="import train\nimport httpx\n") == ("httpx",)


def test_it_is_said_before_the_start_and_only_where_there_is_something(tmp_path: Path) -> None:
    notes = Notes()
    (tmp_path / "train.py").write_text("import boto3\n")
    network_clients.warn([command.build("train.py", [], cwd=tmp_path)], notes)
    (tmp_path / "train.py").write_text("import torch\n")
    network_clients.warn([command.build("train.py", [], cwd=tmp_path)], notes)
    assert len(notes.said) == 1
    assert "train.py imports boto3" in notes.said[0]


def test_of_several_forms_of_a_script_it_is_said_once_for_all(tmp_path: Path) -> None:
    notes, commands = Notes(), []
    for name, package in (("before", "redis"), ("after", "boto3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(f"import {package}\n")
        commands.append(command.build("train.py", [], cwd=tmp_path / name))
    network_clients.warn(commands, notes)
    (said,) = notes.said
    assert "train.py imports boto3, redis" in said


# --- every command says it --------------------------------------------------------------------------------------------

SCRIPT = """
try:
    import boto3
except ImportError:
    pass
raise SystemExit("not today")
"""


class Told(Notes):
    """Everything that a command says, in its order."""

    def stage(self, what: str, *, windows: int | None = None) -> None:
        self.said.append(what)


def _profile(runs: Path, told: Told) -> None:
    api.profile("train.py", runs=runs, progress=told)


def _tune(runs: Path, told: Told) -> None:
    api.tune("train.py", runs=runs, progress=told)


def _verify(runs: Path, told: Told) -> None:
    Path("advisor.yaml").write_text("version: 1\nsettings: {threads: 1}\n")
    api.verify("advisor.yaml", "train.py", runs=runs, progress=told)


def _compare(runs: Path, told: Told) -> None:
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True, timeout=30)
    api.compare_against("HEAD", "train.py", runs=runs, progress=told)


@pytest.mark.slow
@pytest.mark.parametrize("run", [_profile, _tune, _verify, _compare], ids=["profile", "tune", "verify", "compare"])
def test_every_command_says_it_once_before_its_first_start(
    run: Callable[[Path, Told], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, told = tmp_path / "project", Told()
    project.mkdir()
    (project / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(project)
    with contextlib.suppress(ScriptError):
        run(tmp_path / "runs", told)
    assert "train.py imports boto3" in told.said[0]
    assert len(told.said) > 1
    assert sum("imports boto3" in text for text in told.said) == 1


def test_a_module_of_the_project_is_no_client_whatever_its_name(tmp_path: Path) -> None:
    script = "import datasets\nfrom datasets import Photos\n"
    assert clients(tmp_path, train=script, datasets="class Photos: ...\n") == ()
    assert clients(tmp_path, train=script, datasets="import requests\n") == ("requests",)


def test_a_package_that_the_project_does_not_have_is_a_client(tmp_path: Path) -> None:
    assert clients(tmp_path, train="from datasets import load_dataset\n") == ("datasets",)
