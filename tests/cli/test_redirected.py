"""Output that goes to a file: lines without padding, and pages that others may read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from report import sample_tuning

from advisor.storage import run_store

LIMIT_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run, found = run_store.new_run(tmp_path / "runs", "train.py"), sample_tuning.faster()
    run_store.save_profile(found.profile, run)
    run_store.save_tune(found, run)
    return tmp_path


def advisor(folder: Path, *words: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    argv = [sys.executable, "-m", "advisor", *words]
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        umask=0o022,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [("report", "--runs", "runs"), ("hardware",)], ids=["report", "hardware"])
def test_a_line_ends_where_its_text_does(folder: Path, words: tuple[str, ...]) -> None:
    lines = advisor(folder, *words).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) > 80


def test_a_width_that_is_given_is_kept(folder: Path) -> None:
    assert max(map(len, advisor(folder, "report", "--runs", "runs", COLUMNS="60").splitlines())) <= 60


def test_a_page_follows_the_umask(folder: Path) -> None:
    advisor(folder, "report", "--runs", "runs", "--html", "-o", "page.html")
    assert stat.S_IMODE((folder / "page.html").stat().st_mode) == 0o644
