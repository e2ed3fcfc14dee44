"""`--help` of every command, whole."""

from __future__ import annotations

import pytest
from snapshot import Snapshot
from typer.testing import CliRunner

from advisor.cli.main import app

COMMANDS = (
    "profile",
    "lr",
    "plan",
    "tune",
    "verify",
    "run",
    "worker",
    "export",
    "report",
    "compare",
    "explain",
    "hardware",
)


@pytest.mark.parametrize("command", ["", "demo", *COMMANDS])
def test_help(command: str, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    shown = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="advisor")
    assert shown.exit_code == 0
    snapshot(f"help/{command or 'advisor'}", shown.output)
