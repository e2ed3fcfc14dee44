"""Report of a range test: the suggestion, the range of rates that train, and the curve of the losses."""

from __future__ import annotations

import dataclasses
import math
import shlex
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from ..plural import plural
from ..types import RANGE_TEST_VERSION, RangeTest, RateSuggestion
from . import format
from .terminal import TONES, print_safely

WIDTH, HEIGHT = 60, 10
"""Columns and rows of the curve."""
MOST_RISE = 1.0
"""The curve is cut off where the loss has risen by so many of its falls."""
FITS = 1.5
"""Factor within which the script's rate counts as the suggested one."""


def render_range_test(found: RangeTest, console: Console) -> None:
    """Print the report, without any character that the terminal's encoding lacks."""
    print_safely(list(_parts(found)), console)


def render_range_test_verdict(found: RangeTest, console: Console) -> None:
    """Print the suggestion and the next command alone, for a reader who has the rest as a page."""
    print_safely([*_verdict(found), *_next(found)], console)


def range_test_json(found: RangeTest) -> dict[str, Any]:
    """Return the output of `advisor lr --json`."""
    content = dataclasses.asdict(found)
    return {"version": RANGE_TEST_VERSION, **content, "command": found.command.display}


def _verdict(found: RangeTest) -> Iterator[RenderableType]:
    if failed := failed_line(found):
        yield Text(failed, style=TONES["failed"])
    yield Text(headline(found), style=TONES[tone(found)])


def _parts(found: RangeTest) -> Iterator[RenderableType]:
    yield from _verdict(found)
    if found.sweeps:
        yield Text()
        yield from map(Text, _curve(found))
    if found.bracket is not None:
        yield Text()
        yield from (Text(f"{words:<22}{rate}") for words, rate in bracket_rows(found))
    yield from _next(found)
    yield Text()
    for note in (basis(found), *found.notes):
        yield Text(format.one_line(note), style="dim")


def _next(found: RangeTest) -> Iterator[RenderableType]:
    if command := next_command(found):
        yield Text()
        yield Text(f"next  {command}")


def failed_line(found: RangeTest) -> str:
    """Return what became of a script that failed; empty otherwise."""
    return "" if found.failure is None else f"Your script failed: {format.one_line(found.failure.message)}."


def tone(found: RangeTest) -> str:
    return "good" if found.suggestion is not None else "warning"


def headline(found: RangeTest) -> str:
    """Return the result in one sentence."""
    own = f"The script's learning rate is {_rate(found.script_rate)}"
    suggestion = found.suggestion
    if suggestion is None and found.script_rate is None:
        return f"No learning rate is suggested: {format.one_line(found.abstained)}."
    if suggestion is None:
        return f"{own}. No other is suggested: {format.one_line(found.abstained)}."
    if suggestion.is_wide:
        return _of_wide(found, suggestion)
    interval = f"{_rate(suggestion.rate)} ({_rate(suggestion.low)} to {_rate(suggestion.high)})"
    if _fits(found):
        return f"{own}, and fits: the range test suggests {interval}."
    ratio = suggestion.rate / (found.script_rate or suggestion.rate or 1.0)
    far = f"{ratio:.2g} times as large" if ratio > 1 or not ratio else f"{1 / ratio:.2g} times smaller"
    return f"{own}; the range test suggests {interval}, {far}."


def _of_wide(found: RangeTest, suggestion: RateSuggestion) -> str:
    """Return the result of a test that shows a range and no point in it."""
    own = f"The script's learning rate is {_rate(found.script_rate)}"
    rates = f"rates from {_rate(suggestion.low)} to {_rate(suggestion.high)}"
    if _fits(found):
        return f"{own}, among the {rates}, which the range test does not tell apart."
    side = "below" if (found.script_rate or 0.0) < suggestion.low else "above"
    return (
        f"{own}, {side} all that the range test finds to train: it does not tell {rates} apart, and "
        f"{_rate(suggestion.rate)} is one to begin with."
    )


def _fits(found: RangeTest) -> bool:
    """Return whether the script's rate is near the suggested one, or within its interval."""
    suggestion, rate = found.suggestion, found.script_rate
    if suggestion is None or not rate:
        return False
    near = max(suggestion.rate / rate, rate / suggestion.rate) <= FITS
    return near or suggestion.low <= rate <= suggestion.high


