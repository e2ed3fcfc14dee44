"""What the tables of a search say of their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from advisor.report.search.changes import changes
from advisor.report.search.verdict import verdict_of_tune
from advisor.report.trial_rows import basis, limits, predicted
from advisor.types import Ceiling, Config, Finding, SettingValue, TuneResult

from . import sample_tuning


def test_the_table_says_where_its_speeds_and_the_verdict_come_from() -> None:
    assert basis(sample_tuning.faster()).endswith("the verdict counts fresh processes.")
    assert "fresh processes" not in basis(sample_tuning.unproven())


def with_limit(share: float, gained: float) -> TuneResult:
    found = sample_tuning.faster()
    first = Finding(
        rule="input_bound", severity="warning", share=share, evidence=".", advice=".", headline="waits {share}"
    )
    (step, *_others) = found.limits
    return replace(
        found,
        recommendation=replace(found.recommendation, findings=(first,)),
        limits=(replace(step, ratio=sample_tuning.ratio(gained)),),
    )


def test_a_step_that_gained_more_than_the_share_of_its_limit_is_explained() -> None:
    assert "gained more than that share" in limits(with_limit(0.17, 2.9))[0].limit
    assert limits(with_limit(0.77, 2.9))[0].limit == "waits 77%"


def test_a_search_that_tried_nothing_says_why() -> None:
    found = replace(sample_tuning.no_time_to_try(), ended="31 s were left: a trial takes about 40 s")
    assert verdict_of_tune(found).evidence == "No trial was begun: 31 s were left: a trial takes about 40 s."
    assert verdict_of_tune(sample_tuning.no_time_to_try()).evidence == "No trial was begun."


def for_a_finding(knobs: tuple[str, ...], tried: Mapping[str, SettingValue]) -> str:
    """Of a search with one trial, what is told of a finding that these knobs can help."""
    ceiling = Ceiling(speedup=2.0, low=1.8, high=2.2, basis="measured")
    finding = Finding(
        rule="gc_pauses", severity="warning", share=0.5, evidence=".", advice=".", knobs=knobs, ceiling=ceiling
    )
    found = sample_tuning.faster()
    found = replace(
        found,
        profile=replace(found.profile, findings=(finding,)),
        recommendation=replace(found.recommendation, by_knob={}),
        trials=(sample_tuning.measured(4, tried, 5.0),),
    )
    (row,) = predicted(found)
    assert row.got is None
    return row.by


def test_a_setting_that_was_only_tried_beside_others_is_told_so() -> None:
    told = for_a_finding(("gc",), {"gc": "freeze", "whole_batches": True})
    assert told == "gc=freeze was only tried beside other settings: trial 4, 5.0×"
    assert for_a_finding(("precision",), {"gc": "freeze"}) == "none of its settings was measured"
    assert for_a_finding((), {"gc": "freeze"}) == "no setting addresses it"


def test_settings_chosen_beside_other_programs_are_to_be_searched_again() -> None:
    found = sample_tuning.faster()
    config = Config.of({"threads": 1, "precision": "bf16"})
    found = replace(found, recommendation=replace(found.recommendation, config=config))
    assert "Busy machine" not in {change.topic for change in changes(found)}
    system = found.profile.system
    assert system is not None
    cpus = float(found.profile.hardware.cpu.affinity_count)
    system = replace(system, tree_cpus=cpus / 2, loadavg_others=cpus)
    busy = replace(found, profile=replace(found.profile, system=system))
    (told,) = [change.text for change in changes(busy) if change.topic == "Busy machine"]
    assert told.startswith("threads=1: chosen beside other programs")


def batch(samples_per_update: float) -> str:
    found = sample_tuning.faster()
    steps = found.profile.steps
    assert steps is not None
    found = replace(found, profile=replace(found.profile, steps=replace(steps, samples_per_update=samples_per_update)))
    return next(change.text for change in changes(found) if change.topic == "Effective batch")


def test_a_short_last_batch_does_not_make_the_batch_smaller() -> None:
    assert batch(64.0) == batch(62.4) == "unchanged, 64 samples per update"
    assert batch(40.0) == "unchanged, 40 samples per update"
