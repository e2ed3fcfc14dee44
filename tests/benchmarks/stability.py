"""Is the same script told the same each time?

    python tests/benchmarks/stability.py                           four labelled scripts, ten profiles each
    python tests/benchmarks/stability.py --busy tree_mask --times 10   one of them, beside a program that computes

The scripts are profiled in turn, as `diagnosis.py` does it. A profile agrees with the others if its first finding is
the one that most of them have, and its ceiling's interval holds the median of theirs (without a finding: if most have
none). One whose report says that the machine is too busy is counted apart: it asks to be repeated.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _common import machine, options, publish, say, spread, table
from diagnosis import Diagnosed, diagnose, is_wanted, labelled

USUAL = ("image_augment", "tree_mask", "two_tower_fp32", "healthy_conv")
"""One that waits, one with a line of its own, one whose fix is tried, and one with nothing."""
BUSY = "import itertools\nfor _ in itertools.count(): pass"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names of labelled scripts")
    parser.add_argument("--times", type=int, default=10, help="profiles of each script")
    parser.add_argument("--busy", action="store_true", help="beside a program that keeps one CPU busy")
    arguments = parser.parse_args()
    before = machine()
    labels = labelled.labels_of(labelled.OWN, labelled.REPORTS)
    words = arguments.words or USUAL
    chosen = {name: label for name, label in labels.items() if is_wanted(name, words)}
    with tempfile.TemporaryDirectory(prefix="advisor-stability-") as work, beside(arguments.busy):
        arguments.work = Path(work)
        profiles: dict[str, list[Diagnosed]] = {name: [] for name in chosen}
        for number in range(arguments.times):
            for name, label in chosen.items():
                found = diagnose(name, label, arguments)
                profiles[name].append(found)
                say(f"{number + 1:3} {name:28} {told(found)}")
    what = "beside a program that keeps one CPU busy" if arguments.busy else "with nothing beside them"
    rows = [row(name, found) for name, found in profiles.items()]
    header = ("script", "first finding", "agree", "too busy", "ceilings, the first finding's", "others")
    parts = [f"{arguments.times} profiles of each script, {what}.", table(header, rows)]
    name = "stability_busy" if arguments.busy else "stability"
    keep = not arguments.words and not arguments.no_result
    publish(name, "Repeated profiles of the same scripts", before, parts, keep=keep)


@contextmanager
def beside(wanted: bool) -> Iterator[None]:
    """Keep one CPU busy meanwhile."""
    program = subprocess.Popen([sys.executable, "-c", BUSY]) if wanted else None
    try:
        yield
    finally:
        if program is not None:
            program.kill()
            program.wait()


def first_of(found: Diagnosed) -> str:
    return found.loud[0] if found.loud else "–"


def ceiling_of(found: Diagnosed) -> Mapping[str, Any] | None:
    """Return the ceiling of its first finding that asks for action."""
    rule = first_of(found)
    ceilings = (one["ceiling"] for one in found.findings if one["rule"] == rule)
    return next(ceilings, None)


def told(found: Diagnosed) -> str:
    ceiling = ceiling_of(found)
    gain = "" if ceiling is None else f" {ceiling['speedup']:.2f} ({ceiling['low']:.2f}–{high(ceiling):.2f})"
    busy = " busy" if found.busy else ""
    return f"{first_of(found)}{gain}{busy}"


def high(ceiling: Mapping[str, Any]) -> float:
    return float("inf") if ceiling["high"] is None else float(ceiling["high"])


def usual_of(profiles: Sequence[Diagnosed]) -> tuple[str, list[float]]:
    """Return the first finding of most profiles, and its ceilings."""
    rule = Counter(map(first_of, profiles)).most_common(1)[0][0]
    ceilings = [ceiling_of(one) for one in profiles if first_of(one) == rule]
    return rule, [ceiling["speedup"] for ceiling in ceilings if ceiling is not None]


def agreeing(profiles: Sequence[Diagnosed]) -> list[bool]:
    """Return of each profile whether it says what most say."""
    usual, gains = usual_of(profiles)
    agree = []
    for one in profiles:
        ceiling = ceiling_of(one)
        inside = ceiling is None or not gains or ceiling["low"] <= statistics.median(gains) <= high(ceiling)
        agree.append(first_of(one) == usual and inside)
    return agree


def row(name: str, profiles: Sequence[Diagnosed]) -> list[str]:
    judged = [one for one in profiles if not one.busy] or list(profiles)
    agree = agreeing(judged)
    usual, gains = usual_of(judged)
    others = Counter(told(one) for one, alike in zip(judged, agree, strict=True) if not alike)
    return [
        name,
        usual,
        f"{sum(agree)} of {len(judged)}",
        str(sum(one.busy for one in profiles)),
        spread(gains) if gains else "–",
        ", ".join(f"{text} ×{count}" if count > 1 else text for text, count in others.items()) or "–",
    ]


if __name__ == "__main__":
    main()
