"""Errors of wrong calls, whole: in Python they speak of parameters, on the command line of options."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from snapshot import Snapshot
from typer.testing import CliRunner

import advisor
from advisor.cli._options import as_option
from advisor.cli.main import app
from advisor.errors import AdvisorError
from advisor.spelling import parameter, spelled

NO_SETTINGS = "version: 1\nsettings: {}\n"
SETTINGS = "version: 1\nsettings: {num_workers: 2}\n"
UNKNOWN = "version: 1\nsettings: {warp_drive: 9}\n"

CALLS: Mapping[str, Callable[[], object]] = {
    "no script": lambda: advisor.profile("trian.py"),
    "a binary file": lambda: advisor.profile("picture.png"),
    "a folder": lambda: advisor.profile("."),
    "a text as arguments": lambda: advisor.profile("train.py", "--epochs 3"),
    "a module's file": lambda: advisor.profile("train.py", module=True),
    "no interpreter": lambda: advisor.profile("train.py", python="missing/python"),
    "a budget": lambda: advisor.profile("train.py", budget="3 minutes"),
    "a short budget": lambda: advisor.tune("train.py", budget="1s"),
    "isolation": lambda: advisor.profile("train.py", isolation="jail"),
    "no run": lambda: advisor.load_run("latest", runs="empty"),
    "a run's name": lambda: advisor.load_run("yesterday", runs="empty"),
    "a preset": lambda: advisor.tune("train.py", preset="fastest"),
    "a knob": lambda: advisor.tune("train.py", knobs=["wings"]),
    "a knob in and out": lambda: advisor.tune("train.py", knobs=["threads"], no_knobs=["threads"]),
    "an objective": lambda: advisor.tune("train.py", objective="beauty"),
    "no price": lambda: advisor.tune("train.py", objective="cost"),
    "a price of nothing": lambda: advisor.tune("train.py", objective="cost", price=0.0),
    "a price for memory": lambda: advisor.tune("train.py", objective="memory", price=2.0),
    "a tolerance for speed": lambda: advisor.tune("train.py", tolerance="5%"),
    "a tolerance": lambda: advisor.tune("train.py", objective="memory", tolerance="much"),
    "a storage": lambda: advisor.tune("train.py", storage="ftp://host"),
    "a resumed run": lambda: advisor.tune("train.py", resume="yesterday", runs="empty"),
    "a configuration": lambda: advisor.run("advsor.yaml", "train.py"),
    "no settings": lambda: advisor.verify("nothing.yaml", "train.py"),
    "one round": lambda: advisor.verify("fast.yaml", "train.py", rounds=1),
    "settings": lambda: advisor.load("unknown.yaml"),
    "no configuration": lambda: advisor.load("train.py"),
    "a target": lambda: advisor.export("fast.yaml", ["keras"]),
    "an existing file": lambda: advisor.export("fast.yaml", ["torchrun"]),
    "a version": lambda: advisor.api.compare_against("HEAD", "train.py"),
    "a ratio": lambda: advisor.api.compare_against("HEAD", "train.py", fail_below=95.0),
    "a rule": lambda: advisor.rules.get("input_bund"),
}
COMMANDS = (
    "compare one",
    "compare one two --fail-below 0.95",
    "compare --against HEAD --rounds 1 train.py",
    "explain input_bund",
    "export fast.yaml --to ,",
    "export fast.yaml --to torchrun",
    "profile --python missing/python train.py",
    "profile -m train.py",
    "profile --isolation jail train.py",
    "report --runs empty",
    "run train.py --config fast.yaml",
    "tune --allow anything train.py",
    "tune --emit keras train.py",
    "tune --knobs , train.py",
    "tune --knobs threads --no-knob threads train.py",
    "tune --objective cost train.py",
    "tune --objective memory --price 2 train.py",
    "tune --horizon 100 train.py",
    "tune --objective loss_at_time --horizon 100 train.py",
    "tune --objective time_to_loss train.py",
    "tune --objective time_to_loss --horizon 100 --preset vision train.py",
    "tune --objective time_to_loss --horizon soon train.py",
    "tune --output torchrun.sh train.py",
    "tune --set rows train.py",
    "tune --set wings=--wings train.py",
    "verify --config fast.yaml --rounds 1 train.py",
    "verify train.py",
)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, content in {
        "train.py": "open('ran', 'w')\n",
        "picture.png": "\x00\x01",
        "torchrun.sh": "mine\n",
        "fast.yaml": SETTINGS,
        "nothing.yaml": NO_SETTINGS,
        "unknown.yaml": UNKNOWN,
    }.items():
        (tmp_path / name).write_text(content)


def _without_place(text: str, folder: Path) -> str:
    return text.replace(str(folder.resolve()), "/project")


def test_in_python_a_wrong_call_is_told_in_its_own_words(tmp_path: Path, snapshot: Snapshot) -> None:
    told = {}
    for name, call in CALLS.items():
        try:
            call()
        except AdvisorError as error:
            told[name] = f"{name}\n  {error}"
    assert list(told) == list(CALLS)
    assert not (tmp_path / "ran").exists()
    snapshot("errors/python", _without_place("\n".join(told.values()), tmp_path))


def test_on_the_command_line_a_wrong_call_is_told_in_options(
    tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    told = []
    for command in COMMANDS:
        with spelled(as_option):
            done = CliRunner().invoke(app, shlex.split(command), prog_name="advisor")
        assert done.exit_code != 0
        said = f"advisor: {done.exception}" if isinstance(done.exception, AdvisorError) else done.output.strip()
        told.append(f"$ advisor {command}\n{said}")
    assert not (tmp_path / "ran").exists()
    snapshot("errors/command_line", _without_place("\n".join(told), tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "in_python", "on_the_command_line"),
    [
        ("runs", None, "runs=", "--runs"),
        ("price", 2.0, "price=2.0", "--price 2"),
        ("no_knobs", None, "no_knobs=", "--no-knob"),
        ("overwrite", True, "overwrite=True", "--force"),
        ("fail_below", 0.95, "fail_below=0.95", "--fail-below 0.95"),
    ],
)
def test_a_parameter_is_spelled_as_its_reader_writes_it(
    name: str, value: object, in_python: str, on_the_command_line: str
) -> None:
    with spelled(as_option):
        assert parameter(name, value) == on_the_command_line
    assert parameter(name, value) == in_python
