"""What `advisor explain` and a report say of every rule and knob, whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from report import sample
from snapshot import Snapshot

from advisor import knobs
from advisor.report.profile.headline import verdict_of
from advisor.rules import Rule, all_rules, explain
from advisor.types import Abstention, Finding


def told(rule: Rule) -> Iterator[str]:
    """The verdict of every example as a report has it."""
    for example in rule.all_examples:
        judged = rule.check(example.evidence)
        if isinstance(judged, Finding):
            alone = replace(sample.healthy(), findings=(judged,))
            yield f"[{example.name}]\n{verdict_of(alone).sentence}\n{judged.evidence}\n→ {judged.advice}\n"
        elif isinstance(judged, Abstention):
            yield f"[{example.name}]\ncould not judge: {judged.why}\n"


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_a_rule_as_it_is_explained_and_as_it_reports(rule: Rule, snapshot: Snapshot) -> None:
    snapshot(f"explain/{rule.id}", "\n".join([explain(rule), *told(rule)]))


@pytest.mark.parametrize("knob", knobs.all_knobs(), ids=lambda knob: knob.id)
def test_a_knob_as_it_is_explained(knob: knobs.Knob, snapshot: Snapshot) -> None:
    snapshot(f"explain/{knob.id}", knobs.explain(knob))
