"""What holds for every rule: thresholds with names and reasons, pages, silence on healthy workloads."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import advisor.rules
from advisor.rules import (
    BrokenRuleError,
    Rule,
    _base,
    _evaluation,
    _input,
    _read,
    all_rules,
    diagnose,
    explain,
    thresholds,
)
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, optimizer, what_if
from advisor.types import Abstention, Evidence, Finding

RULES = pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
FREE_NUMBERS = {0, 1, 2, -1}
"""No thresholds: none, one, a pair."""


@RULES
def test_thresholds_are_the_constants_that_they_name(rule: Rule) -> None:
    module = importlib.import_module(f"advisor.rules.{rule.id}")
    for threshold in thresholds(rule):
        owners = [home for home in (module, _base, _evaluation, _input, _read) if hasattr(home, threshold.name)]
        assert owners, f"{threshold.name} is no constant"
        assert getattr(owners[0], threshold.name) == threshold.value


@RULES
def test_no_comparison_with_an_unnamed_number(rule: Rule) -> None:
    tree = ast.parse(Path(advisor.rules.__file__).with_name(f"{rule.id}.py").read_text())
    compared = [
        operand.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for operand in (node.left, *node.comparators)
        if isinstance(operand, ast.Constant) and isinstance(operand.value, int | float)
    ]
    assert set(compared) <= FREE_NUMBERS


@RULES
def test_constants_are_listed_among_the_thresholds(rule: Rule) -> None:
    """A number that decides something is shown by `advisor explain`; vocabularies of names need not be."""
    module = importlib.import_module(f"advisor.rules.{rule.id}")
    tree = ast.parse(Path(str(module.__file__)).read_text())
    own = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_")
    }
    numbers = {name for name in own if isinstance(getattr(module, name), int | float)}
    assert numbers <= set(rule.thresholds)


@RULES
def test_every_threshold_has_a_reason(rule: Rule) -> None:
    assert all(len(threshold.reason.split()) >= 4 for threshold in thresholds(rule))
    assert rule.thresholds


def test_a_threshold_without_a_reason_is_named() -> None:
    nameless = replace(all_rules()[0], thresholds=("SPEED_OF_LIGHT",))
    with pytest.raises(BrokenRuleError, match="SPEED_OF_LIGHT is no constant with a docstring"):
        explain(nameless)


@RULES
def test_the_page_tells_thresholds_knobs_source_and_examples(rule: Rule) -> None:
    page = " ".join(explain(rule).split())
    for part in (rule.title, rule.looks_at, rule.source, rule.url or "", *rule.knobs):
        assert " ".join(part.split()) in page
    for threshold in thresholds(rule):
        assert f"{threshold.name} = " in page
    for example in rule.all_examples:
        assert example.name in page


@RULES
def test_a_rule_about_shares_abstains_on_three_updates(rule: Rule) -> None:
    firing = next(example.evidence for example in rule.all_examples if example.fires is True)
    outcome = rule.check(_base.few_updates(firing))
    assert isinstance(outcome, Abstention if rule.needs_updates else Finding)
    enough = rule.check(firing)
    if isinstance(outcome, Abstention) and isinstance(enough, Finding):
        assert outcome.seen_share is not None
        assert (outcome.seen_share > 0) == (enough.share > 0)


def test_a_rule_says_what_it_saw_in_too_few_updates() -> None:
    waits = healthy_cpu(phases={"data_wait": 0.4}, what_ifs=what_if("no_data_wait", 1.6))
    waits_little = healthy_cpu(phases={"data_wait": 0.001}, what_ifs=what_if("no_data_wait", 1.0))
    seen = [advisor.rules.get("input_bound").check(_base.few_updates(evidence)) for evidence in (waits, waits_little)]
    shares = [one.seen_share for one in seen if isinstance(one, Abstention)]
    assert shares == [pytest.approx(0.4, abs=0.01), 0.0]


@RULES
def test_findings_of_examples_can_be_acted_on(rule: Rule) -> None:
    for example in rule.all_examples:
        finding = rule.check(example.evidence)
        if isinstance(finding, Finding):
            assert 0 <= finding.share <= 1
            assert finding.evidence.endswith(".")
            assert finding.advice.endswith(".")
            assert finding.knobs == rule.helpful_knobs


@pytest.mark.parametrize("evidence", [healthy_cpu(), healthy_cuda()], ids=["cpu", "cuda"])
def test_a_healthy_workload_has_no_finding(evidence: Evidence) -> None:
    assert diagnose(evidence).findings == ()


@pytest.mark.parametrize("evidence", [healthy_cpu(), healthy_cuda()], ids=["cpu", "cuda"])
def test_a_healthy_workload_leaves_no_rule_undecided(evidence: Evidence) -> None:
    assert diagnose(evidence).abstained == ()


@RULES
def test_examples_of_a_rule_that_stays_silent_are_no_trap_for_itself_in_diagnose(rule: Rule) -> None:
    for example in rule.all_examples:
        found = diagnose(example.evidence)
        assert (rule.id in [finding.rule for finding in found.findings]) is (example.fires is True)
        assert (rule.id in [abstention.rule for abstention in found.abstained]) is (example.fires == "abstains")


def test_every_rule_is_accounted_for() -> None:
    found = diagnose(healthy_cpu(phases={"data_wait": 0.5}))
    told = [*(f.rule for f in found.findings), *(a.rule for a in found.abstained), *found.silent]
    assert sorted(told) == [rule.id for rule in all_rules()]


def test_unsteady_updates_abstain_until_there_are_many() -> None:
    few = healthy_cpu(phases={"data_wait": 0.5}, steps={"steady": False, "updates": 20})
    many = evolve(few, {"steps": {"updates": 60}})
    rule = advisor.rules.get("input_io_bound")
    assert isinstance(rule.check(few), Abstention)
    assert not isinstance(rule.check(many), Abstention)


def test_five_long_updates_are_enough() -> None:
    long = healthy_cpu(off_step={"evaluation": 0.5}, steps={"updates": 5, "mean_s": 8.0})
    assert isinstance(advisor.rules.get("evaluation_heavy").check(long), Finding)


def test_asking_the_rules_imports_no_torch() -> None:
    code = "import sys, advisor.rules as r; r.all_rules(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_loop_over_tensors_is_not_called_the_scripts_choice() -> None:
    """On a CPU it is torch's own default: nobody has written `foreach=False`, so nobody can remove it."""
    looped = {"optimizers": (optimizer(foreach=False, tensors=1200),)}
    evidence = healthy_cpu(phases={"optimizer": 0.5}, what_ifs=what_if("no_optimizer", 2.0), workload=looped)
    (finding,) = [found for found in diagnose(evidence).findings if found.rule == "optimizer_bound"]
    assert finding.advice.startswith("Pass `fused=True` or `foreach=True`")
