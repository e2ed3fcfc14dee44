"""Findings that no setting changes: what is left to the script beside the settings found, or instead of them."""

from __future__ import annotations

from ...types import Finding, TuneResult
from .. import format
from ..profile.headline import finding_sentence, inside

ONLY_THE_SCRIPT = "no setting changes that, only the script"
SPEED = "throughput"
"""Objective that the findings of a profile are about."""


def instead_of_settings(result: TuneResult) -> str:
    """Return the verdict of a search without a gain whose first finding only the script can change; else empty."""
    first = format.worst(result.profile.findings)
    if first is None or first.knobs or result.recommendation.config.settings or result.objective.name != SPEED:
        return ""
    return f"{_sentence(first)}; {ONLY_THE_SCRIPT}."


def beside_settings(result: TuneResult) -> str:
    """Return in a sentence the first finding that only the script can change; empty if there is a setting for each."""
    first = next((one for one in result.profile.findings if one.severity != "info" and not one.knobs), None)
    return "" if first is None else f"To be changed by hand: {inside(_sentence(first))}."


def _sentence(finding: Finding) -> str:
    return format.one_line(finding_sentence(finding)).rstrip(".")
