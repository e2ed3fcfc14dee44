"""Every option that takes a number refuses what is none, with the value and a remedy, before anything is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from advisor.cli._options import as_option
from advisor.cli.main import app
from advisor.errors import AdvisorError
from advisor.spelling import spelled

WRONG = ("nan", "inf", "-inf", "-1", "", "1e400", "9" * 30)
CALLS = {
    "compare": "--against HEAD {} train.py",
    "plan": "--devices h100 --model gpt2 {}",
    "run": "--set learning_rate=0.1 {} train.py",
    "tune": "--objective cost {} train.py",
    "verify": "--config fast.yaml {} train.py",
    "worker": "--study one --storage sqlite:///study.db --ray auto {}",
}
"""A call of each command, with a place for the option; any other takes the script alone."""
TEXTS = {
    "compare --budget": CALLS["compare"],
    "lr --budget": "{} train.py",
    "plan --devices": "--model gpt2 {}",
    "profile --budget": "{} train.py",
    "tune --budget": "{} train.py",
    "tune --horizon": "--objective time_to_loss {} train.py",
    "tune --tolerance": "--objective memory {} train.py",
    "verify --budget": CALLS["verify"],
    "worker --wait": "--study one --storage sqlite:///study.db {}",
}
"""Options whose text is a duration, a fraction or a size."""


def numeric() -> Iterator[tuple[str, str]]:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for command, found in commands.items():
        for parameter in found.params:
            if parameter.type_descriptor.annotation in (int, float):
                yield f"{command} {parameter.opts[0]}", CALLS.get(command, "{} train.py")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    (tmp_path / "train.py").write_text("open('ran', 'w')\n")
    (tmp_path / "fast.yaml").write_text("version: 1\nsettings: {num_workers: 2}\n")


def refusal(command: str, line: str) -> str:
    with spelled(as_option):
        done = CliRunner().invoke(app, [command, *shlex.split(line)], prog_name="advisor")
    assert done.exit_code != 0, line
    if isinstance(done.exception, AdvisorError):
        return str(done.exception)
    assert isinstance(done.exception, SystemExit), done.exception
    return done.output


def test_all_numeric_options_are_found() -> None:
    assert {"profile --memory-limit", "tune --price", "plan --memory-gb", "verify --rounds"} <= dict(numeric()).keys()


@pytest.mark.parametrize(("option", "line"), [*numeric(), *TEXTS.items()])
def test_what_is_no_number_is_refused_with_its_value_and_the_remedy(option: str, line: str, tmp_path: Path) -> None:
    command, name = option.split()
    for value in WRONG:
        if (value, name) == ("9" * 30, "--horizon"):
            continue  # many updates are too many, which is another message
        said = refusal(command, line.format(shlex.quote(f"{name}={value}")))
        assert name.strip("-s") in said.replace("_", "-"), (value, said)
        assert value.rstrip("0")[:20] in said or f"{float(value or 'nan'):g}" in said, (value, said)
        assert re.search(r"expected|an interval needs|use .* or|give ", said), (value, said)
    assert not (tmp_path / "ran").exists()
