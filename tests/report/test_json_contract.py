"""The JSON that other programs stand on."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from advisor.report.profile.headline import verdict_of
from advisor.report.profile.json import profile_json

from . import hostile, sample

NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
STEPS = {
    "updates": int,
    "warm_up": int,
    "micro_steps_per_update": NUMBER,
    "mean_s": NUMBER,
    "median_s": NUMBER,
    "samples_per_s": OPTIONAL,
    "low": OPTIONAL,
    "high": OPTIONAL,
    "samples_per_update": OPTIONAL,
    "samples_from": str,
}
MEMORY = dict.fromkeys(
    (
        "peak_bytes",
        "limit_bytes",
        "parameters_bytes",
        "gradients_bytes",
        "optimizer_bytes",
        "activations_bytes",
        "creep_bytes_per_update",
    ),
    OPTIONAL,
)
COMPUTE = {
    "flops_per_update": OPTIONAL,
    "achieved_flops_per_s": OPTIONAL,
    "peak_fraction": OPTIONAL,
    "peak_from": (str, type(None)),
    "peak_dtype": (str, type(None)),
}
CEILING = {"speedup": NUMBER, "low": NUMBER, "high": NUMBER, "basis": str}
FIX = {
    "knob": str,
    "value": (str, *NUMBER, bool),
    "effect": str,
    "speedup": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "rounds": int,
}
PLACE = {"file": str, "line": int, "function": str, "share": OPTIONAL, "library": str}
FINDING = {
    "rule": str,
    "severity": str,
    "share": NUMBER,
    "ceiling": (dict, type(None)),
    "fix": (dict, type(None)),
    "evidence": str,
    "where": list,
    "knobs": list,
    "advice": str,
}
TOP = {
    "version": int,
    "command": dict,
    "verdict": dict,
    "busy_machine": (str, type(None)),
    "environment": dict,
    "hardware": dict,
    "isolation": dict,
    "steps": (dict, type(None)),
    "phases": dict,
    "off_step": dict,
    "memory": (dict, type(None)),
    "compute": (dict, type(None)),
    "device_use": (dict, type(None)),
    "why_no_device_use": str,
    "ranks": list,
    "communication": (dict, type(None)),
    "what_ifs": list,
    "fixes": list,
    "losses": (dict, type(None)),
    "early_stop": (dict, type(None)),
    "noise_scale": (dict, type(None)),
    "findings": list,
    "abstained": list,
    "looked_at": (str, type(None)),
    "overhead_fraction": OPTIONAL,
}


def holds(document: Any, schema: dict[str, Any]) -> None:
    assert list(document) == list(schema)
    for name, kind in schema.items():
        assert isinstance(document[name], kind), name


@pytest.mark.parametrize("shape", sample.ALL)
def test_the_document_has_the_keys_and_types_of_the_contract(shape: str) -> None:
    document = json.loads(json.dumps(profile_json(sample.ALL[shape]()), allow_nan=False))
    failure = document.pop("failure", None)
    holds(document, TOP)
    if document["steps"] is not None:
        holds(document["steps"], STEPS)
        holds(document["memory"], MEMORY)
        holds(document["compute"], COMPUTE)
    holds(document["verdict"], {"sentence": str, "tone": str, "next_command": str, "why_next": str})
    for finding in document["findings"]:
        holds(finding, FINDING)
        if finding["ceiling"] is not None:
            holds(finding["ceiling"], CEILING)
        for place in finding["where"]:
            holds(place, PLACE)
    for fix in [*document["fixes"], *(one["fix"] for one in document["findings"] if one["fix"] is not None)]:
        holds(fix, FIX)
    for what_if in document["what_ifs"]:
        holds(what_if, {"name": str, "speedup": NUMBER, "low": NUMBER, "high": NUMBER})
    for abstention in document["abstained"]:
        holds(abstention, {"rule": str, "why": str})
    assert (failure is not None) == (shape in ("crashed", "nothing_measured", "hung"))
    if failure is not None:
        holds(failure, {"kind": str, "message": str, "stderr_tail": str})


def test_the_documentation_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "programs.md").read_text()
    block = text.split("```")[1]
    named = re.findall(r'"(\w+)"', re.sub(r": \{[^}]*\}", "", block))
    assert named == list(TOP)
    verdict = re.search(r'"verdict": \{([^}]*)\}', block)
    assert verdict is not None
    assert re.findall(r'"(\w+)"', verdict[1]) == list(profile_json(sample.input_bound())["verdict"])
    assert all(f'"{name}"' in text for name in FINDING)


@pytest.mark.parametrize("shape", sample.ALL)
def test_the_verdict_is_the_reports_own(shape: str) -> None:
    profile = sample.ALL[shape]()
    document = profile_json(profile)
    verdict = verdict_of(profile)
    assert document["verdict"]["sentence"] == verdict.sentence
    assert document["verdict"]["next_command"] == verdict.next_command
    assert (document["busy_machine"] is not None) == verdict.sentence.startswith("The machine is busy")


def test_phases_are_fractions_that_add_up() -> None:
    assert sum(profile_json(sample.input_bound())["phases"].values()) == pytest.approx(1.0)


def test_the_command_can_be_read_as_typed() -> None:
    command = profile_json(sample.gpu_transformer())["command"]
    assert command["display"] == "-m lm.train --config 'small gpt.yaml'"
    assert command["args"] == ["--config", "small gpt.yaml"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(number: float) -> None:
    document = profile_json(hostile.with_numbers(sample.input_bound(), lambda _: number))
    assert json.loads(json.dumps(document, allow_nan=False))["steps"]["mean_s"] is None
