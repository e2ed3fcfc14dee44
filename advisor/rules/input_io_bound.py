"""The loop waits for its data, and the data waits for a disk or a network."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, HotLine, ScriptFacts
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda, line, train_loader, what_if
from ._input import Waiting, feeding_workers, has_train_loader, waiting_for
from ._read import (
    duration,
    line_places,
    loader_lines,
    loop_lines,
    percent,
    total_share,
)

AS_SLOW = 0.8
"""Time in which all workers together make the batches of an update, relative to one process alone, from which their
reads follow one another: two workers that overlap take half as long."""
OVERLAPPING = (
    "Read larger pieces less often (pack many files into few), or keep the data on a local disk or in memory. More "
    "workers than CPUs help, because they wait rather than compute."
)
SINGLY = (
    "Look for what lets only one of them read at a time: a lock that the dataset shares, a library or a server that "
    "answers one request after the other. Open the file in each worker, read larger pieces less often, or keep the "
    "data in memory. More workers do not help."
)


def judge(evidence: Evidence) -> Judgement:
    if not has_train_loader(evidence):
        return _own_batches(evidence)
    found = waiting_for(evidence, "io")
    if not isinstance(found, Waiting):
        return found
    singly = reads_singly(evidence)
    return Hit(
        share=found.share,
        severity=found.severity,
        evidence=f"{found.words} {_singly_words(found) if singly else _blocked_words(found)}".strip(),
        advice=SINGLY if singly else OVERLAPPING,
        where=line_places(loader_lines(evidence, ("io", "sleep")) or loader_lines(evidence)),
        ceiling=found.ceiling,
    )


def reads_singly(evidence: Evidence) -> bool:
    """Return whether several workers read no faster than one process, though they wait rather than compute."""
    times = evidence.loader
    if times is None or times.workers < 2 or not times.rows_s or times.alone_s is None:
        return False
    return times.alone_s >= AS_SLOW * times.rows_s


def _singly_words(found: Waiting) -> str:
    times = found.times
    if times is None or times.rows_s is None or times.alone_s is None:
        return ""
    return (
        f"{times.workers} workers together make the batches of an update in {duration(times.alone_s)}, one process "
        f"alone in {duration(times.rows_s)}: their reads wait for each other."
    )


def _blocked_words(found: Waiting) -> str:
    times = found.times
    if times is None or times.fetch_s is None or times.fetch_cpu_s is None:
        return "The loader's sampled lines are mostly reads."
    return (
        f"Fetching the samples of an update takes {duration(times.fetch_s)}, of which {duration(times.fetch_cpu_s)} "
        "is CPU time; the rest is waiting for reads."
    )


def reading_lines(evidence: Evidence) -> tuple[HotLine, ...]:
    """Return lines of the loop between the phases that read files."""
    return loop_lines(evidence, ("io",), ("other", "data_wait"))


def _own_batches(evidence: Evidence) -> Judgement:
    lines = reading_lines(evidence)
    share = total_share(lines)
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"The script makes its own batches, and {percent(share)} of the loop's time is spent reading files "
        "for them.",
        advice="Read larger pieces, cache the data in memory, or prefetch in a `DataLoader` with workers.",
        where=line_places(lines),
        ceiling=Ceiling.from_share(share),
    )


def _establish(facts: ScriptFacts, evidence: Evidence) -> ScriptFacts:
    if reads_singly(evidence):  # more workers would wait with the others
        return facts
    return replace(facts, loader_waits=True, feeding_workers=feeding_workers(evidence))


_SLOW_READS = {"fetch_s": 0.080, "fetch_cpu_s": 0.006, "collate_s": 0.002}

RULE = Rule(
    id="input_io_bound",
    title="the data loader waits for a disk or a network",
    headline="waits for its disk or network {share} of its time",
    establish=_establish,
    looks_at="The share of data_wait, the what-if no_data_wait, wall and CPU time of fetching, the loader's sampled "
    "lines, and the CPUs that the script keeps busy. Without a loader: the lines of the loop that read files.",
    thresholds=(
        "MIN_WAIT_SHARE",
        "BLOCKED_SHARE",
        "BLOCKED_LINES_SHARE",
        "BUSY_SHARE",
        "AS_SLOW",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="DS-Analyzer (VLDB 2021) distinguishes fetch stalls from preparation stalls; here CPU time does so, "
    "without extra runs.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    knobs=("num_workers", "prefetch_factor", "cache_dataset", "persistent_workers"),
    judge=judge,
    examples=(
        Example(
            name="small files on a slow mount, read in the main process",
            evidence=healthy_cpu(
                phases={"data_wait": 0.7},
                loader={**_SLOW_READS, "workers": 0},
                workload={"loaders": (train_loader(num_workers=0, persistent_workers=False),)},
                system={"tree_cpus": 2.4, "main_cpus": 2.4},
                lines=(line("io", 0.9, where="loader", phase="data_wait", function="__getitem__"),),
                what_ifs=what_if("no_data_wait", 3.2),
            ),
            fires=True,
        ),
        Example(
            name="many workers that all wait for the network, on an accelerator",
            evidence=healthy_cuda(
                phases={"data_wait": 0.4},
                loader={**_SLOW_READS, "workers": 32},
                workload={"loaders": (train_loader(num_workers=32),)},
                what_ifs=what_if("no_data_wait", 1.6),
            ),
            fires=True,
        ),
        Example(
            name="three workers whose reads a lock lets happen one after the other",
            evidence=healthy_cpu(
                phases={"data_wait": 0.8},
                loader={"fetch_s": 0.2, "fetch_cpu_s": 0.004, "workers": 3, "alone_s": 0.066, "rows_s": 0.068},
                workload={"loaders": (train_loader(num_workers=3),)},
                system={"tree_cpus": 1.2},
                what_ifs=what_if("no_data_wait", 4.5),
            ),
            fires=True,
        ),
        Example(
            name="no loader: a quarter of the loop reads a file for each batch",
            evidence=healthy_cpu(
                workload={"loaders": ()}, loader=None, lines=(line("io", 0.25, function="get_batch"),)
            ),
            fires=True,
        ),
        Example(
            name="workers without CPU time, because they take each other's CPUs",
            evidence=healthy_cpu(
                phases={"data_wait": 0.4},
                loader={"fetch_s": 0.4, "fetch_cpu_s": 0.1, "workers": 12},
                workload={"loaders": (train_loader(num_workers=12),)},
                system={"tree_cpus": 7.9},
                lines=(line("python", 0.9, where="loader", phase="data_wait"),),
                what_ifs=what_if("no_data_wait", 1.6),
            ),
            fires=False,
        ),
        Example(
            name="slow reads that workers hide",
            evidence=healthy_cpu(phases={"data_wait": 0.01}, loader=_SLOW_READS),
            fires=False,
        ),
        Example(
            name="no loader, and reading takes 2% of the loop",
            evidence=healthy_cpu(workload={"loaders": ()}, lines=(line("io", 0.02),)),
            fires=False,
        ),
    ),
)
