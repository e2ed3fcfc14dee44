"""Summary of windows as values for rules and reports: steps, phases, memory, compute and the rest."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .. import contention, stats, wire
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session_result import SessionResult
from ..types import (
    Compute,
    Config,
    Cpu,
    EpochEnd,
    Hardware,
    MemoryUse,
    Steps,
    SystemUse,
    Trace,
    WindowSummary,
    Workload,
)
from ..wire import WindowRole
from . import creep, peaks
from .counted import Counted
from .profile_plan import measured


def steps(counted: Counted) -> Steps:
    known = [count for count in counted.samples if count is not None]
    complete = len(known) == counted.updates and counted.done.samples_from != "not known" and sum(known) > 0
    amounts = [float(count) for count in known] if complete else [1.0] * counted.updates
    rate = stats.rate_interval(amounts, counted.wall_s) if counted.updates > 1 else None
    source: Any = counted.done.samples_from if complete else "not known"
    return Steps(
        updates=counted.updates,
        warm_up=counted.done.dropped_updates + counted.cut,
        micro_steps_per_update=sum(counted.micro_steps) / counted.updates,
        batches_per_update=counted.batches_per_update,
        mean_s=statistics.fmean(counted.in_step_s),
        median_s=statistics.median(counted.in_step_s),
        p99_s=stats.percentile(counted.in_step_s, 99),
        samples_per_s=sum(known) / counted.loop_s if complete else None,
        low=rate.low if rate else None,
        high=rate.high if rate else None,
        updates_per_s=counted.updates / counted.loop_s,
        samples_per_update=sum(known) / counted.updates if complete else None,
        samples_from=source,
        steady=counted.steady,
        share_error=counted.share_error,
    )


def phases(counted: Counted) -> dict[str, float]:
    whole = sum(counted.in_step_s) or 1.0
    return {name: sum(values) / whole for name, values in counted.phases_s.items()}


def off_step(counted: Counted) -> dict[str, float]:
    shares = {name: sum(values) / counted.loop_s for name, values in counted.off_step_s.items()}
    return {name: share for name, share in shares.items() if share > 0}


def epoch_end(counted: Counted, result: SessionResult, workload: Workload) -> EpochEnd:
    """Return the cost of an epoch's end, from the baseline window or else from the epoch that was ended early."""
    sums = counted.done.loader
    if sums is not None and sums.restarts > 1:
        seen = {
            name: sum(values) / sums.restarts for name, values in counted.done.off_step_s.items() if sum(values) > 0
        }
        return EpochEnd(seen=True, seconds=seen)
    forced = measured(result.outcomes, "epoch end")
    if forced is not None and workload.train_loader is not None:
        seen = {name: sum(values) for name, values in forced.off_step_s.items() if sum(values) > 0}
        return EpochEnd(seen=True, forced=True, seconds=seen)
    return EpochEnd(seen=False)


def off_step_with_epoch(counted: Counted, ending: EpochEnd, workload: Workload) -> dict[str, float]:
    """Return the shares of the loop's wall time; a forced epoch's end, if none was seen, is charged to whole epochs."""
    seen = off_step(counted)
    loader = workload.train_loader
    if not ending.forced or loader is None or not loader.length_batches:
        return seen
    epoch_s = loader.length_batches / counted.batches * (counted.loop_s / counted.updates)
    whole_s = epoch_s + sum(ending.seconds.values())
    merged = {name: share * epoch_s / whole_s for name, share in seen.items()}
    for name, seconds in ending.seconds.items():
        merged[name] = merged.get(name, 0.0) + seconds / whole_s
    return merged


def later_baselines(result: SessionResult) -> list[wire.WindowDone]:
    """Return the windows of the baseline beside those of the what-ifs, with their updates."""
    roles = {name: window.role for name, window in result.windows.items()}
    return [
        outcome
        for name, outcome in result.outcomes.items()
        if roles.get(name) is WindowRole.BASELINE and isinstance(outcome, wire.WindowDone)
    ]


