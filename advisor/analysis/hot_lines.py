"""Lines that the loop and the loader spend their time on."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import wire
from ..runtime.session_result import SessionResult
from ..types import HotLine, Workload
from ..whatif import loader_alone
from .counted import Counted
from .growth import risen_lines
from .profile_plan import LATER, first_baseline, measured
from .summary import off_step, phases

MOST_LINES = 40


def lines(result: SessionResult, counted: Counted, workload: Workload, read_line: Any) -> tuple[HotLine, ...]:
    """Return user lines by their share of the loop, and dataset lines by their share of the loader's own time.

    With an accelerator, the interpreter stands where it waits for the device (`loss.item()`) while the device works
    for another phase. The samples of a phase then share the time that the device spent on it.
    """
    own = measured(result.outcomes, "lines") or first_baseline(result.outcomes)
    inside = result.outcomes.get(f"{loader_alone.WHAT_IF.id} inside")
    found: list[HotLine] = []
    if own is not None:
        hot = _hot(own.lines, own.hits, "loop", read_line)
        found += hot if workload.device == "cpu" else _by_phase(hot, counted)
    if isinstance(inside, wire.WindowDone):
        found += _hot(inside.lines, inside.hits, "loader", read_line)
    return tuple(sorted(found, key=lambda line: -line.share)[:MOST_LINES])


def risen(result: SessionResult, read_line: Any) -> tuple[HotLine, ...]:
    """Return the lines whose time rose until they were sampled once more; empty if that was not done."""
    early, late = first_baseline(result.outcomes), measured(result.outcomes, LATER)
    if early is None or late is None:
        return ()
    before, after = (_hot(done.lines, done.hits, "loop", read_line) for done in (early, late))
    return risen_lines(before, statistics.fmean(early.wall_s), after, statistics.fmean(late.wall_s))


def _hot(sampled: Sequence[wire.SampledLine], hits: int, where: Any, read_line: Any) -> list[HotLine]:
    return [
        HotLine(
            file=line.file,
            line=line.line,
            function=line.function,
            share=line.hits / hits,
            phase=line.phase,
            kind=line.kind,  # type: ignore[arg-type]
            where=where,
            text=read_line(line.file, line.line),
            library=line.library,
        )
        for line in sampled
        if hits
    ]


def _by_phase(sampled: Sequence[HotLine], counted: Counted) -> list[HotLine]:
    inside = sum(counted.in_step_s) / counted.loop_s
    shares = {name: share * inside for name, share in phases(counted).items()} | off_step(counted)
    seen: dict[str, float] = defaultdict(float)
    for line in sampled:
        seen[line.phase] += line.share
    return [
        replace(line, share=line.share * min(1.0, shares.get(line.phase, 1.0) / seen[line.phase])) for line in sampled
    ]
