"""Reading the evidence: shares of the loop, the user's lines, words for numbers. Shared by the rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from ..types import (
    CallSite,
    Evidence,
    HotLine,
    LimitSetter,
    ModelFacts,
    OperatorUse,
    Place,
)
from ._base import clamp

CALL_COST_S = 5e-6
"""Time that Python, dispatch and autograd take for one torch operator, whatever its size: 346 operators of a small MLP
took 1.74 ms at a batch of 2 (torch 2.13, one update with Adam)."""
MIN_HOOKS_PER_UPDATE = 0.5
"""Hooks left behind by an update from which they pile up: epochs may add a few."""
FASTEST_BYTES_PER_S = 8e12
"""Bandwidth of the fastest accelerator memory on sale (HBM3E of a B200), for those that were not measured."""
METRIC_LIBRARIES = (
    "sklearn",
    "torchmetrics",
    "torcheval",
    "ignite",
    "evaluate",
    "seqeval",
    "sacrebleu",
    "rouge_score",
    "nltk",
    "jiwer",
    "pycocotools",
)
"""Packages that a training script calls for its metrics; those that also train (transformers, lightning) are none."""
NEARLY_ALL = 0.9
"""Fraction of the lines' time from which they count as a library's own: a sampler meets a few callbacks."""
THREAD_SETTERS = ("torch.set_num_threads", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Ways in which a line of the script sets torch's threads."""
MAX_PLACES = 3
"""Lines named in a finding; nobody looks beyond the third."""
MOST_SHARE = 0.95
"""Share of the loop that traced operators are said to cost at most."""
LEAST_PART = 0.02
"""Part of all that a finding's lines take, below which one of them is not named."""


def step_share(evidence: Evidence) -> float:
    """Return the share of the loop's wall time in updates, without evaluation, checkpoints, logging or restarts."""
    return clamp(1 - sum(evidence.off_step.values()))


def phase_share(evidence: Evidence, *names: str) -> float:
    """Return the share of the loop's wall time in these phases of the update."""
    return clamp(sum(evidence.phases.get(name, 0.0) for name in names) * step_share(evidence))


def compute_share(evidence: Evidence) -> float:
    return phase_share(evidence, "forward", "backward")


def traced_operators(evidence: Evidence) -> OperatorUse | None:
    """Return what the trace shows of the operators; None without a trace, or if they were not counted."""
    return evidence.trace.operators if evidence.trace is not None else None


def operator_share(evidence: Evidence, used: OperatorUse, seconds: float) -> float:
    """Return the share of the loop of operators that take these seconds of an update on a CPU; 0 if none was timed."""
    if not used.seconds:
        return 0.0
    return min(seconds / used.seconds, 1.0) * phase_share(evidence, "forward", "backward", "optimizer", "other")


def moved_share(evidence: Evidence, used: OperatorUse, seconds: float, moved_bytes: int) -> float:
    """Return the share of the loop that operators take which mostly move numbers.

    `seconds` is their time in an update on the CPU. An accelerator runs them later: what they move then takes at least
    what its memory needs for it.
    """
    if not evidence.on_accelerator:
        return operator_share(evidence, used, seconds)
    measured = [
        one.memory_bandwidth.value for one in evidence.hardware.accelerators if one.memory_bandwidth is not None
    ]
    rate = measured[0] if measured else FASTEST_BYTES_PER_S
    if evidence.steps.mean_s <= 0:
        return 0.0
    return clamp(moved_bytes / rate / evidence.steps.mean_s) * step_share(evidence)


def updates_per_epoch(evidence: Evidence) -> float | None:
    """Return the updates in an epoch of the script's own length; None if the epoch has no known end."""
    if evidence.restarts is not None and evidence.restarts.updates_per_epoch:
        return evidence.restarts.updates_per_epoch
    loader = evidence.workload.train_loader
    if loader is None or not loader.length_batches:
        return None
    steps = evidence.steps
    return loader.length_batches / (steps.batches_per_update or max(steps.micro_steps_per_update, 1.0))


def beside_share(evidence: Evidence, name: str) -> float | None:
    """Return the share of the loop's wall time of evaluation, checkpoint, logging or loader_restart; None if unseen.

    Work inside the loop was measured there; work seen only at an epoch's end is charged to a whole epoch.
    """
    if name in evidence.off_step:
        return clamp(evidence.off_step[name])
    at_end_s = evidence.epoch_end.seconds.get(name)
    updates = updates_per_epoch(evidence)
    if at_end_s is None or updates is None:
        return None
    epoch_s = updates * evidence.steps.mean_s + sum(evidence.epoch_end.seconds.values())
    return clamp(at_end_s / epoch_s) if epoch_s > 0 else None


