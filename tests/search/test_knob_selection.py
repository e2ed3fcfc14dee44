"""What a user wants overrules the findings; what cannot be set stays closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.errors import UsageError
from advisor.search import KnobSelection, Space, open_space
from advisor.types import Diagnosis

from .machine import EVIDENCE, FULL_PRECISION, SMALL_STEPS

FOUND = Diagnosis(findings=(FULL_PRECISION, SMALL_STEPS))


def opened(selection: KnobSelection, found: Diagnosis = FOUND) -> Space:
    return open_space(EVIDENCE.hardware, EVIDENCE.workload, found, selection)


def names(space: Space) -> list[str]:
    return [knob.id for knob in space.knobs]


def why_closed(space: Space, name: str) -> str:
    return {one.what: one.why for one in space.closed}[name]


def test_only_the_knobs_asked_for_are_open_in_their_order() -> None:
    assert names(opened(KnobSelection.of(["num_workers", "precision"]))) == ["num_workers", "precision"]


def test_what_was_not_asked_for_is_told() -> None:
    assert why_closed(opened(KnobSelection.of(["num_workers"])), "precision") == "not among knobs=: num_workers"


def test_a_knob_that_is_left_out_is_closed_and_told() -> None:
    space = opened(KnobSelection.of(None, ["precision"]))
    assert "precision" not in names(space)
    assert why_closed(space, "precision") == "excluded by no_knobs="


def test_asking_does_not_open_what_cannot_be_set() -> None:
    space = opened(KnobSelection.of(["pin_memory"]))
    assert names(space) == []
    assert "cpu" in why_closed(space, "pin_memory")


def test_a_domain_opens_its_knobs_after_those_of_the_findings() -> None:
    space = opened(KnobSelection.of(None, also=("num_workers",)), Diagnosis(findings=(FULL_PRECISION,)))
    assert names(space)[:2] == ["precision", "num_workers"]
    assert space.knobs[1].opened_by == "usual in this domain"


@pytest.mark.parametrize(("only", "without"), [(["nope"], []), (None, ["nope"])])
def test_a_name_that_is_not_there_is_told_with_those_that_are(only: list[str] | None, without: list[str]) -> None:
    with pytest.raises(UsageError, match=r"'nope'.*num_workers"):
        KnobSelection.of(only, without)


def test_a_knob_cannot_be_wanted_and_not_wanted() -> None:
    with pytest.raises(UsageError, match="precision is in both"):
        KnobSelection.of(["precision"], ["precision"])


WORKERS = Diagnosis(findings=(replace(FULL_PRECISION, knobs=("num_workers",)),))


def test_workers_open_the_threads_that_they_share_the_cpus_with() -> None:
    space = opened(KnobSelection(), WORKERS)
    assert names(space)[:2] == ["num_workers", "threads"]
    assert space.knobs[0].shares_cpus_with == ("threads", max(1, round(EVIDENCE.hardware.cpu.usable_cpus) // 2))
    assert space.knobs[1].opened_by == "it shares the CPUs with num_workers"


def test_a_faster_forward_opens_the_optimizers_form_whose_part_grows() -> None:
    found = opened(KnobSelection(), Diagnosis(findings=(FULL_PRECISION,)))
    assert names(found)[:2] == ["precision", "fused_optimizer"]
    assert "grows if precision" in found.knobs[1].opened_by
    assert "fused_optimizer" not in names(
        opened(KnobSelection.of(None, ["fused_optimizer"]), Diagnosis(findings=(FULL_PRECISION,)))
    )


def test_a_finding_may_point_to_a_knob_that_there_is_not_yet() -> None:
    assert "num_workers" in names(
        opened(KnobSelection(), Diagnosis(findings=(replace(FULL_PRECISION, knobs=("x", "num_workers")),)))
    )


def test_what_is_left_out_stays_so_although_it_is_shared() -> None:
    assert "threads" not in names(opened(KnobSelection.of(None, ["threads"]), WORKERS))
