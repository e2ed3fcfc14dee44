"""The real search with its windows, rounds and profile as small as they go: for tests of what is around them.

The search then ends because it has tried everything, not because its time is up: give it a budget that is never met.
Run as a script it is the whole command: `thin.py tune …`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor import search
from advisor.analysis import profile_plan
from advisor.verification import windows

SETTINGS = search.SearchSettings(
    profile_fraction=0.02,
    window_s=0.3,
    long_window_s=0.3,
    least_updates=4,
    most_trials=8,
    max_script_runs=12,
    final_rounds=1,
    most_final_rounds=1,
    finalists=1,
    floor=0.05,
    verify_rounds=3,
)
PROFILE_S = {"FIRST_S": 0.5, "FIRST_MAX_S": 2.0, "DRAIN_S": 0.2, "INSIDE_DRAIN_S": 0.2}
PROCESS_S = 0.5
"""That a fresh process of a verification is measured for."""
COMMAND = (sys.executable, str(Path(__file__)))
"""In place of `python -m advisor`."""


def make_thin(patch: Callable[[Any, str, Any], None]) -> None:
    """`patch` sets an attribute, like pytest's `monkeypatch.setattr`."""
    for name, seconds in PROFILE_S.items():
        patch(profile_plan, name, seconds)
    for name in ("WINDOW_S", "CLEAR_WINDOW_S"):
        patch(windows, name, PROCESS_S)
    named = search.read
    patch(search, "read", lambda name: replace(SETTINGS, open=named(name).open))


if __name__ == "__main__":
    from advisor.__main__ import main

    make_thin(setattr)
    main()