def memory(result: SessionResult, script_run: ScriptRunRecord, hardware: Hardware, workload: Workload) -> MemoryUse:
    facts: Mapping[str, Any] = script_run.facts.memory if script_run.facts else {}
    trace = result.outcomes.get("trace")
    traced: Mapping[str, Any] = trace.extra.get("memory", {}) if isinstance(trace, wire.WindowDone) else {}
    done = [outcome for outcome in result.outcomes.values() if isinstance(outcome, wire.WindowDone)]
    baselines = [
        window
        for window in done
        if window.wall_s and result.windows[window.id].role in (WindowRole.PROFILE, WindowRole.BASELINE)
    ]
    # A setting that was tried may leave memory behind.
    tried_s = [window.start_s for window in done if result.windows[window.id].role is WindowRole.FIX]
    baselines = [window for window in baselines if window.start_s < min(tried_s, default=math.inf)] or baselines
    same_script_run = [
        window for window in baselines if result.script_run_of[window.id] == result.script_run_of[baselines[0].id]
    ]
    host_peak = _largest([point for window in baselines for point in (*window.rss_bytes, window.host_peak_bytes or 0)])
    if host_peak is None and isinstance(facts.get("host_peak_bytes"), int):
        host_peak = facts["host_peak_bytes"]
    on_device = workload.device != "cpu" and bool(hardware.accelerators)
    peak = _largest([window.device_peak_bytes or 0 for window in baselines]) if on_device else host_peak
    limit = hardware.accelerators[0].memory_bytes if on_device else hardware.memory_limit_bytes
    found = creep.creep(sorted(same_script_run, key=lambda window: window.start_s), on_device)
    return MemoryUse(
        device=workload.device,
        peak_bytes=peak,
        limit_bytes=limit,
        parameters_bytes=facts.get("parameters_bytes"),
        gradients_bytes=traced.get("gradients_bytes", facts.get("gradients_bytes")),
        optimizer_bytes=facts.get("optimizer_bytes"),
        activations_bytes=traced.get("activations_bytes"),
        loss_activation_bytes=traced.get("loss_activation_bytes"),
        creep_bytes_per_update=found.slope.value if found is not None else None,
        creep_interval=(found.slope.low, found.slope.high) if found is not None else None,
        creep_confirmed=found is not None and found.confirmed,
        host_peak_bytes=host_peak,
        # An allocator keeps what a what-if made it reserve: only the first windows show the baseline's.
        reserved_bytes=_largest(
            [window.device_reserved_bytes or 0 for window in baselines if _is_before_what_ifs(window, result)]
        ),
    )


def _largest(values: Sequence[int]) -> int | None:
    """Return the largest value; None if none is above zero."""
    return max(values, default=0) or None


def _is_before_what_ifs(window: wire.WindowDone, result: SessionResult) -> bool:
    return result.windows[window.id].role is WindowRole.PROFILE


def _traced(result: SessionResult) -> Mapping[str, Any]:
    trace = result.outcomes.get("trace")
    return trace.extra if isinstance(trace, wire.WindowDone) else {}


def why_no_flops(result: SessionResult) -> str | None:
    """Return why the trace window counted none; None if it did, or was not run."""
    found: str | None = _traced(result).get("why_no_flops")
    return found


def compute(result: SessionResult, counted: Counted, hardware: Hardware, workload: Workload) -> Compute:
    extra = _traced(result)
    flops, moved = extra.get("flops_per_update"), extra.get("bytes_per_update")
    convolutions = extra.get("convolution_flops_per_update")
    of_convolutions = convolutions / flops if flops and convolutions is not None else None
    peak, dtype = peaks.peak_used(hardware, workload, of_convolutions)
    bandwidth = peaks.bandwidth(hardware, workload.device)
    achieved = flops / statistics.fmean(counted.in_step_s) if flops else None
    intensity = flops / moved if flops and moved else None
    bound: Any = None
    if intensity is not None and peak is not None and bandwidth is not None:
        bound = "compute" if intensity > peak.value / bandwidth.value else "memory"
    return Compute(
        flops_per_update=flops,
        achieved_flops_per_s=achieved,
        peak_flops_per_s=peak.value if peak else None,
        peak_fraction=achieved / peak.value if achieved and peak else None,
        peak_from=peak.basis if peak else None,
        peak_dtype=dtype,
        convolution_fraction=of_convolutions,
        bytes_per_update=moved,
        arithmetic_intensity=intensity,
        roofline_bound=bound,
        **_recompiling(counted),
    )


