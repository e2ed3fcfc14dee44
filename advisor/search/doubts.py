"""Knobs whose opening hangs on noise: the next profile of the same script may open or close them."""

from __future__ import annotations

from .. import rules
from ..severity import WARNING_SHARE
from ..types import Diagnosis

LEAST_SEEN = 0.05
"""Share of a cost in a few updates from which a knob for it is worth a trial, though its rule cannot judge yet."""


def why_it_may_close(name: str, diagnosis: Diagnosis) -> str:
    """Return why the next profile may not open the knob; "" if a clear finding opens it, or a choice of the user."""
    findings = [finding for finding in diagnosis.findings if name in finding.knobs]
    if findings:
        if not all(0 < finding.share < WARNING_SHARE for finding in findings):
            return ""
        largest = max(findings, key=lambda finding: finding.share)
        least = f"less than {WARNING_SHARE:.0%} comes and goes with the noise"
        return f"{largest.rule} is {largest.share:.1%} of the time, and {least}"
    for one in diagnosis.abstained:
        if (one.seen_share is None or one.seen_share >= LEAST_SEEN) and name in rules.get(one.rule).helpful_knobs:
            return f"{one.rule} could not judge; where it can, it may find no such cost"
    return ""


def why_it_may_open(name: str, diagnosis: Diagnosis) -> str:
    """Return why the next profile may open a knob that no finding suggests; "" if nothing was seen of it."""
    for one in diagnosis.abstained:
        if one.seen_share and one.seen_share < LEAST_SEEN and name in rules.get(one.rule).helpful_knobs:
            return f"{one.rule} has seen {one.seen_share:.1%} of the time so far, in too few updates to judge"
    return ""
