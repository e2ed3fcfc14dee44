"""Progress on stderr."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from advisor.progress import SILENT, Progress
from advisor.report.live import LiveProgress


def told(progress: Progress) -> None:
    progress.stage("starting train.py")
    progress.stage("measuring", windows=3)
    progress.window_done("no_data_wait")
    progress.best("1.8× with num_workers=2")
    progress.note("wandb was put offline\x1b[2J")
    progress.window_done()
    progress.close()
    progress.close()


def test_a_log_gets_plain_lines_with_the_elapsed_time() -> None:
    file = io.StringIO()
    told(LiveProgress(Console(file=file, width=80)))
    lines = [line.split("] ")[1] for line in file.getvalue().splitlines()]
    assert lines == [
        "starting train.py",
        "measuring (3 windows)",
        "best so far 1.8× with num_workers=2",
        "wandb was put offline",
    ]


def test_a_terminal_gets_a_moving_line_with_the_windows_done() -> None:
    file = io.StringIO()
    told(LiveProgress(Console(file=file, width=120, force_terminal=True, _environ={"TERM": "xterm"})))
    text = file.getvalue()
    assert "2/3" in text
    assert "best so far 1.8×" in text


def test_a_dumb_terminal_gets_plain_lines() -> None:
    file = io.StringIO()
    told(LiveProgress(Console(file=file, width=80, force_terminal=True, _environ={"TERM": "dumb"})))
    assert "\x1b[2K" not in file.getvalue()
    assert "measuring (3 windows)" in file.getvalue()


def test_time_left_is_told_once_windows_are_measured() -> None:
    file, now = io.StringIO(), [0.0]
    progress = LiveProgress(Console(file=file, width=80), clock=lambda: now[0])
    progress.time_left(lambda: 30.0 - now[0])
    for now[0], step in (
        (3.0, lambda: progress.stage("starting train.py")),
        (4.0, lambda: progress.stage("measuring", windows=1)),
        (5.5, progress.window_done),
        (10.6, progress.window_done),
        (31.0, progress.window_done),
    ):
        step()
    assert file.getvalue().splitlines() == [
        "[  3.0 s] starting train.py",
        "[  4.0 s] measuring; 26 s left",
        "[ 10.6 s] measuring: 2 windows done; 19 s left",
        "[ 31.0 s] measuring: 3 windows done; an update has to end first",
    ]


def test_a_moving_line_counts_the_time_down() -> None:
    file = io.StringIO()
    progress = LiveProgress(Console(file=file, width=120, force_terminal=True, _environ={"TERM": "xterm"}))
    progress.time_left(lambda: 17.2)
    progress.stage("starting train.py")
    assert "left" not in file.getvalue()
    progress.stage("measuring", windows=1)
    progress.window_done()
    progress.window_done()
    progress.close()
    assert "17 s left" in file.getvalue()
    assert "2 windows" in file.getvalue()


def test_it_goes_to_stderr_unless_told() -> None:
    assert LiveProgress()._console.file is sys.stderr


def test_silence_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    told(SILENT)
    assert capfd.readouterr() == ("", "")
