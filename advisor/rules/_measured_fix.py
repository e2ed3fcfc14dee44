"""Findings corrected by what their fixes gave when a profile tried them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import knobs
from ..severity import WARNING_SHARE, lost_share, severity_of
from ..types import Ceiling, Evidence, Finding, MeasuredFix, Severity

WIDEST = 2.0
"""Upper over lower end of a fix's interval, above which it says nothing unless all of it is a gain."""
NO_GAIN = 1.02
"""Bound of a gain: 2% is the least noise floor of a comparison."""
RAISING_SHARE = 0.20
"""Share of the loop that one setting must save to make a finding more severe than its rule says."""

_ORDER: tuple[Severity, ...] = ("info", "warning", "critical")


def severity_of_fix(fix: MeasuredFix, least_saved: float) -> Severity:
    """Return the severity by what the fix saved; `least_saved` is the share of the loop that makes it a warning."""
    saved = lost_share(fix.expected) if fix.low > 1 else 0.0
    return severity_of(saved) if saved >= least_saved else "info"


def corrected(
    finding: Finding, fixes: Sequence[MeasuredFix], *, fixed_by: str = "", least_saved: float = WARNING_SHARE
) -> Finding | None:
    """Return the finding with the best of its settings that were tried.

    The knob `fixed_by` is the whole fix: its gain is then the finding's ceiling and severity, and if it gave nothing
    there is no finding. Any other setting only shows that at least so much can be gained.
    """
    mine = [fix for fix in fixes if fix.knob in finding.knobs and _says_something(fix)]
    if finding.ceiling is None or not mine:
        return finding
    whole = next((fix for fix in mine if fix.knob == fixed_by), None)
    if whole is not None and whole.high < NO_GAIN:
        return None
    fix = whole or max(mine, key=lambda one: one.expected)
    found = replace(finding, fix=fix, evidence=f"{finding.evidence} {in_words(fix)}")
    if whole is not None:
        share = max(finding.share, lost_share(whole.low))  # so much of the time went at least
        severity = severity_of_fix(whole, least_saved)
        return replace(found, ceiling=Ceiling.from_fix(whole), severity=severity, share=share)
    severity = max(finding.severity, severity_of_fix(fix, RAISING_SHARE), key=_ORDER.index)
    return replace(found, ceiling=_raised(finding.ceiling, fix), severity=severity)


def _says_something(fix: MeasuredFix) -> bool:
    return fix.low > NO_GAIN or fix.high <= WIDEST * fix.low


def _raised(ceiling: Ceiling, fix: MeasuredFix) -> Ceiling:
    """Return the ceiling, which is no lower than what a setting has given."""
    if fix.low <= 1 or fix.speedup <= ceiling.speedup:
        return ceiling
    measured = Ceiling.from_fix(fix)
    return replace(measured, high=max(measured.high, ceiling.high))


def in_words(fix: MeasuredFix) -> str:
    """Describe the gain of a setting in a sentence."""
    later = " from the second epoch on" if knobs.get(fix.knob).from_second_epoch else ""
    return (
        f"With {fix.setting}, tried for a few windows, it ran {fix.speedup:.2f} times as fast{later} "
        f"({fix.low:.2f}–{fix.high:.2f})."
    )


def gains(evidence: Evidence, knob: str) -> bool:
    """Return whether a setting of this knob was tried and gained for certain."""
    return any(fix.knob == knob and fix.low > 1 for fix in evidence.fixes)


def with_unprompted(evidence: Evidence, findings: Sequence[Finding]) -> Evidence:
    """Return the evidence in which each fix knows if one of these findings, of a cost in time, names its knob."""
    named = {name for finding in findings if finding.ceiling is not None for name in finding.knobs}
    return replace(evidence, fixes=tuple(replace(fix, prompted=fix.knob in named) for fix in evidence.fixes))
