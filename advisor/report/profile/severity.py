"""Cost of a finding in words, and what its severity goes by."""

from __future__ import annotations

from collections.abc import Sequence

from ...severity import CRITICAL_SHARE, WARNING_SHARE
from ...types import Finding, Profile
from .. import format


def cost(finding: Finding, profile: Profile) -> str:
    """Return the finding's share of the time, and its time for each update: a share grows as other costs are fixed."""
    seconds = profile.cost_s(finding)
    of_update = "" if seconds is None else f", {format.duration(seconds)} per update"
    return f"{format.percent(finding.share)} of the time{of_update}"


def severity_basis(findings: Sequence[Finding]) -> str | None:
    """Say what the severities go by; None if no finding is a cost that a reader may compare."""
    if not any(finding.share > 0 and finding.severity != "info" for finding in findings):
        return None
    return (
        f"Severity goes by the share of the time that a fix can save: critical from {format.percent(CRITICAL_SHARE)}, "
        f"warning from {format.percent(WARNING_SHARE)}. Once one cost is fixed, the others are larger shares of a "
        "shorter update: compare their times."
    )