def bracket_rows(found: RangeTest) -> list[tuple[str, str]]:
    """Return the landmarks of the curve, each in words and with its rate; none without a bracket."""
    bracket = found.bracket
    if bracket is None:
        return []
    return [
        ("the loss falls from", _rate(bracket.falls_from)),
        ("falls most at", _rate(bracket.steepest)),
        ("is lowest at", _rate(bracket.valley)),
        ("and diverges from", _rate(bracket.diverges_from)),
    ]


def basis(found: RangeTest) -> str:
    """Return what the result stands on."""
    optimizer = f" of {found.optimizer}" if found.optimizer else ""
    sweeps = plural(len(found.sweeps), "sweep")
    paired = ", each less the loss of the same batch at a rate of 0" if found.reference else ""
    return f"{sweeps} over the rates{optimizer} in {found.updates} updates of the script, from one state{paired}."


def next_command(found: RangeTest) -> str:
    """Return the command that trains with the suggestion; empty where there is none, or the script's rate fits."""
    if found.suggestion is None or _fits(found):
        return ""
    setting = f"learning_rate={_rate(found.suggestion.rate)}"
    return f"advisor run --set {shlex.quote(setting)} {found.command.display}"


def _rate(rate: float | None) -> str:
    return format.NOTHING if rate is None else f"{rate:.2g}"


# --- the curve ------------------------------------------------------------------------------------------------------


def _curve(found: RangeTest) -> Iterator[str]:
    """Yield the lines of a plot: the median loss of the sweeps over the logarithm of the rate."""
    points = mean_curve(found)
    if len(points) < 2:
        return
    low, high = min(loss for _rate, loss in points), max(loss for _rate, loss in points)
    span = (high - low) or 1.0
    rows = [[" "] * len(points) for _ in range(HEIGHT)]
    for column, (_at, loss) in enumerate(points):
        rows[min(HEIGHT - 1, int((high - loss) / span * HEIGHT))][column] = "●"
    yield "loss less that at a rate of 0" if found.reference else "loss"
    for number, row in enumerate(rows):
        label = format.number(high) if number == 0 else format.number(low) if number == HEIGHT - 1 else ""
        yield f"{label:>8} ┤{''.join(row).rstrip()}"
    marks = [" "] * len(points)
    for rate, mark in ((found.script_rate, "^"), (found.suggestion.rate if found.suggestion else None, "*")):
        if rate is not None:
            nearest = min(range(len(points)), key=lambda column: abs(points[column][0] - math.log10(rate)))
            marks[nearest] = mark
    yield f"{'':>8} └{'─' * len(points)}"
    yield f"{'':>10}{''.join(marks).rstrip()}"
    begin, end = (f"{10 ** points[place][0]:.1e}" for place in (0, -1))
    yield f"{'':>10}{begin}{end:>{max(1, len(points) - len(begin))}}  rate"
    marked = "" if found.suggestion is None else "   * in the middle" if found.suggestion.is_wide else "   * suggested"
    yield f"{'':>10}^ the script's{marked}"


def mean_curve(found: RangeTest) -> list[tuple[float, float]]:
    """Return (logarithm of the rate, median loss of the sweeps) at evenly spaced rates, up to where it diverges."""
    ends = [math.log10(rate) for sweep in found.sweeps for rate in (sweep.rates[0], sweep.rates[-1])]
    low, high = min(ends), max(ends)
    width = (high - low) / WIDTH or 1.0
    cells: list[list[float]] = [[] for _ in range(WIDTH)]
    for sweep in found.sweeps:
        paired = len(found.reference) >= len(sweep.losses)
        for place, (rate, loss) in enumerate(zip(sweep.rates, sweep.losses, strict=True)):
            if loss is not None:
                own = found.reference[place] if paired else 0.0
                cells[min(WIDTH - 1, int((math.log10(rate) - low) / width))].append(loss - own)
    points = [(low + (at + 0.5) * width, statistics.median(cell)) for at, cell in enumerate(cells) if cell]
    return _cut(points)


def _cut(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points with losses cut off at a good rise above where they began."""
    if not points:
        return []
    begin, lowest = points[0][1], min(loss for _at, loss in points)
    most = begin + MOST_RISE * max(begin - lowest, 1e-12)
    return [(at, min(loss, most)) for at, loss in points]
