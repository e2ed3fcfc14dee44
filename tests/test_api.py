"""The Python API: what it takes, and how what it returns shows itself."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report import hostile, sample, sample_tuning

import advisor
from advisor import api
from advisor.errors import NothingMeasuredError, ScriptError, UsageError
from advisor.types import Profile, SpeedRatio, TuneResult, VerifyResult
from advisor.workflows.shown import ShownComparison
from advisor.workflows.tune import Tuned

CALLS: dict[str, Callable[..., Any]] = {
    "profile": advisor.profile,
    "tune": advisor.tune,
    "compare_against": lambda script, **rest: api.compare_against("HEAD", script, **rest),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("budget", [30, 30.0, "30", "30s", "1.5m", "1h"])
def test_every_budget_is_a_duration(call: str, budget: str | float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no script"):
        CALLS[call](tmp_path / "none.py", budget=budget, runs=tmp_path)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("budget", "said"), [("soon", "invalid budget"), (0.5, "too short")])
def test_what_is_no_budget_is_told_before_anything_is_run(
    call: str, budget: str | float, said: str, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(UsageError, match=said):
        CALLS[call](tmp_path / "train.py", budget=budget, runs=tmp_path)


LONGEST_LINE = 300


def test_a_hostile_run_cannot_write_to_the_terminal_by_its_name() -> None:
    assert repr(hostile.everywhere()).isprintable()


def shown(found: Profile) -> api.NotebookProfile:
    return api.NotebookProfile(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


def tuned(found: TuneResult) -> Tuned:
    return Tuned(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


VERIFIED = VerifyResult(recommendation=sample_tuning.faster().recommendation, baseline=None, outcome=None)
FOUND = [
    *(shape() for shape in sample.ALL.values()),
    *(shape() for shape in sample_tuning.ALL.values()),
    sample_tuning.faster().recommendation,
    sample.hardware(accelerators=(sample.h200(),)),
    VERIFIED,
]


@pytest.mark.parametrize("found", FOUND)
def test_every_result_names_itself_in_a_line(found: object) -> None:
    assert len(repr(found)) <= LONGEST_LINE


def test_the_line_of_a_profile_has_script_rate_and_findings() -> None:
    assert repr(sample.input_bound()) == (
        "<Profile of train.py --epochs 3: 542 samples/s; 3 findings, first input_bound (critical); "
        "1 rule could not judge>"
    )


def test_the_line_of_a_search_has_settings_and_verdict() -> None:
    assert repr(sample_tuning.faster()) == (
        "<Search for train.py --epochs 3: num_workers=4, precision=bf16; faster, 2.31 times as fast (2.19 to 2.44); "
        "8 trials>"
    )
    assert "the unmodified script (no significant gain)" in repr(sample_tuning.no_gain())
    assert "2.31" not in repr(sample_tuning.not_proven())


def test_the_line_of_a_verification_has_settings_and_verdict() -> None:
    assert "num_workers=4, precision=bf16; faster, 2.31 times as fast" in repr(VERIFIED)


FAILED = [
    shown(sample.crashed()),
    shown(sample.nothing_measured()),
    shown(sample.hung()),
    tuned(sample_tuning.crashed()),
    tuned(sample_tuning.killed_at_once()),
]


@pytest.mark.parametrize("found", FAILED)
def test_what_failed_says_so_before_anything_else(found: api.NotebookProfile | Tuned) -> None:
    assert found.failure is not None
    assert f" 3: FAILED ({found.failure.kind}: {found.failure.message})" in repr(found)
    assert str(found).startswith(repr(found))
    assert "no finding" not in repr(found)


@pytest.mark.parametrize("found", FAILED)
def test_in_a_notebook_the_failure_is_the_headline(found: api.NotebookProfile | Tuned) -> None:
    headline = found._repr_html_().partition("<h1>")[2].partition("</h1>")[0]
    assert html.unescape(headline).startswith("Your script ")
    assert "healthy" not in headline


@pytest.mark.parametrize(("found", "said"), [(FAILED[3], "raised ValueError"), (FAILED[4], "nothing happened")])
def test_a_search_that_failed_has_no_settings_to_save(found: Tuned, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        _ = found.config


def test_a_search_of_a_script_that_trains_nothing_has_no_settings_either() -> None:
    failure = sample.nothing_measured().failure
    with pytest.raises(NothingMeasuredError, match="without a single optimizer step"):
        _ = tuned(dataclasses.replace(sample_tuning.crashed(), failure=failure)).config


def test_printing_shows_the_report() -> None:
    assert str(shown(sample.input_bound())).startswith("Your script waits for data")
    assert str(tuned(sample_tuning.faster())).startswith("With num_workers=4, precision=bf16 your script is 2.3×")
    assert "\x1b" not in str(shown(sample.input_bound()))


def test_loaded_settings_show_no_file() -> None:
    assert repr(api.LoadedConfig(settings={"threads": 4}, text="# long")) == "LoadedConfig(settings={'threads': 4})"


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (("num_workers", "precision"), "# Only num_workers, precision were searched, as requested;"),
        (("threads",), "# Only threads was searched, as requested;"),
    ],
)
@pytest.mark.parametrize("shape", ["faster", "no_gain"])
def test_settings_of_a_search_among_few_knobs_say_so(shape: str, only: tuple[str, ...], said: str) -> None:
    found = tuned(dataclasses.replace(sample_tuning.ALL[shape](), only=only))
    assert said in found.config.text


def test_settings_of_a_search_among_all_knobs_say_nothing_of_it() -> None:
    assert "--knobs" not in tuned(sample_tuning.faster()).config.text


def test_two_versions_name_themselves_and_print_their_verdict() -> None:
    found = ShownComparison(
        advisor="0.1.0",
        run_id="a",
        created="2026-11-22T00:00:00Z",
        command=sample.healthy().command,
        against="main",
        commit="0123456789abcdef",
        ratio=SpeedRatio(value=0.9, low=0.88, high=0.92, confidence=0.95, unit="samples/s", floor=0.02),
        rounds=5,
        planned_rounds=10,
        status="slower",
        threshold=0.95,
        gate="failed",
        rounds_to_decide=None,
        isolation="overlay",
        changed_files=(),
        runs=(),
        notes=(),
    )
    assert repr(found) == (
        "<Comparison of train.py --epochs 3 with main: slower, 0.90 times as fast; 5 rounds; gate failed>"
    )
    assert str(found).startswith("The working tree is slower, 0.90× as fast as main")
