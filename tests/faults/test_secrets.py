"""Secrets in a script's arguments: nowhere but in one file that only the user can read, and the user hears of it."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from report import sample, sample_tuning

from advisor.redaction import HIDDEN
from advisor.settings_file.loaded import as_yaml
from advisor.storage import run_store
from advisor.types import TuneResult
from advisor.workflows.redacted import COMMAND_FILE, without_secrets

from .commands import Desk, training

KEY, PASSWORD = "Hunter2-xyz", "pw9-of-mine"
WORDS = ("--api-key", KEY, "--db", f"postgresql://me:{PASSWORD}@host/db", f"trainer.token={KEY}")
SAYS = "print('my key is', sys.argv[2], flush=True); print(sys.argv, file=sys.stderr, flush=True)"


def holders(folder: Path) -> list[Path]:
    """Files below that hold a secret."""
    secrets = (KEY.encode(), PASSWORD.encode())
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]


def assert_kept_for_the_user_alone(runs: Path) -> None:
    (kept,) = holders(runs)
    assert (kept.name, stat.S_IMODE(kept.stat().st_mode)) == (COMMAND_FILE, 0o600)
    assert json.loads(kept.read_text()) == ["train.py", *WORDS]


@pytest.mark.slow(40)
def test_a_search_its_file_its_page_and_its_logs_hold_no_secret(desk: Desk) -> None:
    desk.environment["HOME"] = str(desk.folder)
    script = desk.script(training(setup=SAYS, loop="time.sleep(0.01)", updates=100_000))
    tune = ("tune", "--runs", desk.runs, "--knobs", "threads", "--budget", "5", "--no-verify")
    done = desk.advisor(*tune, script, *WORDS, thin=True, forks=True)
    assert done.code == 0, done.stderr
    (run,) = run_store.list_runs(desk.runs)
    page = desk.advisor("report", run.run_id, "--runs", desk.runs, "--html")
    shown = [desk.advisor("report", run.run_id, "--runs", desk.runs, *words) for words in ((), ("--json",))]
    said = "".join(one.stdout + one.stderr for one in (done, page, *shown))
    assert (KEY in said, PASSWORD in said, HIDDEN in done.stdout) == (False, False, True)
    assert COMMAND_FILE in " ".join(done.stdout.split())
    assert (desk.project / "advisor.yaml").read_text().count(f"--api-key '{HIDDEN}'") == 3
    assert str(desk.folder) not in (run.path / "report.html").read_text()
    assert "my key is ***" in (run.path / "life-0.stdout").read_text()
    assert holders(desk.project) == []
    assert_kept_for_the_user_alone(desk.runs)


@pytest.mark.slow(10)
def test_a_script_that_fails_with_a_secret_is_reported_without(desk: Desk) -> None:
    script = desk.script(training(loop="if step == 5: raise ValueError('bad key ' + sys.argv[2] + ' ' + sys.argv[4])"))
    done = desk.advisor("profile", "--runs", desk.runs, "--budget", "1", script, *WORDS, forks=True)
    assert f"ValueError: bad key {HIDDEN} postgresql://{HIDDEN}@host/db" in done.stdout + done.stderr
    assert (KEY in done.stdout + done.stderr, PASSWORD in done.stdout + done.stderr) == (False, False)
    assert_kept_for_the_user_alone(desk.runs)


def test_an_error_of_the_command_line_holds_no_secret(desk: Desk) -> None:
    done = desk.advisor("tune", "--storage", f"redis://me:{PASSWORD}@host", desk.script(""), "--token", KEY)
    assert (done.code, f"redis://{HIDDEN}@host" in done.stderr, PASSWORD in done.stderr) == (2, True, False)
    desk.environment["WANDB_API_KEY"] = KEY
    done = desk.advisor("report", KEY, "--runs", desk.runs)
    assert (done.code, f"no run '{HIDDEN}' in" in done.stderr) == (2, True)


def test_runs_that_were_stored_with_secrets_are_shown_without(tmp_path: Path) -> None:
    """Version 0.2 stored them."""
    command = replace(sample.healthy().command, args=WORDS)
    profile = replace(sample.healthy(), command=command, notes=(f"sent {KEY}",))
    run = run_store.new_run(tmp_path, "train.py")
    run_store.save_profile(profile, run)
    search = sample_tuning.faster()
    recommendation = replace(search.recommendation, command=command)
    run_store.save_tune(replace(search, profile=profile, recommendation=recommendation), run)
    assert len(holders(run.path)) == 2
    loaded = run_store.load_profile(run.path)
    assert loaded.notes == (f"sent {HIDDEN}",)
    assert "--api-key" in loaded.command.args
    found = run_store.load_tune(run.path)
    assert isinstance(found, TuneResult)
    assert not any(secret in text for secret in (KEY, PASSWORD) for text in (str(loaded), str(found), as_yaml(found)))


def test_without_a_secret_no_file_is_written(tmp_path: Path) -> None:
    profile = sample.healthy()
    assert without_secrets(profile, profile.command, tmp_path) is profile
    assert list(tmp_path.iterdir()) == []
