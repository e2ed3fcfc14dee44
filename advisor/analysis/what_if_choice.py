"""Choice of the what-ifs of a profile: those that apply, and, where time is short, those that can show anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .. import whatif
from ..types import Workload
from .counted import Counted
from .pace import MOST_ROUNDS, Pace

WORTH_SHARE = 0.04
"""Share of the loop below which no rule judges what a what-if takes away."""


def applying(workload: Workload) -> list[whatif.WhatIf]:
    """Return the what-ifs that can be tried on this script."""
    return [what_if for what_if in whatif.all_what_ifs() if what_if.applies(workload) is None]


def safe(what_ifs: Sequence[whatif.WhatIf]) -> list[whatif.WhatIf]:
    """Return those of them that are entered and left, and that no script breaks on."""
    return [what_if for what_if in what_ifs if what_if.enter is not None and not what_if.may_break]


def worth_time(what_ifs: Sequence[whatif.WhatIf], workload: Workload, first: Counted) -> list[whatif.WhatIf]:
    """Return those of them whose gain is not bounded by a small share of the loop in its first window."""
    bounds = [(what_if, what_if.at_most(workload)) for what_if in what_ifs]
    return [what_if for what_if, phase in bounds if phase is None or first.fraction(phase) >= WORTH_SHARE]


def safe_rounds(
    workload: Workload, first: Counted, paced: Callable[[Sequence[whatif.WhatIf]], tuple[Pace, int]]
) -> tuple[list[whatif.WhatIf], Pace, int]:
    """Return the what-ifs that no script breaks on, the length of their windows and the number of their rounds."""
    tried = applying(workload)
    pace, rounds = paced(tried)
    if rounds < MOST_ROUNDS:
        tried = worth_time(tried, workload, first)
        pace, rounds = paced(tried)
    return safe(tried), pace, rounds


def can_show(what_if: whatif.WhatIf, calls: Collection[str] | None) -> bool:
    """Return True unless the traced `calls` show that the what-if changes nothing; None if nothing was traced yet."""
    return what_if.worthwhile is None or (calls is not None and what_if.worthwhile(calls) is None)