def loop_lines(
    evidence: Evidence, kinds: Collection[str], phases: Collection[str] | None = None
) -> tuple[HotLine, ...]:
    """Return the user's lines of the loop of these kinds, the most expensive first."""
    found = (
        line
        for line in evidence.lines
        if line.where == "loop" and line.kind in kinds and (phases is None or line.phase in phases)
    )
    return tuple(sorted(found, key=lambda line: -line.share))


def loader_lines(evidence: Evidence, kinds: Collection[str] | None = None) -> tuple[HotLine, ...]:
    """Return the user's lines inside the loader's own work; their shares are of that work."""
    found = (line for line in evidence.lines if line.where == "loader" and (kinds is None or line.kind in kinds))
    return tuple(sorted(found, key=lambda line: -line.share))


def total_share(lines: Iterable[HotLine]) -> float:
    return clamp(sum(line.share for line in lines))


def calls(evidence: Evidence, names: Collection[str]) -> tuple[CallSite, ...]:
    """Return traced calls of these kinds, the most expensive first; empty also if nothing was traced."""
    if evidence.trace is None:
        return ()
    found = (call for call in evidence.trace.calls if call.what in names)
    return tuple(sorted(found, key=lambda call: -(call.seconds_per_update or 0.0)))


def call_share(evidence: Evidence, sites: Iterable[CallSite]) -> float:
    """Return the share of the loop that these calls take, by the traced updates; 0 if none of their times is known."""
    if evidence.steps.mean_s <= 0:
        return 0.0
    seconds = sum(site.seconds_per_update or 0.0 for site in sites)
    return clamp(seconds / evidence.steps.mean_s * step_share(evidence))


def line_places(lines: Iterable[HotLine]) -> tuple[Place, ...]:
    """Return the places of these lines, each once, the most expensive first."""
    return _merged(
        Place(file=line.file, line=line.line, function=line.function, share=line.share, library=line.library)
        for line in lines
    )


def call_places(sites: Iterable[CallSite]) -> tuple[Place, ...]:
    """Return the places of these calls, each once, in their order."""
    return _merged(
        Place(file=site.file, line=site.line, function=site.function, library=site.library) for site in sites
    )


class OperatorLine(Protocol):
    """Line of a forward whose operators take time."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def function(self) -> str: ...


def operator_places(lines: Sequence[tuple[OperatorLine, float]]) -> tuple[Place, ...]:
    """Return the places of lines with their shares, the largest first, without those that hardly count."""
    found = [Place(file=one.file, line=one.line, function=one.function, share=share) for one, share in lines]
    least = LEAST_PART * sum(share for _one, share in lines)
    return _merged(place for place in found if (place.share or 0.0) >= least)


def threads_set_by(evidence: Evidence) -> tuple[LimitSetter, ...]:
    """Return the lines that set as many threads as torch has; empty if no line of the script did."""
    limits = evidence.workload.cpu_limits
    threads = str(evidence.workload.flags.num_threads)
    return limits.set_by(*THREAD_SETTERS, value=threads) if limits is not None else ()


def setter_places(setters: Iterable[LimitSetter]) -> tuple[Place, ...]:
    """Return the places of the lines that set a limit, each once."""
    return _merged(
        Place(file=one.file, line=one.line, function=one.function, library=one.library) for one in setters if one.file
    )


def library_of_lines(lines: Iterable[HotLine]) -> str:
    """Return the installed package that does all the work of these lines; "" if some of it is the script's own."""
    return _sole_library((line.library, line.share) for line in lines)


def library_of_calls(sites: Iterable[CallSite]) -> str:
    """Return the same for calls, each with equal weight."""
    return _sole_library((site.library, 1.0) for site in sites)


def _sole_library(shares: Iterable[tuple[str, float]]) -> str:
    by_library: dict[str, float] = {}
    for library, share in shares:
        by_library[library] = by_library.get(library, 0.0) + share
    most = max(by_library, key=lambda name: by_library[name], default="")
    return most if by_library and by_library[most] >= NEARLY_ALL * sum(by_library.values()) else ""


def _merged(places: Iterable[Place]) -> tuple[Place, ...]:
    """Merge entries of one line sampled in several phases, kinds of work and libraries: the reader sees one place."""
    same: dict[tuple[str, int, str], list[Place]] = {}
    for place in places:
        same.setdefault((place.file, place.line, place.function), []).append(place)
    merged = [_as_one(group) for group in same.values()]
    return tuple(sorted(merged, key=lambda place: -(place.share or 0.0))[:MAX_PLACES])


