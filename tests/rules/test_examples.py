"""Every rule's own examples: where it fires, stays silent, or abstains."""

from __future__ import annotations

import pytest

from advisor.rules import Example, Rule, all_rules
from advisor.types import Abstention, Finding

CASES = [
    pytest.param(rule, example, id=f"{rule.id}-{example.name}") for rule in all_rules() for example in rule.all_examples
]


@pytest.mark.parametrize(("rule", "example"), CASES)
def test_example_comes_out_as_it_says(rule: Rule, example: Example) -> None:
    outcome = rule.check(example.evidence)
    expected = {True: Finding, False: type(None), "abstains": Abstention}[example.fires]
    assert isinstance(outcome, expected), outcome


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_rule_has_two_examples_that_fire_and_two_that_do_not(rule: Rule) -> None:
    fires = [example.fires for example in rule.all_examples]
    assert fires.count(True) >= 2
    assert fires.count(False) >= 2
