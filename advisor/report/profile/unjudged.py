"""Rules that could not judge, with their reasons: one line for all rules of a reason, the largest share seen first."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Abstention, Profile
from .. import format

MOST_NAMES = 4
"""Rules of a reason that are named, beside those that have seen a share."""
STANDS_OUT = 0.05
"""Share of the time, seen in updates that were too few to judge, that a reader would miss an explanation of."""


def unjudged(profile: Profile) -> Iterator[str]:
    """Yield a line for each reason: input_bound (22% so far), gc_pauses, 3 more: only 5 updates were counted."""
    by_reason: dict[str, list[Abstention]] = {}
    for one in sorted(profile.abstained, key=_seen, reverse=True):
        by_reason.setdefault(one.why, []).append(one)
    for why, rules in by_reason.items():
        yield f"{', '.join(_names(rules))}: {format.one_line(why).rstrip('.')}"


def _names(rules: list[Abstention]) -> Iterator[str]:
    named = max(MOST_NAMES, sum(_seen(one) >= STANDS_OUT for one in rules))
    for one in rules[:named]:
        so_far = f" ({format.percent(_seen(one))} so far)" if _seen(one) >= STANDS_OUT else ""
        yield f"{format.one_line(one.rule)}{so_far}"
    if len(rules) > named:
        yield f"{len(rules) - named} more"


def _seen(one: Abstention) -> float:
    return one.seen_share or 0.0
