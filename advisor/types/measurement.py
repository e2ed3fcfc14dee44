"""What was measured: windows of updates, and what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PHASES = ("data_wait", "host_to_device", "forward", "backward", "optimizer", "other")
"""Exclusive, and they add up to the update."""
OFF_STEP = ("evaluation", "checkpoint", "logging", "loader_restart")
"""Beside the updates; shares of the loop's wall time."""

SettingValue = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Config:
    """Knob id → value; empty means the script as written."""

    settings: tuple[tuple[str, SettingValue], ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, SettingValue]) -> Config:
        return cls(settings=tuple(sorted(settings.items())))

    def as_dict(self) -> dict[str, SettingValue]:
        return dict(self.settings)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steady updates of the script as written."""

    updates: int
    """Counted, after warm-up."""
    warm_up: int
    """Dropped as warm-up."""
    micro_steps_per_update: float
    mean_s: float
    """Wall time of an update, what stands between updates (evaluation, checkpoint, logging) left out."""
    median_s: float
    p99_s: float
    samples_per_s: float | None
    """Over the loop's wall time; None where samples could not be counted."""
    low: float | None
    """Lower end of the 95% interval of samples_per_s (of updates per second where samples are not known)."""
    high: float | None
    updates_per_s: float
    samples_per_update: float | None
    samples_from: Literal["indices", "leading dimension", "not known"]
    steady: bool = True
    """False where the warm-up rule found no steady state."""


@dataclass(frozen=True, kw_only=True)
class LoaderTimes:
    """Where the train loader's own time goes, per update, in seconds; None where it could not be seen."""

    fetch_s: float | None
    """`__getitem__` of all samples of an update, added over workers."""
    fetch_cpu_s: float | None
    """CPU time within `fetch_s`, waiting for a CPU included; much less means waiting for a disk or a network."""
    collate_s: float | None
    transfer_s: float | None
    """From the worker's end of work to the batch in the main process, queueing left out."""
    workers: int
    worker_cpus: float | None = None
    """CPUs that the workers kept busy on average."""
    alone_s: float | None = None
    """The loader drained with no compute: seconds for the batches of one update."""


@dataclass(frozen=True, kw_only=True)
class HotLine:
    """A line and what it costs: of the user's code, or of a library's that no line of the user's has called."""

    file: str
    line: int
    function: str
    share: float
    """Of the loop's wall time; for `where="loader"`, of the loader's own time."""
    phase: str
    """The phase it was seen in, `evaluation` and kin included."""
    kind: Literal["python", "torch", "io", "copy", "sync", "logging", "checkpoint", "gc", "sleep", "profiler"]
    """What its time goes to: `python` is the interpreter, `torch` a torch operator."""
    where: Literal["loop", "loader"] = "loop"
    text: str = ""
    """The source line, stripped."""
    library: str = ""
    """The installed package that the line calls, or that it belongs to; "" where it calls none but torch."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Bytes. On an accelerator the device's memory; on a CPU the process's resident memory."""

    device: str
    peak_bytes: int | None
    limit_bytes: int | None
    parameters_bytes: int | None
    gradients_bytes: int | None
    optimizer_bytes: int | None
    activations_bytes: int | None
    """Kept for backward, measured in one update."""
    creep_bytes_per_update: float | None
    """Robust slope over the updates seen; None where too few were seen."""
    creep_confirmed: bool = False
    """The slope's interval lies above zero by more than the allocator's own steps."""
    host_peak_bytes: int | None = None
    reserved_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Compute:
    flops_per_update: int | None
    """Matrix products, convolutions and attention; no elementwise operators."""
    achieved_flops_per_s: float | None
    peak_flops_per_s: float | None
    peak_fraction: float | None
    peak_from: Literal["table", "measured"] | None
    peak_dtype: str | None = None
    bytes_per_update: int | None = None
    """Lower bound of the memory traffic: operands read and written once."""
    arithmetic_intensity: float | None = None
    """FLOPs per byte."""
    roofline_bound: Literal["compute", "memory"] | None = None
    recompiles: int | None = None
    """Times that torch compiled code anew within the updates counted; None where it did not."""
    recompile_fraction: float | None = None
    """Of the time in the updates counted."""
    recompile_reason: str = ""
    """Why the code that was there did not serve, the last time, in torch's words."""


