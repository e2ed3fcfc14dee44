"""Python's garbage collector takes part of the loop."""

from __future__ import annotations

from ..types import CallSite, Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import call, healthy_cpu, healthy_cuda, line
from ._measured_fix import gains
from ._read import call_places, calls, library_of_calls, line_places, loop_lines, percent, times, total_share

MIN_GC_SHARE = 0.05
"""Share from which it is reported: two or three lines remove it (`gc.freeze`, a call removed)."""


def judge(evidence: Evidence) -> Judgement:
    lines = loop_lines(evidence, ("gc",))
    measured = evidence.system.gc_fraction
    if measured is None and not lines:
        return Undecided(why="the garbage collector's time was not measured")
    share = max(measured or 0.0, total_share(lines))
    if share < MIN_GC_SHARE:
        return None
    sites = calls(evidence, ("gc.collect",))
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"Python's garbage collector takes {percent(share)} of the loop{_count_words(evidence)}"
        f"{_call_words(sites)}.",
        advice=_advice(sites),
        where=call_places(sites) or line_places(lines),
        ceiling=Ceiling.from_share(share),
        fixed_by="" if sites or not gains(evidence, "gc") else "gc",
        library=library_of_calls(sites),
    )


def _count_words(evidence: Evidence) -> str:
    count = evidence.system.gc_collections_per_update
    return f", with {count:.3g} {'collection' if f'{count:.3g}' == '1' else 'collections'} per update" if count else ""


def _call_words(sites: tuple[CallSite, ...]) -> str:
    if not sites:
        return ""
    library = library_of_calls(sites)
    by = f" by {library}" if library else ""
    return f"; `gc.collect()` is called {times(sum(site.calls_per_update for site in sites))} per update{by}"


def _advice(sites: tuple[CallSite, ...]) -> str:
    if not sites:
        return (
            "Call `gc.freeze()` once the data is loaded, store records in arrays instead of lists of objects, or "
            "collect only at the end of an epoch (`gc.disable()` and `gc.collect()`)."
        )
    library = library_of_calls(sites)
    return f"Make {library} collect less often." if library else "Remove `gc.collect()` from the loop."


RULE = Rule(
    id="gc_pauses",
    title="Python's garbage collector takes part of the loop",
    headline="spends {share} of its time in Python's garbage collector",
    looks_at="The time between the collector's start and stop callbacks, traced calls of `gc.collect`, and sampled "
    "lines.",
    thresholds=("MIN_GC_SHARE", "CRITICAL_SHARE"),
    source="Based on msprof-analyze (collections above 1 ms); here their share of the loop counts.",
    url="https://docs.python.org/3/library/gc.html",
    judge=judge,
    examples=(
        Example(
            name="gc.collect() in every step",
            evidence=healthy_cpu(
                system={"gc_fraction": 0.4, "gc_collections_per_update": 1.0},
                trace={"calls": (call("gc.collect", seconds_per_update=0.04),)},
            ),
            fires=True,
        ),
        Example(
            name="millions of records in lists, on an accelerator",
            evidence=healthy_cuda(system={"gc_fraction": 0.12}),
            fires=True,
        ),
        Example(
            name="collections sampled as lines", evidence=healthy_cpu(lines=(line("gc", 0.2, line=70),)), fires=True
        ),
        Example(name="0.4% of the loop", evidence=healthy_cpu(), fires=False),
        Example(
            name="gc.collect() once in a hundred updates",
            evidence=healthy_cpu(
                system={"gc_fraction": 0.01}, trace={"calls": (call("gc.collect", calls_per_update=0.01),)}
            ),
            fires=False,
        ),
        Example(name="not measured", evidence=healthy_cpu(system={"gc_fraction": None}, lines=()), fires="abstains"),
    ),
)