def _as_one(group: list[Place]) -> Place:
    shares = [place.share for place in group if place.share is not None]
    by_library: dict[str, float] = {}
    for place in group:
        by_library[place.library] = by_library.get(place.library, 0.0) + (place.share or 0.0)
    library = max(by_library, key=lambda name: by_library[name])
    return replace(group[0], share=clamp(sum(shares)) if shares else None, library=library)


def device_busy(evidence: Evidence) -> float | None:
    """Return the fraction of the update in which the accelerator works: by its own clock, else by NVML, which counts a
    moment with any kernel as busy; None if neither is known."""
    if evidence.device_use is not None:
        return evidence.device_use.busy_fraction
    return evidence.system.accelerator_busy_fraction


def overhead_fraction(evidence: Evidence) -> float | None:
    """Return the share of an update that faster operators cannot shorten; None without a trace.

    On an accelerator it is the idle time between kernels, if the device was traced. Else it is the time for calling
    torch's operators, whatever they compute.
    """
    use = evidence.device_use
    if use is not None:
        return use.idle_fraction("forward", "backward", "optimizer")
    calls = evidence.trace.torch_calls_per_update if evidence.trace is not None else None
    if calls is None or evidence.steps.mean_s <= 0:
        return None
    return clamp(calls * CALL_COST_S / evidence.steps.mean_s)


def cpus_for_this_rank(evidence: Evidence) -> float:
    """Return the CPUs that this rank may use: its share of the machine's, and no more than its affinity allows."""
    share = evidence.hardware.cpu.usable_cpus / max(evidence.workload.world_size, 1)
    limits = evidence.workload.cpu_limits
    return max(share if limits is None or not limits.allowed else min(share, limits.allowed), 0.01)


def usable_cores(evidence: Evidence) -> int:
    """Return the cores for this rank, counting two hardware threads once: torch defaults to one thread per core."""
    cpu = evidence.hardware.cpu
    cpus = cpus_for_this_rank(evidence)
    if cpu.cores_physical and cpu.cores_physical < cpu.cores_logical:
        cpus *= cpu.cores_physical / cpu.cores_logical
    return max(int(cpus), 1)


def limit_bytes(evidence: Evidence) -> int | None:
    """Return the memory the training may use: its device's, or the RAM on a CPU."""
    if evidence.memory.limit_bytes is not None or evidence.on_accelerator:
        return evidence.memory.limit_bytes
    return evidence.hardware.memory_limit_bytes


def layer_count(models: Iterable[ModelFacts], names: Collection[str]) -> int:
    return sum(count for model in models for name, count in model.layers.items() if name in names)


def main_models(evidence: Evidence) -> tuple[ModelFacts, ...]:
    """Return the models that are trained, without a frozen teacher or an average of weights."""
    return tuple(found for found in evidence.workload.models if found.trainable_parameters > 0)


def in_single_precision(evidence: Evidence) -> bool:
    """Return whether most weights are float32 and the forward ran without autocast."""
    if evidence.workload.flags.autocast_dtype is not None:
        return False
    counts: dict[str, int] = {}
    for found in main_models(evidence):
        for dtype, count in found.parameter_dtypes.items():
            counts[dtype] = counts.get(dtype, 0) + count
    return 2 * counts.get("float32", 0) > sum(counts.values())


def compute_capability(evidence: Evidence) -> tuple[int, int] | None:
    """Return the capability of the first CUDA device, if the training runs on CUDA."""
    if evidence.workload.device != "cuda":
        return None
    found = (each.compute_capability for each in evidence.hardware.accelerators if each.kind == "cuda")
    return next(found, None)


def hooks_per_update(evidence: Evidence) -> float:
    """Return the hooks that each update leaves behind; 0 if they do not pile up."""
    left = evidence.growth.hooks_per_update if evidence.growth is not None else None
    return left if left is not None and left >= MIN_HOOKS_PER_UPDATE else 0.0


def percent(share: float) -> str:
    """Format a share, with two digits if it is small: 0.4%, 3.1%, 27%."""
    value = 100 * share
    return f"{value:.0f}%" if value >= 9.95 else f"{value:.1f}%"


def times(count: float) -> str:
    """Format how often something happens: once, 0.3 times, 4 times."""
    return "once" if f"{count:.3g}" == "1" else f"{count:.3g} times"


def duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def size(count: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"
