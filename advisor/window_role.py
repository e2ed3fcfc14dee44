"""Purposes of windows, for the controller that plans them and the agent that runs them."""

from __future__ import annotations

from enum import Enum


class WindowRole(str, Enum):
    """Purpose of a window in its plan."""

    PROFILE = "profile"
    """Baseline for steps, phases and lines, long enough to find a steady state."""
    BASELINE = "baseline"
    """Baseline between other windows, which are compared with it."""
    BARE = "bare"
    WHAT_IF = "what_if"
    FIX = "fix"
    """Setting that a profile tries, for a finding or unprompted."""
    TRIAL = "trial"
    REFERENCE = "reference"
    """The best configuration so far, or the baseline beside a fix, which windows beside it are compared with."""
    FINAL = "final"
    """Fresh window of a finalist."""
    ABLATION = "ablation"
    """All settings of the winner."""
    LEFT_OUT = "left_out"
    """The winner's settings without one knob."""
    OBSERVATION = "observation"
    """Compared with no neighbour: traces, drains, checks, and windows of processes that are compared as a whole."""