def _recompiling(counted: Counted) -> dict[str, Any]:
    """Return recompilations of the counted updates only: code that warm-up compiles costs nothing later."""
    recompiled = [each for each in counted.done.extra.get("recompiled", ()) if each[0] >= counted.cut]
    times, seconds = sum(each[1] for each in recompiled), sum(each[2] for each in recompiled)
    if not times or not counted.loop_s:
        return {}
    return {
        "recompiles": int(times),
        "recompile_fraction": min(1.0, float(seconds) / counted.loop_s),
        "recompile_reason": str(counted.done.extra.get("recompile_reason", "")),
    }


def ready() -> None:
    """Build the reader that `trace` uses, which takes a while."""
    _traces()


@functools.cache
def _traces() -> TypeAdapter[Trace]:
    return TypeAdapter(Trace)


def trace(result: SessionResult) -> Trace | None:
    window = result.outcomes.get("trace")
    if not isinstance(window, wire.WindowDone) or "trace" not in window.extra:
        return None
    try:
        return _traces().validate_python(window.extra["trace"])
    except ValidationError:
        return None


def system(counted: Counted, script_run: ScriptRunRecord) -> SystemUse:
    done = counted.done
    wall_s = sum(done.wall_s)
    begin = script_run.elapsed_s if not script_run.usage else done.start_s
    inside = [point for point in script_run.usage if begin <= point.at_s <= begin + wall_s]
    return SystemUse(
        main_cpus=done.cpu_s / wall_s if wall_s else None,
        tree_cpus=statistics.fmean(point.tree_cpus for point in inside) if inside else None,
        processes=max((point.processes for point in inside), default=None),
        threads=max((point.threads for point in inside if point.threads is not None), default=None),
        gc_fraction=done.gc_s / wall_s if wall_s else None,
        gc_collections_per_update=done.gc_collections / len(done.wall_s) if done.wall_s else None,
        accelerator_busy_fraction=script_run.devices.busy_fraction(begin, begin + wall_s)
        if script_run.devices
        else None,
        accelerator_events=script_run.devices.events(begin, begin + wall_s) if script_run.devices else (),
        swap_in_bytes_per_s=_system_rate(script_run, "swapped_in_bytes"),
        loadavg_others=others_cpus(script_run),
        other_programs=script_run.other_programs,
    )


def others_cpus(script_run: ScriptRunRecord) -> float | None:
    """Return the CPUs that other programs, advisor included, kept busy while this script run was watched."""
    busy = _system_rate(script_run, "busy_s")
    return None if busy is None else max(0.0, busy - script_run.tree_cpu_s / script_run.watched_s)


def is_disturbed(script_run: ScriptRunRecord, cpu: Cpu) -> bool:
    """Return True if other programs took CPU time from this script run."""
    own = script_run.tree_cpu_s / script_run.watched_s if script_run.watched_s else None
    return contention.is_disturbed(others_cpus(script_run), own, usable_cpus=cpu.usable_cpus, cpus=cpu.affinity_count)


def _system_rate(script_run: ScriptRunRecord, name: str) -> float | None:
    """Return a counter of the whole machine, per second of the script run."""
    if script_run.system_begin is None or script_run.system_end is None or not script_run.watched_s:
        return None
    return float(getattr(script_run.system_end, name) - getattr(script_run.system_begin, name)) / script_run.watched_s


def windows(result: SessionResult) -> tuple[WindowSummary, ...]:
    """Return every window as it was run, for charts and later questions."""
    summaries = []
    for name, outcome in result.outcomes.items():
        if not isinstance(outcome, wire.WindowDone):
            continue
        planned = result.windows[name]
        samples = tuple(count for count in outcome.samples if count is not None)
        summaries.append(
            WindowSummary(
                id=name,
                role=planned.role,
                script_run=result.script_run_of[name],
                kind=planned.kind,
                config=Config.of(planned.config),
                what_if=planned.what_if,
                start_s=outcome.start_s,
                wall_s=tuple(outcome.wall_s),
                phases_s={key: tuple(values) for key, values in outcome.phases_s.items()},
                off_step_s={key: tuple(values) for key, values in outcome.off_step_s.items()},
                micro_steps=tuple(outcome.micro_steps),
                samples=samples if len(samples) == len(outcome.wall_s) else None,
                losses=tuple(outcome.losses),
                dropped_updates=outcome.dropped_updates,
                rss_bytes=tuple(outcome.rss_bytes),
                device_bytes=tuple(outcome.device_bytes),
            )
        )
    return tuple(sorted(summaries, key=lambda window: (window.script_run, window.start_s)))
