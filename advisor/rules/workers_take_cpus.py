"""The loader's workers keep CPUs busy that the training computes on: the loop hardly waits and is slow all the same."""

from __future__ import annotations

from typing import Any

from ..types import Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, agrees, ceiling_of, clamp, lost_share, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader, what_if
from ._input import Waiting, has_train_loader, loader_places, surplus_workers
from ._read import cpus_for_this_rank, duration, percent, phase_share

FULL = 0.85
"""Share of the usable CPUs that the script keeps busy, from which the workers' part is missing elsewhere."""
LEAST_TAKEN = 0.15
"""Share of the usable CPUs that workers take at least: below it, half of it is no warning."""
SAVES = 0.5
"""Part of what the workers take that cheaper data code gives back at the least, as for a loop that waits."""


def judge(evidence: Evidence) -> Judgement:
    loader = evidence.workload.train_loader
    cpus = max(cpus_for_this_rank(evidence), 1.0)
    busy, taken = evidence.system.tree_cpus, _taken(evidence, cpus)
    wait = phase_share(evidence, "data_wait")
    if loader is None or busy is None or busy < FULL * cpus or taken < LEAST_TAKEN or wait >= WARNING_SHARE:
        return None
    paused = evidence.what_ifs.get("no_data_wait")
    if paused is None or surplus_workers(evidence) > 0:
        return None
    measured = paused.low > 1 / (1 - wait)
    if not measured and not agrees(paused, taken, evidence):
        return None
    times = evidence.loader
    waiting = Waiting(cause="loader", share=wait, what_if=paused, facts=loader, times=times, evidence=evidence)
    fetching = (
        f": fetching the samples of an update takes {duration(times.fetch_s)}"
        if times is not None and times.fetch_s
        else ""
    )
    return Hit(
        share=taken,
        severity=severity_of(SAVES * max(lost_share(paused.low), taken)),
        evidence=f"The loader's workers keep {taken * cpus:.1f} of {cpus:g} CPUs busy, on which the training computes "
        f"as well{fetching}. The loop waits for data only {percent(wait)} of its time; while the workers paused, it "
        f"ran {paused.speedup:.2f} times as fast ({paused.low:.2f}–{paused.high:.2f}).",
        advice="Do less work per sample on these lines: read only what is used, process whole batches, cache what does "
        "not change between epochs. Fewer threads for the training (`torch.set_num_threads`) end the contention, not "
        "the work.",
        where=loader_places(waiting),
        ceiling=ceiling_of(paused if measured else None, taken, low=1 / (1 - SAVES * taken)),
    )


def _taken(evidence: Evidence, cpus: float) -> float:
    """Return the share of the usable CPUs that the loader's workers keep busy; 0 if it was not seen."""
    workers = evidence.loader.worker_cpus if evidence.loader is not None else None
    return clamp((workers or 0.0) / cpus)


_DECODING: dict[str, Any] = {
    "phases": {"data_wait": 0.03},
    "workload": {"loaders": (train_loader(num_workers=4),)},
    "loader": {"fetch_s": 0.18, "fetch_cpu_s": 0.18, "workers": 4, "worker_cpus": 3.6},
    "system": {"tree_cpus": 7.8},
    "what_ifs": what_if("no_data_wait", 1.9),
}

RULE = Rule(
    id="workers_take_cpus",
    title="the loader's workers take the CPUs that training computes on",
    headline="gives {share} of its CPUs to loader workers",
    looks_at="The CPUs that workers keep busy, those that the whole script keeps busy, the share of data_wait, and the "
    "what-if no_data_wait, in which the workers pause. Silent where the loop waits for data: other rules speak then.",
    thresholds=("FULL", "LEAST_TAKEN", "SAVES", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="PyTorch's multiprocessing best practices: CPU oversubscription.",
    url="https://docs.pytorch.org/docs/stable/notes/multiprocessing.html",
    knobs=("cache_dataset", "threads", "num_workers", "worker_threads"),
    applies=lambda evidence: has_train_loader(evidence) and not evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="four workers decode on half of eight CPUs, 1.9 times measured while they pause",
            evidence=healthy_cpu(**_DECODING),
            fires=True,
        ),
        Example(
            name="one worker on one of two CPUs, in windows of so few updates that the gain is uncertain",
            evidence=healthy_cpu(
                hardware={"cpu": {"usable_cpus": 2.0}},
                steps={"updates": 20, "share_error": 0.08},
                phases={"data_wait": 0.05},
                workload={"loaders": (train_loader(num_workers=1),), "flags": {"num_threads": 2}},
                loader={"fetch_s": 0.2, "fetch_cpu_s": 0.2, "workers": 1, "worker_cpus": 1.0},
                system={"tree_cpus": 1.9},
                what_ifs=what_if("no_data_wait", 2.5, 0.9, 7.0),
            ),
            fires=True,
        ),
        Example(
            name="the same on idle CPUs",
            evidence=healthy_cpu(
                **{**_DECODING, "system": {"tree_cpus": 5.0}, "what_ifs": what_if("no_data_wait", 1.0)}
            ),
            fires=False,
        ),
        Example(
            name="three of eight CPUs idle: what the loop gains while the workers pause is not their CPU time",
            evidence=healthy_cpu(**{**_DECODING, "system": {"tree_cpus": 5.0}}),
            fires=False,
        ),
        Example(
            name="busy CPUs, but the loop is no faster while the workers pause",
            evidence=healthy_cpu(**{**_DECODING, "what_ifs": what_if("no_data_wait", 1.02)}),
            fires=False,
        ),
        Example(
            name="the loop waits for its workers",
            evidence=healthy_cpu(**{**_DECODING, "phases": {"data_wait": 0.3}}),
            fires=False,
        ),
        Example(name="an accelerator computes", evidence=healthy_cuda(loader=_DECODING["loader"]), fires=False),
    ),
)
