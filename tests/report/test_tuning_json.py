"""The JSON of `tune` and `verify`, which other programs stand on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from advisor.report.profile.json import profile_json
from advisor.report.search.json import recommendation_json, tune_json
from advisor.report.search.verdict import verdict_of_tune

from . import hostile, sample_tuning
from .markup import NUMBERS
from .test_json_contract import CEILING, FINDING, NUMBER, OPTIONAL, PLACE, holds

TOP = {
    "version": int,
    "command": dict,
    "hardware": dict,
    "config": dict,
    "baseline": dict,
    "objective": dict,
    "verdict": dict,
    "sentences": list,
    "next": list,
    "training": (dict, type(None)),
    "by_knob": dict,
    "findings": list,
    "limits": list,
    "alternatives": list,
    "trials": list,
    "files": list,
    "skipped": list,
    "failure": (dict, type(None)),
}
VERDICT = {
    "status": str,
    "speedup": NUMBER,
    "low": NUMBER,
    "high": OPTIONAL,  # one round has no interval: it ends nowhere
    "rounds": int,
    "floor": NUMBER,
    "quality": str,
    "quality_evidence": str,
}
TRIAL = {"number": int, "config": dict, "reason": str, "outcome": dict, "ratio": (dict, type(None))}
OUTCOME = {
    "kind": str,
    "message": str,
    "samples_per_s": OPTIONAL,
    "peak_bytes": OPTIONAL,
    "set_up_s": OPTIONAL,
    "joules_per_sample": OPTIONAL,
    "tier": str,
}
STATUSES = {"faster", "no significant gain", "slower", "undecided", "unproven", "unverified"}
QUALITIES = {"passed", "failed", "not checked"}
KINDS = {"measured", "oom", "crash", "hang", "nan", "refused", "stopped"}


def read(document: dict[str, Any]) -> dict[str, Any]:
    """As another program gets it."""
    back: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return back


def test_the_document_says_what_limits_the_best_after_each_step() -> None:
    first, then = read(tune_json(sample_tuning.faster()))["limits"]
    assert (first["config"], first["opened"]) == ({"num_workers": 4}, ["precision"])
    assert [finding["rule"] for finding in first["findings"]] == ["precision_unused"]
    assert (then["config"], then["findings"]) == (sample_tuning.WINNER, [])


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_the_document_has_the_keys_and_types_of_the_contract(shape: str) -> None:
    document = read(tune_json(sample_tuning.ALL[shape]()))
    holds(document, TOP)
    holds(document["baseline"], {"samples_per_s": OPTIONAL, "peak_bytes": OPTIONAL})
    holds(document["objective"], {"name": str, "unit": str})
    holds(document["verdict"], VERDICT)
    assert all(isinstance(each, str) and each.strip() for each in document["sentences"])
    for step in document["next"]:
        holds(step, {"command": str, "why": str})
    for gain in document["by_knob"].values():
        holds(gain, {"speedup": NUMBER, "low": NUMBER, "high": NUMBER})
    for finding in document["findings"]:
        holds(finding, FINDING)
        for place in finding["where"]:
            holds(place, PLACE)
        if finding["ceiling"] is not None:
            holds(finding["ceiling"], CEILING)
    for other in document["alternatives"]:
        holds(other, {"changes": str, "config": dict, "verdict": dict})
        holds(other["verdict"], VERDICT)
    for skipped in document["skipped"]:
        holds(skipped, {"what": str, "why": str})
    if document["failure"] is not None:
        holds(document["failure"], {"kind": str, "message": str, "stderr_tail": str})


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_every_trial_has_its_reason_its_outcome_and_its_ratio(shape: str) -> None:
    for trial in read(tune_json(sample_tuning.ALL[shape]()))["trials"]:
        holds(trial, TRIAL)
        holds(trial["outcome"], OUTCOME)
        assert trial["outcome"]["kind"] in KINDS
        if trial["ratio"] is not None:
            holds(trial["ratio"], {"speedup": NUMBER, "low": NUMBER, "high": NUMBER, "rounds": int})


def test_the_samples_show_every_status_and_every_quality() -> None:
    documents = [tune_json(make()) for make in sample_tuning.ALL.values()]
    assert {one["verdict"]["status"] for one in documents} == STATUSES
    assert {one["verdict"]["quality"] for one in documents} == QUALITIES


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_the_sentences_and_the_next_commands_are_the_reports_own(shape: str) -> None:
    result = sample_tuning.ALL[shape]()
    document, told = read(tune_json(result)), verdict_of_tune(result)
    assert document["sentences"] == [text for text in (told.sentence, told.evidence) if text]
    assert [(step["command"], step["why"]) for step in document["next"]] == [
        (one.command, one.why) for one in told.next
    ]


def test_settings_are_values_of_their_own_type() -> None:
    assert read(tune_json(sample_tuning.faster()))["config"] == {"num_workers": 4, "precision": "bf16"}
    assert read(tune_json(sample_tuning.for_memory()))["config"] == {"activation_checkpointing": True}


def test_the_baseline_is_the_script_as_written() -> None:
    document = read(tune_json(sample_tuning.faster()))
    assert document["baseline"] == {"samples_per_s": 542.0, "peak_bytes": 1312 * 2**20}


def test_a_search_that_measured_nothing_has_a_baseline_of_nulls() -> None:
    document = read(tune_json(sample_tuning.crashed()))
    assert document["baseline"] == {"samples_per_s": None, "peak_bytes": None}
    assert document["failure"]["kind"] == "crash"


def test_what_has_to_be_done_with_an_alternative_is_said() -> None:
    (other,) = read(tune_json(sample_tuning.faster()))["alternatives"]
    assert (other["changes"], other["verdict"]["quality"]) == ("training", "not checked")
    assert "square root of k" in other["verdict"]["quality_evidence"]


def test_findings_are_those_of_the_profile() -> None:
    result = sample_tuning.faster()
    assert tune_json(result)["findings"] == profile_json(result.profile)["findings"]
    assert tune_json(result)["command"] == profile_json(result.profile)["command"]


def test_a_verification_prints_the_same_contract() -> None:
    document = read(recommendation_json(sample_tuning.faster().recommendation))
    holds(document, TOP)
    assert (document["trials"], document["objective"]["name"]) == ([], "throughput")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(number: float) -> None:
    document = read(tune_json(hostile.tuned_with_numbers(sample_tuning.faster(), lambda _: number)))
    assert document["verdict"]["speedup"] is None


@pytest.mark.parametrize("numbers", NUMBERS)
def test_wild_numbers_make_a_document_all_the_same(numbers: str) -> None:
    document = tune_json(hostile.tuned_with_numbers(sample_tuning.on_device(), NUMBERS[numbers]))
    assert list(read(document)) == list(TOP)


def test_names_that_are_no_text_are_escaped() -> None:
    result = replace(sample_tuning.faster(), files=("caf\udce9.yaml",))
    assert read(tune_json(result))["files"] == ["caf\\udce9.yaml"]
