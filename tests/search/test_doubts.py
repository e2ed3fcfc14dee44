"""Knobs that the noise of a profile opens or closes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.search import KnobSelection, open_space
from advisor.search.doubts import why_it_may_close
from advisor.types import Abstention, Diagnosis

from .machine import EVIDENCE, INPUT_BOUND

HINT = replace(INPUT_BOUND, severity="info", share=0.04)
UNSURE = Abstention(rule="input_bound", why="too noisy")
KNOB = "num_workers"


@pytest.mark.parametrize(
    ("diagnosis", "said"),
    [
        (Diagnosis(findings=(INPUT_BOUND,)), ""),
        (Diagnosis(findings=(HINT,)), "input_bound is 4.0% of the time"),
        (Diagnosis(findings=(), abstained=(UNSURE,)), "input_bound could not judge"),
        (Diagnosis(findings=(INPUT_BOUND,), abstained=(UNSURE,)), ""),
        (Diagnosis(findings=(replace(HINT, share=0.0),)), ""),
        (Diagnosis(findings=(replace(HINT, share=0.6),)), ""),
    ],
)
def test_only_a_small_cost_or_an_open_question_may_close_a_knob_again(diagnosis: Diagnosis, said: str) -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, diagnosis)
    found = {knob.id: knob.may_close for knob in space.knobs}[KNOB]
    assert found.startswith(said)
    assert bool(found) == bool(said)
    assert found == why_it_may_close(KNOB, diagnosis)


def test_what_the_user_asks_for_stays_open() -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(HINT,)), KnobSelection.of([KNOB]))
    assert [(knob.id, knob.may_close) for knob in space.knobs] == [(KNOB, "")]


def test_a_closed_knob_says_what_was_seen_of_its_cost() -> None:
    few = Abstention(rule="input_bound", why="3 steady updates were counted", seen_share=0.03)
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(), abstained=(few,)))
    why = {one.what: one.why for one in space.closed}
    assert why[KNOB] == (
        "no finding suggests it; input_bound has seen 3.0% of the time so far, in too few updates to judge"
    )
    assert why["micro_batch"] == "no finding suggests it"
