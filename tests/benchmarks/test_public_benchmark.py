"""Which verdicts on a public script an expert would sign."""

from __future__ import annotations

from pathlib import Path

import pytest
from diagnosis import Diagnosed
from public_scripts import newest_profile, signed, total

LABEL = {"rule": "precision_unused", "also": ["channels_last_unused"], "never": ["memory_creep"]}


def said(*findings: tuple[str, str], abstained: int = 0, failure: str | None = None) -> Diagnosed:
    return Diagnosed(
        name="script",
        findings=tuple({"rule": rule, "severity": severity} for rule, severity in findings),
        abstained={str(number): "too little was measured" for number in range(abstained)},
        updates=100,
        failure=failure,
        exit_code=0,
    )


@pytest.mark.parametrize(("diagnosed", "answer"), [
    (said(("precision_unused", "warning")), "yes"),
    (said(("channels_last_unused", "critical"), ("host_code", "warning")), "yes"),
    (said(("host_code", "critical"), ("precision_unused", "warning")), "partly: host_code first"),
    (said(("host_code", "critical"), ("precision_unused", "info")), "no: host_code"),
    (said(("precision_unused", "critical"), ("memory_creep", "warning")), "no: memory_creep"),
    (said(("precision_unused", "critical"), ("memory_creep", "info")), "yes"),
    (said(("precision_unused", "info")), "partly: precision_unused as a remark only"),
    (said(), "no: nothing found"),
    (said(abstained=20), "no: no answer"),
    (said(failure="exit: the script ended"), "no: no verdict"),
])  # fmt: skip
def test_a_verdict_is_signed_where_its_first_warning_is_right_and_none_is_wrong(
    diagnosed: Diagnosed, answer: str
) -> None:
    assert signed(diagnosed, LABEL) == answer


def test_silence_is_signed_where_the_label_lets_it_pass() -> None:
    assert signed(said(), {**LABEL, "quiet": True}) == "yes"


def test_what_met_a_busy_machine_is_not_counted() -> None:
    answers = ["yes", "yes", "no: host_code", "partly: host_code first", "undecided: the machine was busy"]
    assert total(answers) == "Signed: 2 of 4, 1 in part. Not judged, since the machine was busy: 1."


def test_a_run_that_left_no_profile_has_none(tmp_path: Path) -> None:
    (tmp_path / "runs" / "20260101-000000-000000-script-abcdef").mkdir(parents=True)
    assert newest_profile("script", tmp_path) is None
    assert newest_profile("other", tmp_path) is None
