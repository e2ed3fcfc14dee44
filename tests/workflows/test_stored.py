"""Stored runs, as `advisor report` and `advisor.load_run` get them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report import sample

from advisor.report.profile.headline import verdict_of
from advisor.storage import run_store
from advisor.workflows.stored import load_profile


@pytest.mark.parametrize("library", ["", "peft"])
def test_a_run_of_0_1_has_the_headline_of_its_rule(tmp_path: Path, library: str) -> None:
    base = sample.input_bound()
    finding = replace(base.findings[0], rule="host_code", headline="", library=library, ceiling=None)
    run = run_store.new_run(tmp_path, "train.py")
    run_store.save_profile(replace(base, findings=(finding,)), run)
    whose = "peft" if library else "its own code"
    assert verdict_of(load_profile(run.path)).sentence == f"Your script spends 62% of its time in {whose}."


def test_a_finding_of_a_rule_that_is_gone_is_loaded(tmp_path: Path) -> None:
    base = sample.input_bound()
    finding = replace(base.findings[0], rule="gone", headline="", evidence="It was seen.", ceiling=None)
    run = run_store.new_run(tmp_path, "train.py")
    run_store.save_profile(replace(base, findings=(finding,)), run)
    assert verdict_of(load_profile(run.path)).sentence == "It was seen."
