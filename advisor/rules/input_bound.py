"""The loop waits for its data, and the loader's own code is why."""

from __future__ import annotations

from pathlib import PurePath

from ..plural import plural
from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, line, train_loader, what_if
from ._input import Waiting, has_train_loader, loader_places, threads_words, waiting_for
from ._read import duration, library_of_lines, line_places, loader_lines

NEAR_ALL = 0.95
"""Part of the ceiling from which workers alone give all of it."""


def judge(evidence: Evidence) -> Judgement:
    found = waiting_for(evidence, "loader")
    if not isinstance(found, Waiting):
        return found
    lines = loader_lines(evidence)
    where = loader_places(found)
    theirs = bool(lines) and all(place.in_library for place in line_places(lines))
    library = library_of_lines(lines) if theirs else ""
    threads, limit_them = threads_words(evidence)
    said = [found.words, _loader_words(found) + threads, _library_words(found, library), _core_words(found)]
    return Hit(
        share=found.share,
        severity=found.severity,
        evidence=" ".join(filter(None, said)),
        advice=_advice(found, library) + limit_them,
        where=where,
        ceiling=found.ceiling,
    )


def _loader_words(found: Waiting) -> str:
    workers = plural(found.facts.num_workers, "worker")
    if found.times is None or found.times.fetch_s is None:
        return f"The loader has {workers}."
    return f"Fetching the samples of an update takes {duration(found.times.fetch_s)}, with {workers}."


def _library_words(found: Waiting, library: str) -> str:
    """Name the library if no line is the script's own: only the script's requests to it can be changed."""
    if not library:
        return ""
    created = f" created at {PurePath(found.facts.where).name}" if found.facts.where else ""
    return f"The lines below are in {library}, called by the loader{created}."


def _core_words(found: Waiting) -> str:
    """Return the caveat if the CPUs that train must also load, so that workers cannot give all of the ceiling."""
    if found.evidence.on_accelerator or found.overlapped_speedup >= found.ceiling.speedup * NEAR_ALL:
        return ""
    cpus = found.evidence.hardware.cpu.usable_cpus
    return (
        f"Training and loading share {cpus:g} CPUs: workers alone give a speed-up of at most "
        f"{found.overlapped_speedup:.2f}; cheaper data code can give more."
    )


def _advice(found: Waiting, library: str) -> str:
    less = (
        "reduce the work per sample (store data in the model's format, use cheaper transforms, process whole batches)"
        if library
        else "do less work per sample on these lines: process whole batches, cache what does not change between epochs"
    )
    why_not = found.why_no_workers
    if why_not:
        return f"{less[0].upper()}{less[1:]}. {why_not}"
    if found.facts.num_workers == 0:
        return f"Load in worker processes (`num_workers`), and {less}."
    return f"{less[0].upper()}{less[1:]}; or add workers while CPUs are idle."


RULE = Rule(
    id="input_bound",
    title="the loop waits for its data loader",
    headline="waits for data {share} of its time",
    looks_at="The share of data_wait, the what-if no_data_wait, the loader's times, and the lines sampled in the "
    "loader. Other rules cover waits caused by reading, collating or too many workers.",
    thresholds=(
        "MIN_WAIT_SHARE",
        "HAND_OVER_SHARE",
        "LEAST_OVERLAP",
        "SEND_RATIO",
        "SEVERAL_THREADS",
        "NEAR_ALL",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="The differential method of DS-Analyzer (Mohan et al., VLDB 2021); published tools warn at 5 to 20% of "
    "waiting.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    knobs=("num_workers", "worker_threads", "prefetch_factor", "persistent_workers", "cache_dataset", "pin_memory"),
    applies=has_train_loader,
    judge=judge,
    examples=(
        Example(
            name="augmentation in the main process, 60% waiting, 2.4 times measured without it",
            evidence=healthy_cpu(
                phases={"data_wait": 0.60},
                workload={"loaders": (train_loader(num_workers=0, persistent_workers=False),)},
                loader={"fetch_s": 0.055, "fetch_cpu_s": 0.054, "collate_s": 0.003, "workers": 0},
                lines=(line("python", 0.8, where="loader", phase="data_wait", function="__getitem__", line=17),),
                what_ifs=what_if("no_data_wait", 2.4),
            ),
            fires=True,
        ),
        Example(
            name="an accelerator starved by two workers, no what-if was run",
            evidence=healthy_cuda(phases={"data_wait": 0.35}, what_ifs={"no_data_wait": None}, loader=None),
            fires=True,
        ),
        Example(name="3% waiting", evidence=healthy_cpu(phases={"data_wait": 0.03}), fires=False),
        Example(
            name="waiting for collate, not for samples",
            evidence=healthy_cpu(
                phases={"data_wait": 0.4}, what_ifs=what_if("no_data_wait", 1.6), loader={"collate_s": 0.06}
            ),
            fires=False,
        ),
        Example(
            name="the script makes its own batches",
            evidence=healthy_cpu(phases={"data_wait": 0.4}, workload={"loaders": ()}),
            fires=False,
        ),
        Example(
            name="80% waiting, and the what-if's interval says nothing",
            evidence=healthy_cpu(
                phases={"data_wait": 0.8},
                what_ifs=what_if("no_data_wait", 3.5, 0.7, 17.0),
                steps={"share_error": 0.02},
            ),
            fires=True,
        ),
        Example(
            name="80% waiting, and the what-if's interval hardly holds a gain",
            evidence=healthy_cpu(
                phases={"data_wait": 0.8},
                what_ifs=what_if("no_data_wait", 1.1, 0.7, 1.7),
                steps={"share_error": 0.02},
            ),
            fires="abstains",
        ),
        Example(
            name="30% waiting, but the what-if's interval contains no gain",
            evidence=healthy_cpu(phases={"data_wait": 0.3}, what_ifs=what_if("no_data_wait", 1.2, 0.9, 1.6)),
            fires="abstains",
        ),
    ),
)
