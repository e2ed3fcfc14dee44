"""Human-readable numbers; a value that is not measured or non-finite becomes a dash."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from pathlib import PurePath

from .. import whatif
from ..types import Ceiling, Finding, Place, WhatIf, installed_name
from ..whatif import loader_alone as loader

NOTHING = "–"
# Escape sequences, other control characters, and marks that reverse the text direction: a file name or a line of a
# script may hold them, and none may reach the reader's terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_FINE, _COARSE = 1.95, 100
"""Ratios below the first are shown with two decimals, above the second with none."""
MOST_SPREAD = 4.0
"""Ratio of an interval's upper to its lower end, from which its middle is no estimate."""
_WIDE = 10
"""Upper end above which an interval needs no second decimal."""

PHASE_NAMES = {
    "data_wait": "waiting for data",
    "host_to_device": "copy to device",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "other": "other code",
    "evaluation": "evaluation",
    "checkpoint": "checkpoints",
    "logging": "logging",
    "loader_restart": "loader restarts",
}


def plain(text: str) -> str:
    """Return `text` without anything that a terminal would act on; line ends and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    return " ".join(plain(text).split())


def moment(created: str) -> str:
    """Format a time stamp: 2026-11-22 06:35:19 UTC."""
    return one_line(created).replace("T", " ").replace("Z", " UTC").replace("+00:00", " UTC")


def phase_name(name: str) -> str:
    return PHASE_NAMES.get(name, one_line(name).replace("_", " "))


def what_if_name(name: str) -> str:
    return next((one.title for one in whatif.all_what_ifs() if one.id == name), one_line(name).replace("_", " "))


def _is_finite(value: float) -> bool:
    """Return whether a float can hold the value: a stored file may have any whole number."""
    return abs(value) <= sys.float_info.max


def number(value: float | None, digits: int = 3) -> str:
    """Format with three significant digits and thousands separators: 1,284; 53.1; 0.482."""
    if value is None or not _is_finite(value):
        return NOTHING
    if value == 0:
        return "0"
    if abs(value) >= 1e15:
        return f"{value:.2e}"
    value = float(f"{value:.{digits - 1}e}")  # rounded first, so that 0.9999 counts as 1
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.2e}" if decimals > 6 else f"{value:,.{decimals}f}"


def duration(seconds: float | None) -> str:
    """Format a duration: 118 ms, 1.42 s, 3 min 20 s."""
    if seconds is None or not _is_finite(seconds):
        return NOTHING
    size = abs(seconds)
    if size >= 7200:
        return f"{number(seconds / 3600)} h"
    if size >= 120:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if size >= scale * 0.9995:
            return f"{number(seconds / scale)} {unit}"
    return "0 s" if seconds == 0 else f"{number(seconds / 1e-9)} ns"


def size(count: float | None) -> str:
    """Format a size: 1.28 GiB, 45.0 MiB."""
    if count is None or not _is_finite(count):
        return NOTHING
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(count) >= scale:
            return f"{number(count / scale)} {unit}"
    return f"{count:.0f} B"


def rate(value: float | None, unit: str) -> str:
    """Format with the prefix that leaves one to three digits before the point: 235 GFLOP/s."""
    if value is None or not _is_finite(value):
        return NOTHING
    for prefix, scale in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{number(value / scale)} {prefix}{unit}"
    return f"{number(value)} {unit}"


def percent(fraction: float | None) -> str:
    """Format a fraction: 62%, 0.4%, < 0.1%."""
    if fraction is None or not _is_finite(fraction):
        return NOTHING
    value = fraction * 100
    if 0 < value < 0.1:
        return "< 0.1%"
    return f"{value:.1f}%" if 0 < abs(value) < 9.95 and round(value, 1) % 1 else f"{value:.0f}%"


def worst(findings: Sequence[Finding]) -> Finding | None:
    """Return the first finding that asks for action; None without one."""
    return next((finding for finding in findings if finding.severity != "info"), None)


def headline(finding: Finding) -> str:
    """Format what a script with this finding does, as the words after "Your script"; empty if the rule has none."""
    return one_line(finding.headline).replace("{share}", percent(finding.share))


def times(ratio: float | None) -> str:
    """Format a ratio: 2.4×; two decimals for a small gain, where they matter."""
    if ratio is None or not _is_finite(ratio):
        return NOTHING
    if ratio >= _COARSE:
        return f"{ratio:,.0f}×"
    return f"{ratio:.2f}×" if ratio < _FINE else f"{ratio:.1f}×"


def interval(low: float | None, high: float | None) -> str:
    """Format an interval: 2.2–2.6; 1.94–2.05 if two decimals matter at one of its ends."""
    if low is not None and high is not None and 0 < low < _FINE and low <= high < _WIDE:
        return f"{low:.2f}–{high:.2f}"
    return f"{times(low)[:-1] or NOTHING}–{times(high)[:-1] or NOTHING}"


def ceiling_text(ceiling: Ceiling) -> str:
    """Describe a ceiling: 2.4× (measured, 2.2–2.6), 1.9× (measured fix, 1.8–2.0), or about 1.22×, at most 1.55× (from
    its share, not measured)."""
    if ceiling.basis != "share":
        return f"{times(ceiling.speedup)} ({ceiling.basis}, {interval(ceiling.low, ceiling.high)})"
    return f"{estimated(ceiling)} (estimated from its share of the time)"


def estimated(ceiling: Ceiling) -> str:
    """Describe a ceiling that follows from a share of the time: about 1.22×, at most 1.55×."""
    return f"about {times(ceiling.speedup)}, at most {times(ceiling.high)}"


def what_if_text(what_if: WhatIf) -> str:
    """Describe a what-if: 2.4× as fast (2.2–2.6); no estimate if the interval is too wide for one."""
    if not what_if.low > 0 or what_if.high / what_if.low > MOST_SPREAD:
        return f"too noisy to tell ({interval(what_if.low, what_if.high)})"
    return f"{times(what_if.speedup)} as fast ({interval(what_if.low, what_if.high)})"


def speed_ups(what_ifs: Sequence[WhatIf]) -> list[WhatIf]:
    """Return what-ifs that predict a gain of the loop."""
    drains = {one.id for one in whatif.all_what_ifs() if one.drain is not None}
    return [one for one in what_ifs if one.name not in drains]


def loader_alone(what_ifs: Sequence[WhatIf]) -> str | None:
    """Describe the loader's rate alone: 48.0× (44.0–52.0) the loop's batches, no gain of it; None if not measured."""
    one = next((one for one in what_ifs if one.name == loader.WHAT_IF.id), None)
    if one is None:
        return None
    ratio = f"{times(one.speedup)} ({interval(one.low, one.high)})"
    return f"alone it could deliver {ratio} as many batches as the loop uses"


def short_path(path: str, cwd: str) -> str:
    """Return the path relative to the script's start folder if below it; an installed file as its package names it."""
    installed = installed_name(path)
    if installed:
        return one_line(installed)
    try:
        return one_line(str(PurePath(path).relative_to(cwd))) if cwd else one_line(path)
    except ValueError:
        return one_line(path)


def place_text(place: Place, cwd: str) -> str:
    """Describe a place: train.py:17 in Photos.__getitem__, with the library that owns the line or that it calls."""
    function = f" in {one_line(place.function)}" if place.function else ""
    library = one_line(place.library)
    whose = "" if not library else f" ({library})" if place.in_library else f" (calls {library})"
    return f"{short_path(place.file, cwd)}:{place.line}{function}{whose}"
