"""What the loop waits for when it waits for data: one cause, so that one rule speaks.

`row_by_row_dataset`, `slow_collate`, `input_io_bound`, `too_many_workers` and `input_bound` share this verdict: the
specific causes are tried first, and `input_bound` is what is left. `worker_restart` is about the ends of epochs, which
are no part of the update.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from .. import worker_threads
from ..types import ABANDONED_FRACTION, Ceiling, Evidence, LoaderFacts, LoaderTimes, Place, Severity, WhatIf
from ._base import Undecided, agrees, ceiling_of, clamp, gain_of, lost_share, severity_of
from ._read import (
    MAX_PLACES,
    beside_share,
    cpus_for_this_rank,
    line_places,
    loader_lines,
    percent,
    phase_share,
    total_share,
)

Cause = Literal["rows", "io", "workers", "collate", "loader"]

HAND_OVER_SHARE = 0.15
"""Largest share of the loop that handing batches over, on CPUs that are busy, explains without slow workers."""
BUSY_WORKERS = 0.5
"""Share of their time that workers must be busy to be what a loop waits for: those it always waits for are busy all the
time."""
MIN_WAIT_SHARE = 0.05
"""Share of waiting below which it is ignored: every tool with such a rule begins at 5% or above, and below it an update
is mostly work."""
COLLATE_SHARE = 0.5
"""Share of the loader's own work from which collate is the cause: from half on, no other remedy can halve that work."""
BLOCKED_SHARE = 0.5
"""Share of the fetch time without CPU time from which the fetch is called blocked: faster reads are then the remedy
that can give most."""
BLOCKED_LINES_SHARE = 0.4
"""Share of the loader's sampled lines that must be reads where busy CPUs would explain a blocked fetch as well."""
TOO_MANY_RATIO = 2.0
"""Workers per usable CPU above which there are too many: up to twice as many is ordinary, since a worker pauses while
its queue is full."""
BUSY_SHARE = 0.8
"""Share of the usable CPUs kept busy by the script's own processes, from which a worker without CPU time may be waiting
for a CPU."""
TORCHS_OWN = "torch"
"""Library of lines in torch's own datasets and collate functions, which nobody can change."""
LEAST_OVERLAP = 1.1
"""Speed-up by overlap on the CPUs from which workers are advised: their hand-over takes some of it."""
SEND_S = 0.5e-3
"""Time to send a batch from a worker: packing, a queue, shared memory (0.3 to 1 ms with a few tensors, torch 2.13)."""
SEND_BYTES_PER_S = 2e9
"""Speed of the copies into shared memory."""
SEND_RATIO = 2.0
"""Ratio of making batches to sending them from which workers are advised: with less, they take over little work."""
OVERLAP_EFFICIENCY = 0.5
"""Part of the perfect overlap's gain assumed at the low end: hand-over between processes takes some of it."""

SEVERAL_THREADS = worker_threads.SEVERAL
"""Threads that a worker keeps busy while it reads samples, from which they compete with those of other workers."""
LEAST_FASTER = 2.0
"""Ratio of reading sample by sample to reading whole batches from which that is the cause: no other remedy of the
loader's work can then give more on one CPU."""
EXPLAINED_WAIT = 0.4
"""Share of the wait, in a loop without workers, that reading sample by sample must explain: a busy machine slows one of
the two, and the other cause of a wait would stay."""
LONGEST_ROW_S = 100e-6
"""Time of a sample up to which it is read, not computed: Python and torch take some 5 to 50 µs to index a row, convert
it and stack it. Parsing or decoding takes longer, and is cheaper only if it is done once."""
TABLE_FRACTION = 0.1
"""Fraction of the memory that a table of all samples may take to be advised."""
OPENED_LINES_SHARE = 0.5
"""Share of the loader's sampled lines that must be reads where a file is opened again for every sample."""

