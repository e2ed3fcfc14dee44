"""Rules: one file each, found by discovery. `diagnose` asks them all and puts first what fixing can give most."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..types import Abstention, Diagnosis, Evidence, Finding
from ..unknown_name import UnknownNameError
from . import faster_setting
from ._base import BrokenRuleError, Example, Rule
from ._explain import Threshold, explain, thresholds
from ._measured_fix import with_unprompted

__all__ = [
    "BrokenRuleError",
    "Example",
    "Rule",
    "Threshold",
    "all_rules",
    "diagnose",
    "discover",
    "explain",
    "get",
    "thresholds",
    "worth",
]

WORTH_WITHOUT_CEILING = {"critical": 2.0, "warning": 1.1, "info": 1.0}
"""Assumed speed-up of a finding without a ceiling, for ranking. A finding that ends or spoils a run (memory about to
run out, a build that cannot use the accelerator) ranks before any gain below a factor of two; a risk ranks among small
gains."""

CHOICE_EXPONENT = 1 / 3
"""Exponent of a choice's speed-up, for ranking beside faults: gains multiply, so the choice can still be made once the
fault is mended, which changes no result. A fault worth 1.3 ranks before bfloat16 worth 2, and one worth 1.15 behind
it."""

_SEVERITY_ORDER = {"critical": 0, "warning": 1, "info": 2}


def discover() -> tuple[Rule, ...]:
    """Return the `RULE` of every file in this folder without a leading underscore in its name, by id.

    Raises BrokenRuleError, naming the path, for a file that cannot be imported or whose RULE is missing or misnamed.
    """
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        path = Path(getattr(module.module_finder, "path", "")) / f"{module.name}.py"
        found.append(_load(module.name, path))
    return tuple(sorted(found, key=lambda rule: rule.id))


def _load(name: str, path: Path) -> Rule:
    try:
        module = importlib.import_module(f".{name}", __name__)
    except Exception as error:
        raise BrokenRuleError(f"{path}: cannot be imported ({type(error).__name__}: {error}); repair it") from error
    rule = getattr(module, "RULE", None)
    if not isinstance(rule, Rule):
        raise BrokenRuleError(f"{path}: has no `RULE` of type Rule (found {type(rule).__name__}); define one")
    if rule.id != name:
        raise BrokenRuleError(f"{path}: its RULE has the id {rule.id!r}; it must be the file's name, {name!r}")
    return rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return all rules, by id; read once."""
    return discover()


def get(rule_id: str, *, also: Iterable[str] = ()) -> Rule:
    """Return the rule with this id, or once with it; raise UnknownNameError with the names of rules and of `also` if
    there is none."""
    rules = {rule.id: rule for rule in all_rules()}
    known = {**{former: rule for rule in rules.values() for former in rule.formerly}, **rules}
    if rule_id in known:
        return known[rule_id]
    kind = "rule or knob" if also else "rule"
    raise UnknownNameError(f"unknown {kind} {rule_id!r}", [*rules, *also], name=rule_id)


def diagnose(evidence: Evidence) -> Diagnosis:
    """Return the verdicts of all rules on this evidence.

    Settings that were tried are first left aside, which shows what they were tried for.
    """
    if not evidence.fixes:
        return _judged(evidence)
    asked = _judged(replace(evidence, fixes=())).findings
    found = _judged(with_unprompted(evidence, asked))
    # A rule that was undecided may speak once its setting was seen to gain: that setting has then been asked for, too.
    named = [finding for finding in found.findings if finding.rule != faster_setting.RULE.id]
    return _judged(with_unprompted(evidence, [*asked, *named]))


def _judged(evidence: Evidence) -> Diagnosis:
    findings: list[Finding] = []
    abstained: list[Abstention] = []
    silent: list[str] = []
    for rule in all_rules():
        match rule.check(evidence):
            case Finding() as finding:
                findings.append(finding)
            case Abstention() as abstention:
                abstained.append(abstention)
            case None:
                silent.append(rule.id)
    return Diagnosis(findings=tuple(sorted(findings, key=_order)), abstained=tuple(abstained), silent=tuple(silent))


def _order(finding: Finding) -> tuple[bool, float, int, str]:
    """Return a sort key: findings to act on before those to know (`info`), within both the larger gain first."""
    return (
        finding.severity == "info",
        -_rank(finding),
        _SEVERITY_ORDER[finding.severity],
        finding.rule,
    )


def _rank(finding: Finding) -> float:
    return math.pow(worth(finding), CHOICE_EXPONENT if get(finding.rule).is_choice else 1.0)


def worth(finding: Finding) -> float:
    """Return the expected speed-up: midway between the ceiling and its low end, so an uncertain promise counts half."""
    if finding.ceiling is None:
        return WORTH_WITHOUT_CEILING[finding.severity]
    return (finding.ceiling.low + finding.ceiling.speedup) / 2