@dataclass(frozen=True, kw_only=True)
class CallSite:
    """Calls of one kind from one user line, per update."""

    what: str
    """item, cpu, tolist, numpy, bool, to, print, deepcopy, gc.collect, empty_cache …"""
    file: str
    line: int
    function: str
    calls_per_update: float
    seconds_per_update: float | None = None
    bytes_per_update: int | None = None
    detail: str = ""
    """For copies: "pageable", "pinned", "blocking", "non_blocking"."""
    library: str = ""
    """The installed package that the line calls and that makes the calls; "" where the line makes them itself."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """From a few extra updates that were traced; their timings are not used for rates."""

    updates: int
    torch_calls_per_update: float | None
    """Torch operators dispatched in an update, forward to optimizer; None where the script uses compiled code or
    watches its operators itself."""
    kernel_median_s: float | None
    """Typical length of one operator."""
    calls: tuple[CallSite, ...]


@dataclass(frozen=True, kw_only=True)
class SystemUse:
    """How the script used the machine in the measured windows; its own process tree only, but for the last two."""

    main_cpus: float | None
    """CPUs kept busy by the training process."""
    tree_cpus: float | None
    """The same with all its children."""
    processes: int | None
    threads: int | None
    read_bytes_per_s: float | None
    gc_fraction: float | None
    """Share of the loop's wall time that Python's garbage collector took."""
    gc_collections_per_update: float | None
    accelerator_busy_fraction: float | None
    accelerator_events: tuple[str, ...] = ()
    iowait_fraction: float | None = None
    swap_in_bytes_per_s: float | None = None
    loadavg_others: float | None = None
    """CPUs that other programs kept busy meanwhile: a reason for noise, never for a verdict."""


@dataclass(frozen=True, kw_only=True)
class LoaderRestarts:
    """What the ends of epochs cost at the loader."""

    epochs_seen: int
    seconds_per_restart: float | None
    """From the end of an epoch to the next epoch's first batch, beyond an ordinary wait."""
    updates_per_epoch: float | None
    share: float | None
    """Of the loop's wall time, for epochs of the script's own length."""


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What the loop would gain if one cost were gone; measured in neighbouring windows of one life."""

    name: str
    speedup: float
    low: float
    high: float
    """95% interval."""
    rounds: int
    note: str = ""
    """What was not alike, where something was not."""


@dataclass(frozen=True, kw_only=True)
class WindowSummary:
    """One window as it was run; the raw material of the pictures."""

    id: str
    life: int
    kind: str
    config: Config
    what_if: str | None
    start_s: float
    """Since the script's start."""
    wall_s: tuple[float, ...]
    """Of each counted update."""
    phases_s: Mapping[str, tuple[float, ...]]
    off_step_s: Mapping[str, tuple[float, ...]]
    micro_steps: tuple[int, ...]
    samples: tuple[int, ...] | None
    losses: tuple[float | None, ...]
    dropped_updates: int
    rss_bytes: tuple[int, ...] = ()
    device_bytes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UsagePoint:
    """The machine at one moment, for the picture over time."""

    at_s: float
    tree_cpus: float
    rss_bytes: int
    accelerator_busy_fraction: float | None = None
    accelerator_memory_bytes: int | None = None
    processes: int = 1
    threads: int | None = None
    """Of all processes together."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A probe that did not get to its end."""

    kind: Literal["oom", "crash", "hang", "nan", "no_steps", "refused", "exit", "disk_full", "interrupted"]
    message: str
    """One line: what happened, with the value."""
    exit_code: int | None = None
    exceptions: tuple[str, ...] = ()
    """The chain, outermost first, "Type: text"."""
    stderr_tail: str = ""
    elapsed_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One process of the training."""

    rank: int
    pid: int
    device: str
    mean_s: float | None
    data_wait_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process of the script, from its start to its end."""

    number: int
    started: str
    """ISO 8601, UTC."""
    start_up_s: float | None
    """From the process's start to the first update's begin."""
    updates: int
    end: str
    """finished, stopped, or the failure's kind."""


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What measuring itself costs."""

    fraction: float | None
    """Hooked windows against bare windows next to them; None where too few were run."""
    low: float | None = None
    high: float | None = None
    hooks_us_per_update: float | None = None
    sampler_hz: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """What the script does when an epoch ends; seen once, charged to an epoch of the script's own length."""

    seen: bool
    forced: bool = False
    """The epoch was ended early for the look."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """evaluation, checkpoint, logging, loader_restart: seconds at one epoch's end."""