HEADROOM = 1.25
"""Surplus of workers over those that just feed the loop: reads take now more, now less."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The loop's wait for data, with its cause."""

    cause: Cause
    share: float
    """Share of the loop's wall time."""
    what_if: WhatIf | None
    facts: LoaderFacts
    times: LoaderTimes | None
    evidence: Evidence

    @property
    def doubt(self) -> str | None:
        """Reason why the wait cannot be called a loss; None if it can."""
        if self.what_if is None or self.what_if.low > 1.0 or agrees(self.what_if, self.share, self.evidence):
            return None
        return (
            f"the loop waits for data {percent(self.share)} of its time, but without the wait it ran "
            f"{self.what_if.low:.2f} to {self.what_if.high:.2f} times as fast, which may be no gain; measure longer"
        )

    @property
    def ceiling(self) -> Ceiling:
        """Return the ceiling, measured if possible; the low end is what two more workers could overlap on the CPUs."""
        reachable = 1 + (self.overlapped_speedup - 1) * OVERLAP_EFFICIENCY
        return ceiling_of(gain_of(self.what_if), self.share, low=reachable)

    @property
    def lost(self) -> float:
        """Return the share that decides the severity.

        This is the part of the wait that overlap removes, or half of the wait by cheaper data code.
        """
        gain = gain_of(self.what_if)
        whole = lost_share(gain.speedup) if gain is not None else self.share
        return max(lost_share(min(self.overlapped_speedup, 1 / max(1 - whole, 0.001))), whole / 2)

    @property
    def overlapped_speedup(self) -> float:
        """Return the speed-up if loading ran beside the update, limited by two workers and the CPUs both need."""
        wait, cpus = min(self.share, 0.99), cpus_for_this_rank(self.evidence)
        work = 1 - wait
        bound_s = max(work, wait / 2)
        if not self.evidence.on_accelerator:
            bound_s = max(bound_s, (self._compute_cpus(cpus) * work + wait * self._fetch_cpu_fraction) / cpus)
        return max(1.0, 1 / bound_s)

    @property
    def why_no_workers(self) -> str:
        """Return the sentence that says why more workers cannot help here; "" if they can."""
        facts, times = self.facts, self.times
        if abandons_iterators(self.evidence):
            return "Workers would be started, or begin again, for each of the iterators that are given up early."
        if facts.num_workers == 0 and times is not None and times.rows_s is not None and times.sample_bytes is not None:
            samples = self.evidence.steps.samples_per_update or 0.0
            send_s = (
                SEND_S * self.evidence.steps.micro_steps_per_update + samples * times.sample_bytes / SEND_BYTES_PER_S
            )
            if times.rows_s < SEND_RATIO * send_s:
                return "Worker processes would take about as long to send the batches as to make them."
        if self.overlapped_speedup < LEAST_OVERLAP:
            return "The update keeps the CPUs busy: worker processes would take their time from it."
        return ""

    @property
    def _fetch_cpu_fraction(self) -> float:
        if self.times is None or not self.times.fetch_s or self.times.fetch_cpu_s is None:
            return 1.0
        return clamp(self.times.fetch_cpu_s / self.times.fetch_s)

    def _compute_cpus(self, cpus: float) -> float:
        """Return CPUs busy during the update itself: the average, less those of the main process's own loading."""
        busy = self.evidence.system.main_cpus
        if busy is None:
            return cpus
        own = min(self.share, 0.99) if self.facts.num_workers == 0 else 0.0
        return min(max((busy - own) / (1 - own), 1.0), cpus)

    @property
    def words(self) -> str:
        """Describe the wait and the measured ceiling, for the evidence."""
        said = f"The loop waits for data {percent(self.share)} of its time"
        use = self.evidence.device_use
        idle = use.idle_fraction("data_wait") if use is not None else 0.0
        if idle >= MIN_WAIT_SHARE:
            said += f", and the device idles {percent(idle)} of each update meanwhile"
        if self.what_if is None:
            return said + "."
        if self.what_if.low <= 1.0:
            return f"{said}; windows with batches prepared in advance were too few to measure the gain."
        low, high = self.what_if.low, self.what_if.high
        speedup = self.what_if.speedup
        return f"{said}; with batches prepared in advance it ran {speedup:.2f} times as fast ({low:.2f}–{high:.2f})."

    @property
    def severity(self) -> Severity:
        return severity_of(self.lost)


def loader_places(found: Waiting, kinds: Collection[str] | None = None) -> tuple[Place, ...]:
    """Return the lines of the loader's work; where most of it is not the script's own, also the line that made it."""
    places = line_places(line for line in loader_lines(found.evidence, kinds) if line.library != TORCHS_OWN)
    if places and not places[0].in_library:
        return places
    return (*places[: MAX_PLACES - 1], *made_at(found.facts))


