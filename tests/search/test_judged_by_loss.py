"""Knobs that gain by a loss reached sooner are closed for a search by speed, whatever a finding or the user asks."""

from __future__ import annotations

import pytest

from advisor import knobs, rules
from advisor.rules._examples import healthy_cpu, optimizer
from advisor.search.space import BY_LOSS, KnobSelection, open_space

JUDGED_BY_LOSS = [knob.id for knob in knobs.all_knobs() if knob.judged_by_loss]
EVIDENCE = healthy_cpu(
    workload={"optimizers": (optimizer(class_name="SGD", momentum=0.0, has_schedule=False, parameters=12_000_000),)}
)


def test_there_are_some() -> None:
    assert {"learning_rate", "lr_schedule", "momentum"} <= set(JUDGED_BY_LOSS)


@pytest.mark.parametrize("only", [None, tuple(JUDGED_BY_LOSS)])
@pytest.mark.parametrize("name", JUDGED_BY_LOSS)
def test_none_is_open(name: str, only: tuple[str, ...] | None) -> None:
    diagnosis = rules.diagnose(EVIDENCE)
    assert "fixed_learning_rate" in {finding.rule for finding in diagnosis.findings}
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, diagnosis, KnobSelection(only=only))
    assert name not in {knob.id for knob in space.knobs}
    own = knobs.get(name).values(EVIDENCE.hardware, EVIDENCE.workload).why_closed
    assert {skipped.what: skipped.why for skipped in space.closed}[name] == (own or BY_LOSS)


def test_each_changes_the_training() -> None:
    for name in JUDGED_BY_LOSS:
        assert knobs.get(name).effect(EVIDENCE.hardware, EVIDENCE.workload) == "training"
