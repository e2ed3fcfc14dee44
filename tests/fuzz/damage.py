"""Random damage: to plain values, to bytes; and a limit on the time of a random test."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("ADVISOR_FUZZ_S", "5"))
"""Time of one random test; each has its own."""
EXAMPLES_AT_ONCE = 25
"""Examples between two looks at the clock."""

_NAMES = st.sampled_from(
    ["version", "settings", "found", "verdict", "arguments", "command", "kind", "", "\x1b[2J", "é"]
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, math.nan, math.inf, -math.inf, 1e308, -0.0, 5e-324]),
    st.floats(),
)
_STEERING = ["", "x" * 5000, "\x1b]0;t\x07", "\u202e", "../../etc", "{{7*7}}", "<script>", "\ud800", "%s%n", "a\nb"]
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(_STEERING))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(_NAMES, st.text(max_size=8)), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def damaged_value(draw: st.DrawFn, whole: Any) -> Any:
    """Draw a copy of a JSON value in which one to three places are replaced, removed or repeated."""
    value = whole
    for _ in range(draw(st.integers(1, 3))):
        value = _damaged_once(draw, value)
    return value


def _damaged_once(draw: st.DrawFn, value: Any) -> Any:
    inside = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    # Descends most of the time, so that deep places are met as well.
    if inside and draw(st.integers(0, 9)):
        place = draw(st.sampled_from(list(inside)))
        new = _damaged_once(draw, value[place])
        if isinstance(value, dict):
            return {**value, place: new}
        return [*value[:place], new, *value[place + 1 :]]
    return draw(_of_the_same_kind(value) if draw(st.integers(0, 3)) else VALUES)


def _of_the_same_kind(value: Any) -> st.SearchStrategy[Any]:
    """Return values that a check of types lets through."""
    match value:
        case bool():
            return st.booleans()
        case int() | float():
            return NUMBERS
        case str():
            return TEXTS
        case list():
            return st.sampled_from([value[1:], value[:-1], value * 3])
        case _:
            return st.just({name: value[name] for name in list(value)[1:]} if value else value)


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a copy of the bytes that is cut, or in which some are changed, added or left out."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["change", "add", "leave out", "cut"])):
            case "change" if data:
                data[place] = draw(st.integers(0, 255))
            case "add":
                data[place:place] = draw(st.binary(max_size=12))
            case "leave out":
                del data[place : place + draw(st.integers(1, 40))]
            case "cut":
                del data[place:]
    return bytes(data)


def try_many(strategy: st.SearchStrategy[Any], example: Callable[[Any], None]) -> None:
    """Run `example` on drawn values, a few dozen at a time, until the time is over; at least once."""
    some = settings(
        max_examples=EXAMPLES_AT_ONCE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=set(Phase) - {Phase.explain},
        report_multiple_bugs=False,
    )
    until_s = time.monotonic() + SECONDS
    while True:
        some(given(strategy)(example))()
        if time.monotonic() > until_s:
            return