def made_at(facts: LoaderFacts) -> tuple[Place, ...]:
    """Return the line of the script that made the loader; empty if it is not known."""
    return place_at(facts.where)


def place_at(where: str | None, function: str = "") -> tuple[Place, ...]:
    """Return the place that `file:line` names; empty if there is none."""
    file, _, number = (where or "").rpartition(":")
    return (Place(file=file, line=int(number), function=function),) if file and number.isdigit() else ()


def has_train_loader(evidence: Evidence) -> bool:
    return evidence.workload.train_loader is not None


def waiting(evidence: Evidence) -> Waiting | None:
    """Return the wait for data and its cause; None if the loop hardly waits or has no loader."""
    facts = evidence.workload.train_loader
    share = phase_share(evidence, "data_wait")
    if facts is None or share < MIN_WAIT_SHARE or _workers_are_idle(evidence, facts, share):
        return None
    return Waiting(
        cause=_cause(evidence, facts),
        share=share,
        what_if=evidence.what_ifs.get("no_data_wait"),
        facts=facts,
        times=evidence.loader,
        evidence=evidence,
    )


def _workers_are_idle(evidence: Evidence, facts: LoaderFacts, share: float) -> bool:
    """Return whether a short wait on a CPU is not for the workers' work, as they have nothing to do most of the time.

    It is for the hand-over, or for CPUs on which the loop computes itself: less work in the loader changes neither.
    """
    times = evidence.loader
    if evidence.on_accelerator or not facts.num_workers or share > HAND_OVER_SHARE:
        return False
    if times is None or times.fetch_s is None:
        return False
    worked_s = times.fetch_s + (times.collate_s or 0.0) + (times.transfer_s or 0.0)
    return worked_s < BUSY_WORKERS * facts.num_workers * evidence.steps.mean_s


def waiting_for(evidence: Evidence, cause: Cause) -> Waiting | Undecided | None:
    """Return the wait if this is its cause; undecided if the what-if could not tell it from none."""
    found = waiting(evidence)
    if found is None or found.cause != cause:
        return None
    return found if found.doubt is None else Undecided(why=found.doubt, most_share=found.share)


def _cause(evidence: Evidence, facts: LoaderFacts) -> Cause:
    times = evidence.loader
    if reads_rows(evidence) or opens_again(evidence):
        return "rows"
    if _blocked(evidence, facts, times):
        return "io"
    if surplus_workers(evidence) > 0:
        return "workers"
    if times is not None and collate_fraction(times) >= COLLATE_SHARE:
        return "collate"
    return "loader"


def reads_rows(evidence: Evidence) -> bool:
    """Return whether whole batches were read much faster than sample by sample, and the samples are only read."""
    times, facts = evidence.loader, evidence.workload.train_loader
    if facts is None or times is None or not times.rows_s or times.whole_s is None or times.rows_read is None:
        return False
    wait_s = evidence.phases.get("data_wait", 0.0) * evidence.steps.mean_s
    if times.rows_s < LEAST_FASTER * times.whole_s or (
        not facts.num_workers and times.rows_s < EXPLAINED_WAIT * wait_s
    ):
        return False
    samples = evidence.steps.samples_per_update
    if times.rows_read == "whole":
        return True
    if evidence.workload.facts.dataset_draws is not False or not samples or times.rows_s / samples > LONGEST_ROW_S:
        return False
    table = table_bytes(evidence)
    return table is not None and table <= TABLE_FRACTION * evidence.hardware.memory_limit_bytes


def table_bytes(evidence: Evidence) -> float | None:
    """Return the bytes of all samples of the training's loader together; None if they are not known."""
    facts, times = evidence.workload.train_loader, evidence.loader
    if facts is None or times is None or facts.length_samples is None or times.sample_bytes is None:
        return None
    return facts.length_samples * times.sample_bytes


def opens_again(evidence: Evidence) -> bool:
    """Return whether a file, or a member of an archive, is opened again for every sample, and that takes the time."""
    if evidence.loader is None or not evidence.loader.opened:
        return False
    return total_share(loader_lines(evidence, ("io",))) >= OPENED_LINES_SHARE


