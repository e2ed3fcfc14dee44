"""Options of the user as words of a command line, for commands that a report proposes."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from advisor import search
from advisor.cli.main import app
from advisor.runtime import RunOptions
from advisor.spelling import option_words
from advisor.types import Command
from advisor.workflows.tune_request import TuneRequest

COMMAND = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")
RUN = RunOptions(
    isolation="copy",
    runs=Path("kept"),
    start_limit_s=90.0,
    no_progress_limit_s=30.5,
    memory_limit_bytes=2**31,
    trackers_offline=False,
    python="/py",
)


def request(**changes: object) -> TuneRequest:
    given = {"command": COMMAND, "budget_s": None, "preset": "quick", "settings": search.read("quick")}
    return TuneRequest(**{**given, "search": search.SearchRequest(), **changes})  # type: ignore[arg-type]  # one of each


WHOLE_SEARCH = request(
    preset="vision",
    search=search.SearchRequest(
        goal=search.Goal.of("memory", tolerance="10%"),
        selection=search.KnobSelection.of(["precision", "threads"], ["compile"]),
        mapped={"micro_batch": ("--rows", 32.0), "num_workers": ("WORKERS", None)},
    ),
    updates=500,
    allow_training=True,
    verify=False,
    storage="sqlite:///x",
)


def test_usual_values_are_not_given_again() -> None:
    assert RunOptions().typed() == ()
    assert request().typed() == ()


def test_options_on_how_a_script_is_run() -> None:
    assert " ".join(RUN.typed()) == (
        "--python /py --isolation copy --runs kept --start-limit 90 --no-progress-limit 30.5 --memory-limit 2 "
        "--trackers"
    )


def test_options_of_a_search() -> None:
    assert " ".join(WHOLE_SEARCH.typed()) == (
        "--preset vision --knobs precision,threads --no-knob compile --set micro_batch=--rows:32 "
        "--set num_workers=WORKERS --objective memory --tolerance 0.1 --updates 500 --storage sqlite:///x "
        "--allow training --no-verify"
    )


def test_the_command_line_has_every_option_that_is_given_again() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # the app has several commands
    known = {name: {option for one in command.params for option in one.opts} for name, command in commands.items()}
    again = {word for word in RUN.typed() if word.startswith("--")}
    assert again <= known["profile"] & known["tune"] & known["verify"]
    assert {word for word in WHOLE_SEARCH.typed() if word.startswith("--")} <= known["tune"]


def test_a_flag_has_no_value() -> None:
    assert option_words([("one", True), ("two", False), ("three", None), ("four", 0.25)]) == ("--one", "--four", "0.25")
