"""The options on how a script is run, which several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from advisor import api
from advisor.cli.main import app
from advisor.errors import UsageError

COMMANDS = {"profile": (), "tune": ("--dry-run",), "verify": ("--config", "advisor.yaml")}
USUAL = {
    "module": False,
    "python": None,
    "isolation": "auto",
    "runs": None,
    "start_limit_s": None,
    "no_progress_limit_s": None,
    "memory_limit_bytes": None,
    "trackers_offline": True,
}


def keywords(monkeypatch: pytest.MonkeyPatch, command: str, *words: str) -> dict[str, Any]:
    """What the command gives to its function of the API, of these keywords."""
    given: dict[str, Any] = {}

    def called(*_args: Any, **options: Any) -> NoReturn:
        given.update(options)
        raise UsageError("enough")

    monkeypatch.setattr(api, command, called)
    done = CliRunner().invoke(app, [command, *COMMANDS[command], *words, "train.py"])
    assert isinstance(done.exception, UsageError), done.output
    return {name: given[name] for name in USUAL}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_options_a_script_is_run_as_usual(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    assert keywords(monkeypatch, command) == USUAL


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_reaches_the_api(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    words = "-m --python py --isolation none --runs here --start-limit 5 --no-progress-limit 6 --memory-limit 0.5"
    assert keywords(monkeypatch, command, *words.split(), "--trackers") == {
        "module": True,
        "python": "py",
        "isolation": "none",
        "runs": Path("here"),
        "start_limit_s": 5.0,
        "no_progress_limit_s": 6.0,
        "memory_limit_bytes": 2**29,
        "trackers_offline": False,
    }
