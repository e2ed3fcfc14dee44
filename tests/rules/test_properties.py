"""Whatever was or was not measured, no rule crashes, and its numbers are in order."""

from __future__ import annotations

import functools
import types
import typing
from dataclasses import fields, is_dataclass, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.rules import all_rules, diagnose
from advisor.rules._examples import call, evolve, gpu, healthy_cpu, line, train_loader, what_if
from advisor.rules._read import MAX_PLACES, call_places, line_places
from advisor.types import OFF_STEP, PHASES, CallSite, Evidence, Finding, HotLine

EXAMPLES = tuple(example.evidence for rule in all_rules() for example in rule.all_examples)
RATES = st.floats(min_value=0, max_value=1e18, allow_nan=False)
SHARES = st.floats(min_value=0, max_value=1)


hints_of = functools.cache(typing.get_type_hints)


def optional_paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every field in the tree of a value that may be None."""
    found = []
    hints = hints_of(type(value))
    for field in fields(value):
        here = (*path, field.name)
        if type(None) in typing.get_args(hints[field.name]) and isinstance(hints[field.name], types.UnionType):
            found.append(here)
        child = getattr(value, field.name)
        if is_dataclass(child):
            found.extend(optional_paths(child, here))
    return found


def without(value: Any, path: tuple[str, ...]) -> Any:
    child = getattr(value, path[0])
    if child is None:
        return value
    return replace(value, **{path[0]: None if len(path) == 1 else without(child, path[1:])})


def numbers_are_in_order(finding: Finding) -> None:
    assert 0 <= finding.share <= 1
    if finding.ceiling is not None:
        assert 1 <= finding.ceiling.low <= finding.ceiling.speedup <= finding.ceiling.high


def places_are_named_once(finding: Finding) -> None:
    places = [(place.file, place.line, place.function) for place in finding.where]
    assert len(set(places)) == len(places)
    assert all(place.share is None or 0 <= place.share <= 1 for place in finding.where)


def check(evidence: Evidence) -> None:
    for finding in diagnose(evidence).findings:
        numbers_are_in_order(finding)
        places_are_named_once(finding)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), evidence=st.sampled_from(EXAMPLES))
def test_anything_may_be_missing(data: st.DataObject, evidence: Evidence) -> None:
    paths = optional_paths(evidence)
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=len(paths), unique=True)):
        evidence = without(evidence, path)
    check(evidence)


def test_everything_may_be_missing_at_once() -> None:
    for evidence in EXAMPLES:
        bare = evidence
        for path in optional_paths(bare):
            bare = without(bare, path)
        check(replace(bare, phases={}, off_step={}, lines=(), what_ifs={}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    evidence=st.sampled_from(EXAMPLES),
    weights=st.lists(SHARES, min_size=len(PHASES), max_size=len(PHASES)),
    beside=st.dictionaries(st.sampled_from(OFF_STEP), SHARES),
    updates=st.integers(0, 10_000),
    mean_s=st.floats(min_value=0, max_value=1e4),
    speedups=st.lists(st.floats(min_value=0.01, max_value=1e4), min_size=4, max_size=4),
    spread=st.floats(min_value=0, max_value=3),
    workers=st.integers(0, 512),
    cpus=st.floats(min_value=0.01, max_value=1024),
    threads=st.integers(0, 4096),
    ranks=st.integers(0, 64),
    line_share=SHARES,
    rate=RATES,
)
def test_any_numbers_in_range(
    evidence: Evidence,
    weights: list[float],
    beside: dict[str, float],
    updates: int,
    mean_s: float,
    speedups: list[float],
    spread: float,
    workers: int,
    cpus: float,
    threads: int,
    ranks: int,
    line_share: float,
    rate: float,
) -> None:
    total = sum(weights) or 1.0
    names = ("no_data_wait", "loader_alone", "no_optimizer", "micro_batch_doubled")
    measured = {}
    for name, speedup in zip(names, speedups, strict=True):
        measured.update(what_if(name, speedup, speedup / (1 + spread), speedup * (1 + spread)))
    kinds = ("python", "torch", "io", "copy", "sync", "logging", "checkpoint", "gc", "sleep")
    check(
        evolve(
            replace(evidence, phases={name: weight / total for name, weight in zip(PHASES, weights, strict=True)}),
            {
                "off_step": beside,
                "steps": {"updates": updates, "mean_s": mean_s},
                "what_ifs": measured,
                "hardware": {"cpu": {"usable_cpus": cpus}, "accelerators": (gpu(),)},
                "workload": {
                    "loaders": (train_loader(num_workers=workers, persistent_workers=False),),
                    "flags": {"num_threads": threads},
                    "world_size": ranks,
                },
                "lines": tuple(line(kind, line_share) for kind in kinds),
                "compute": {"achieved_flops_per_s": rate},
            },
        )
    )


KINDS = st.sampled_from(("python", "torch", "io", "copy", "sync", "logging", "checkpoint", "gc", "sleep", "profiler"))
LINES = st.lists(
    st.builds(
        line,
        KINDS,
        st.floats(min_value=0, max_value=0.3),
        line=st.integers(1, 4),
        phase=st.sampled_from((*PHASES, "evaluation", "checkpoint", "logging")),
        where=st.sampled_from(("loop", "loader")),
        library=st.sampled_from(("", "transformers", "PIL")),
    ),
    max_size=20,
)
CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(("item", "to", "print", "deepcopy", "gc.collect")),
        line=st.integers(1, 4),
        seconds_per_update=st.floats(min_value=0, max_value=0.1),
        library=st.sampled_from(("", "transformers")),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(evidence=st.sampled_from(EXAMPLES), lines=LINES, calls=CALLS, waits=SHARES, between=SHARES)
def test_no_finding_names_a_place_twice(
    evidence: Evidence, lines: list[HotLine], calls: list[CallSite], waits: float, between: float
) -> None:
    whole = max(waits + between, 1.0)
    changes: dict[str, Any] = {"phases": {"data_wait": waits / whole, "other": between / whole}, "lines": tuple(lines)}
    if evidence.trace is not None:
        changes["trace"] = {"calls": tuple(calls)}
    check(evolve(evidence, changes))


@given(lines=LINES)
def test_a_places_share_is_that_of_all_its_lines(lines: list[HotLine]) -> None:
    places = line_places(lines)
    assert [place.share for place in places] == sorted((place.share for place in places), reverse=True)
    assert len(places) == min(MAX_PLACES, len({each.line for each in lines}))
    for place in places:
        shares = [each.share for each in lines if each.line == place.line]
        assert place.share == min(1.0, sum(shares))


def test_the_cut_comes_after_the_merging() -> None:
    lines = [
        line("python", 0.2, line=1),
        line("torch", 0.2, line=1),
        line("io", 0.2, line=1),
        line("python", 0.1, line=2),
    ]
    assert [(place.line, round(place.share or 0, 1)) for place in line_places(lines)] == [(1, 0.6), (2, 0.1)]


def test_calls_of_several_kinds_from_one_line_are_one_place() -> None:
    sites = [call("item", line=3), call("cpu", line=3), call("item", line=4)]
    assert [place.line for place in call_places(sites)] == [3, 4]


def test_a_place_names_the_library_that_does_most_there() -> None:
    lines = [line("python", 0.3), line("io", 0.2, library="PIL"), line("python", 0.2, library="PIL")]
    assert [place.library for place in line_places(lines)] == ["PIL"]
    assert [place.library for place in line_places(lines[:2])] == [""]


def test_work_is_a_librarys_only_where_hardly_any_of_it_is_the_scripts_own() -> None:
    own, theirs = line("python", 0.15, line=1), line("python", 0.20, line=2, library="numpy")
    assert _library(own, theirs) == ""
    assert _library(replace(own, share=0.01), theirs) == "numpy"
    rest = tuple(line("python", 0.1, line=number) for number in range(3, 9))  # more places than a report shows
    assert _library(*(replace(theirs, line=number) for number in range(20, 23)), *rest) == ""


def _library(*lines: HotLine) -> str:
    evidence = healthy_cpu(phases={"other": 0.35}, lines=lines)
    (finding,) = [finding for finding in diagnose(evidence).findings if finding.rule == "host_code"]
    return finding.library


def test_the_line_that_host_code_speaks_of_has_the_share_of_its_place() -> None:
    lines = (line("python", 0.15, text="total += step()"), line("sleep", 0.15, text="total += step()"))
    (finding,) = [
        f for f in diagnose(healthy_cpu(phases={"other": 0.35}, lines=lines)).findings if f.rule == "host_code"
    ]
    assert "`total += step()` in main alone takes 30%" in finding.evidence
