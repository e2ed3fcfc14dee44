"""What `advisor verify` prints, in words and as JSON."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from advisor.report.comparison.verification import render_verify, verify_json
from advisor.types import Command, Config, Failure, Recommendation, TrialOutcome, Verdict, VerifyResult

from .sample import hardware

FASTER = Verdict(
    status="faster",
    speedup=2.0,
    low=1.9,
    high=2.1,
    rounds=3,
    floor=0.02,
    quality="passed",
    quality_evidence="all 150 losses are equal",
)
COMMAND = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")


def result(verdict: Verdict = FASTER, **changes: Any) -> VerifyResult:
    found = VerifyResult(
        recommendation=Recommendation(
            command=COMMAND, hardware=hardware(), config=Config.of({"num_workers": 4}), verdict=verdict
        ),
        baseline=TrialOutcome(kind="measured", samples_per_s=100.0, peak_bytes=2**30),
        outcome=TrialOutcome(kind="measured", samples_per_s=200.0, peak_bytes=2**31),
    )
    return replace(found, **changes)


def printed(found: VerifyResult) -> str:
    """On one line: where it is broken is the terminal's."""
    console = Console(file=io.StringIO(), width=100)
    render_verify(found, console)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_the_verdict_comes_first_with_what_it_rests_on() -> None:
    assert printed(result()).startswith(
        "With num_workers=4 your script is 2.0× as fast (95% interval 1.90–2.10, 3 rounds"
    )


def test_speed_and_memory_stand_side_by_side() -> None:
    assert "baseline 100 1.00 GiB settings 200 2.00 GiB +100% +100%" in printed(result())


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ("passed", "Training is equivalent: all 150 losses"),
        ("failed", "Training has changed: all 150 losses"),
        ("not checked", "Whether training is equivalent is unknown: all 150 losses"),
    ],
)
def test_the_quality_is_told_with_its_evidence(quality: Any, said: str) -> None:
    assert said in printed(result(replace(FASTER, quality=quality)))


def test_what_is_undecided_says_what_would_decide() -> None:
    undecided = replace(FASTER, status="undecided", low=0.9, high=4.0, rounds_to_decide=17)
    assert "About 17 rounds would decide it: rounds=17" in printed(result(undecided))


def test_what_no_rounds_decide_says_so() -> None:
    assert "practically equal" in printed(result(replace(FASTER, status="undecided", rounds_to_decide=None)))


def test_a_single_round_has_no_end_of_its_interval() -> None:
    single = result(replace(FASTER, status="undecided", low=0.0, high=math.inf, rounds=1))
    assert printed(single).startswith("Undecided")
    assert json.loads(json.dumps(verify_json(single), allow_nan=False))["verdict"]["high"] is None


def test_what_could_not_be_run_says_why() -> None:
    broken = replace(FASTER, status="unverified", rounds=0, quality="failed", quality_evidence="out of memory")
    told = printed(result(broken, outcome=TrialOutcome(kind="oom", message="out of memory")))
    assert told.startswith("Not verified: out of memory.")


def test_notes_and_files_are_told() -> None:
    told = printed(result(notes=("the machine was busy",), files=("advisor.yaml",)))
    assert "the machine was busy Wrote the verdict to advisor.yaml." in told


def test_what_a_script_says_cannot_steer_the_terminal() -> None:
    evil = replace(FASTER, quality_evidence="\x1b[31mred\x07 [bold]no[/bold]")
    told = printed(result(evil, notes=("\x1b]0;title\x07",)))
    assert "\x1b" not in told
    assert "[bold]no[/bold]" in told


def test_json_is_the_contract_of_a_search() -> None:
    document = verify_json(result(files=("advisor.yaml",)))
    assert document["config"] == {"num_workers": 4}
    assert document["baseline"] == {"samples_per_s": 100.0, "peak_bytes": 2**30}
    assert (document["trials"], document["files"], document["failure"]) == ([], ["advisor.yaml"], None)
    told = " ".join(document["sentences"])
    assert printed(result(files=("advisor.yaml",))).startswith(told)
    assert "num_workers=4" in told


TENFOLD = replace(FASTER, status="undecided", speedup=14.2, low=0.31, high=650.0, rounds_to_decide=None, own_spread=8.8)


def test_what_is_undecided_has_its_interval_and_its_reason_but_no_estimate() -> None:
    told = printed(result(TENFOLD))
    assert told.startswith(
        "Undecided: with num_workers=4 your script is 0.31 to more than 100 times as fast, which may be chance (95% "
        "interval, 3 rounds of fresh processes, noise floor 2%; the baseline's own speed varied by a factor of 9.8 "
        "between processes)."
    )
    assert "14.2" not in told


def test_of_what_is_undecided_the_table_has_no_difference_in_speed() -> None:
    assert "settings 200 2.00 GiB +100% " in printed(result(TENFOLD))


def test_what_scatters_too_much_is_not_called_equal() -> None:
    assert "on an otherwise idle machine" in printed(result(TENFOLD))


def test_of_fewer_than_three_rounds_no_floor_is_told() -> None:
    told = printed(result(replace(TENFOLD, rounds=2, own_spread=0.034)))
    assert "noise floor" not in told
    assert "varied by 3.4% between" in told
    assert "rounds=3 or more" in told


def test_the_estimate_stays_where_machines_read_it() -> None:
    document = verify_json(result(TENFOLD))["verdict"]
    assert (document["speedup"], document["low"], document["high"]) == (14.2, 0.31, 650.0)
    assert list(document) == ["status", "speedup", "low", "high", "rounds", "floor", "quality", "quality_evidence"]


def test_options_of_the_script_are_told_as_they_are_typed() -> None:
    told = printed(result(arguments={"--rows": 16}))
    assert told.startswith("With num_workers=4, --rows=16 your script is 2.0× as fast")


def test_losses_that_are_not_finite_are_told_before_any_gain() -> None:
    failure = Failure(kind="nan", message="the loss was not finite in 50 of the 50 updates counted")
    said = printed(result(failure=failure))
    assert said.startswith("Your script computed a non-finite loss: the loss was not finite in 50 of the 50 updates")
    assert "With num_workers=4 your script is 2.0× as fast" in said
    assert verify_json(result(failure=failure))["failure"]["kind"] == "nan"
