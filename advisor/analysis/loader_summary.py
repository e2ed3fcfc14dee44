"""Summary of the train loader's own work: its times, its restarts, and what reading whole batches would take."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from .. import wire
from ..runtime.session_result import SessionResult
from ..types import ABANDONED_FRACTION, EpochEnd, LoaderRestarts, LoaderTimes, Workload
from ..whatif import loader_alone
from .counted import Counted
from .profile_plan import measured

SEVERAL_STARTS = 3
"""Iterators begun in a window from which it shows how many batches are taken from each: it cuts off two of them."""


def loader_times(counted: Counted, result: SessionResult, workload: Workload) -> LoaderTimes | None:
    sums = counted.done.loader
    if workload.train_loader is None or sums is None:
        return None
    updates = len(counted.done.wall_s)
    alone = result.outcomes.get(loader_alone.WHAT_IF.id)
    inside = result.outcomes.get(f"{loader_alone.WHAT_IF.id} inside")
    alone_s = None
    if isinstance(alone, wire.WindowDone) and alone.extra.get("batches"):
        alone_s = float(alone.extra["seconds"]) / float(alone.extra["batches"]) * counted.batches
    busy = None
    if sums.fetch_cpu_s is not None and sums.workers and counted.done.wall_s:
        busy = (sums.fetch_cpu_s + (sums.collate_s or 0.0)) / sum(counted.done.wall_s)
    return LoaderTimes(
        fetch_s=_per(sums.fetch_s, updates),
        fetch_cpu_s=_per(sums.fetch_cpu_s, updates),
        collate_s=_per(sums.collate_s, updates),
        transfer_s=_per(sums.transfer_s, updates),
        workers=sums.workers,
        worker_cpus=busy,
        alone_s=alone_s,
        **(_rows(inside.extra, counted.batches) if isinstance(inside, wire.WindowDone) else {}),
    )


def restarts(counted: Counted, ending: EpochEnd, result: SessionResult, workload: Workload) -> LoaderRestarts | None:
    """Return the cost of an epoch's end at the loader, for epochs as long as the script's iterators are read."""
    loader = workload.train_loader
    each_s = _start_s(counted, ending)
    if loader is None or each_s is None:
        return None
    batches = _batches_per_start(counted.done.loader)
    ended = measured(result.outcomes, "epoch end") if ending.forced else counted.done
    sums = ended.loader if ended is not None else None
    in_epoch = loader.length_batches
    if batches is not None and (in_epoch is None or batches <= ABANDONED_FRACTION * in_epoch):
        epoch_updates: float | None = batches / counted.batches
    else:
        epoch_updates = in_epoch / counted.batches if in_epoch else None
    share = None
    if epoch_updates:
        share = each_s / (each_s + epoch_updates * statistics.fmean(counted.in_step_s))
    return LoaderRestarts(
        seconds_per_restart=each_s,
        updates_per_epoch=epoch_updates,
        share=share,
        draw_s=min(sums.draw_s / max(sums.restarts, 1), each_s) if sums is not None else None,
        batches_per_start=batches,
    )


def _start_s(counted: Counted, ending: EpochEnd) -> float | None:
    """Return the seconds of a start: at the ends of epochs that were seen, or else inside the window, which begins
    within an epoch."""
    if ending.seen:
        return ending.seconds.get("loader_restart")
    inside = [seconds for seconds in counted.done.off_step_s.get("loader_restart", [])[1:] if seconds > 0]
    return statistics.fmean(inside) if inside else None


def _batches_per_start(sums: wire.LoaderSums | None) -> float | None:
    """Return the batches taken from each iterator; None unless enough of them were begun to know it."""
    return sums.batches / sums.restarts if sums is not None and sums.restarts >= SEVERAL_STARTS else None


def _rows(drained: Mapping[str, Any], batches_per_update: float) -> dict[str, Any]:
    """Return the fields of `LoaderTimes` on reading whole batches, from the loader read in the script's process."""
    names = ("rows_read", "sample_bytes", "opened", "opened_per_sample")
    found = {name: drained[name] for name in names if name in drained}
    if drained.get("batches") and drained.get("fetch_s") is not None:
        work_s = float(drained["fetch_s"]) + float(drained["collate_s"] or 0.0)
        found["rows_s"] = work_s / float(drained["batches"]) * batches_per_update
    if "whole_s" in drained:
        found["whole_s"] = float(drained["whole_s"]) * batches_per_update
    return found


def _per(total: float | None, updates: int) -> float | None:
    return None if total is None or not updates else total / updates