def feeding_workers(evidence: Evidence) -> int | None:
    """Return how many workers must fetch at a time so that the loop no longer waits; None if fetching was not timed.

    By Little's law, the fetches in progress are their rate times the duration of one. The rate is the pace of the
    updates without the wait, or that of the CPUs if fetching needs more of them.
    """
    times, wait = evidence.loader, evidence.what_ifs.get("no_data_wait")
    if times is None or not times.fetch_s or times.fetch_cpu_s is None:
        return None
    speedup = wait.speedup if wait is not None else 1 / max(1 - phase_share(evidence, "data_wait"), 0.001)
    collate_s = times.collate_s or 0.0
    update_s = max(
        evidence.steps.mean_s / max(speedup, 1.0), (times.fetch_cpu_s + collate_s) / cpus_for_this_rank(evidence)
    )
    return math.ceil((times.fetch_s + collate_s) / update_s * HEADROOM)


def collate_fraction(times: LoaderTimes) -> float:
    """Return the share of collate in the loader's own work (fetch and collate); 0 if it was not seen."""
    whole = (times.fetch_s or 0.0) + (times.collate_s or 0.0)
    return clamp((times.collate_s or 0.0) / whole) if whole > 0 else 0.0


def _blocked(evidence: Evidence, facts: LoaderFacts, times: LoaderTimes | None) -> bool:
    """Return whether the fetch waits for a disk or a network, not for a CPU kept busy by others of its own tree."""
    reads = total_share(loader_lines(evidence, ("io", "sleep")))
    if times is None or times.fetch_s is None or times.fetch_cpu_s is None:
        return reads >= BLOCKED_SHARE
    own = times.fetch_s + (times.collate_s or 0.0)
    blocked = clamp((times.fetch_s - times.fetch_cpu_s) / own) if own > 0 else 0.0
    if blocked < BLOCKED_SHARE:
        return False
    return reads >= BLOCKED_LINES_SHARE or not _short_of_cpus(evidence, facts)


def _short_of_cpus(evidence: Evidence, facts: LoaderFacts) -> bool:
    cpus = cpus_for_this_rank(evidence)
    busy = evidence.system.tree_cpus
    if busy is not None:
        return busy >= BUSY_SHARE * cpus
    return facts.num_workers + 1 > cpus


def surplus_workers(evidence: Evidence) -> float:
    """Return the share of the workers without a CPU; 0 unless there are more than TOO_MANY_RATIO for each."""
    facts = evidence.workload.train_loader
    cpus = max(cpus_for_this_rank(evidence), 1.0)
    if facts is None or facts.num_workers <= TOO_MANY_RATIO * cpus:
        return 0.0
    return clamp(1 - cpus / facts.num_workers)


def abandons_iterators(evidence: Evidence) -> bool:
    """Return whether the script takes a few batches of each iterator, and begins another."""
    restarts, facts = evidence.restarts, evidence.workload.train_loader
    if restarts is None or restarts.batches_per_start is None or facts is None or not facts.length_batches:
        return False
    return restarts.batches_per_start <= ABANDONED_FRACTION * facts.length_batches


def draw_share(evidence: Evidence) -> float:
    """Return the share of the loop in which the sampler draws the first indices of epochs; 0 if it was not seen."""
    restarts, share = evidence.restarts, restart_share(evidence)
    if restarts is None or share is None or not restarts.draw_s or not restarts.seconds_per_restart:
        return 0.0
    return clamp(share * restarts.draw_s / restarts.seconds_per_restart)


def restart_share(evidence: Evidence) -> float | None:
    """Return the share of the loop taken by the loader's restarts at the ends of epochs; None if none was seen."""
    if evidence.restarts is not None and evidence.restarts.share is not None:
        return clamp(evidence.restarts.share)
    return beside_share(evidence, "loader_restart")


def threads_words(evidence: Evidence) -> tuple[str, str]:
    """Return what is seen of workers that compute with several threads each, and the advice; both may be empty."""
    threads = evidence.workload.facts.fetching_threads
    if threads is None or threads < SEVERAL_THREADS:
        return "", ""
    return (
        f" Each worker keeps {threads:.1f} threads busy: NumPy's linear algebra or OpenCV uses several of them.",
        " Give each worker one thread (`worker_init_fn=lambda _: threadpoolctl.threadpool_limits(1)`, and "
        "`cv2.setNumThreads(1)` for OpenCV).",
    )
