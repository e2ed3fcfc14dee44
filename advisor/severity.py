"""Severity of a finding, from the share of the loop that could be saved."""

from __future__ import annotations

from .types import Severity

WARNING_SHARE = 0.08
"""Share of the loop from which a finding is worth an interruption: peers start at 5 to 10%. Two runs of one script
differ by a few per cent, so a smaller gain could hardly be shown."""
CRITICAL_SHARE = 0.30
"""Share of the loop from which this should be fixed first: the loop could run 1.4 times as fast."""


def lost_share(speedup: float) -> float:
    """Return the share of the time that a speed-up removes; 0 if there is no speed-up."""
    return 1 - 1 / speedup if speedup > 1 else 0.0


def severity_of(share: float, *, least: Severity = "info") -> Severity:
    """Return the severity of a finding from the share of the loop that could be saved."""
    if share >= CRITICAL_SHARE:
        return "critical"
    return "warning" if share >= WARNING_SHARE else least
