"""What is said of other machines before the first start."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import command
from advisor.progress import Progress
from advisor.session import elsewhere


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
    return elsewhere.clients_of(command.build(str(folder / "train.py"), [], cwd=folder))


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
    elsewhere.tell(command.build("train.py", [], cwd=tmp_path), notes)
    (tmp_path / "train.py").write_text("import torch\n")
    elsewhere.tell(command.build("train.py", [], cwd=tmp_path), notes)
    assert len(notes.said) == 1
    assert "train.py imports boto3" in notes.said[0]
