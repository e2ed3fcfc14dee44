"""Measurements: windows of updates, and the values derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..wire import WindowRole
from .operators import OperatorUse

PHASES = ("data_wait", "host_to_device", "forward", "backward", "optimizer", "other")
"""Phases of an update: exclusive, and they add up to it."""
OFF_STEP = ("evaluation", "checkpoint", "logging", "loader_restart")
"""Work outside the updates, as shares of the loop's wall time."""

SettingValue = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Config:
    """Knob id → value; empty means the baseline."""

    settings: tuple[tuple[str, SettingValue], ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, SettingValue]) -> Config:
        return cls(settings=tuple(sorted(settings.items())))

    def as_dict(self) -> dict[str, SettingValue]:
        return dict(self.settings)

    def with_setting(self, name: str, value: SettingValue) -> Config:
        return Config.of({**self.as_dict(), name: value})

    def without(self, name: str) -> Config:
        return Config(settings=tuple(setting for setting in self.settings if setting[0] != name))

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings) or "the unmodified script"


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steady updates of the baseline."""

    updates: int
    """Updates counted, after warm-up."""
    warm_up: int
    """Updates dropped as warm-up."""
    micro_steps_per_update: float
    mean_s: float
    """Wall time of an update, without the work between updates (evaluation, checkpoint, logging)."""
    median_s: float
    p99_s: float
    samples_per_s: float | None
    """Rate over the loop's wall time; None if samples could not be counted."""
    low: float | None
    """Lower end of the 95% interval of samples_per_s (of updates per second if samples are not known)."""
    high: float | None
    updates_per_s: float
    samples_per_update: float | None
    samples_from: Literal["indices", "leading dimension", "not known"]
    batches_per_update: float | None = None
    """Batches that the train loader delivered for an update; None without a loader, and in profiles of 0.2 or older."""
    steady: bool = True
    """False if the warm-up rule found no steady state."""
    share_error: float | None = None
    """Half the width of the 95% interval of the least certain share of the time (a phase, or a sampled line); None if a
    single update was counted."""


@dataclass(frozen=True, kw_only=True)
class LoaderTimes:
    """The train loader's own time per update, in seconds; None for a part that could not be seen."""

    fetch_s: float | None
    """`__getitem__` of all samples of an update, summed over workers."""
    fetch_cpu_s: float | None
    """CPU time within `fetch_s`, including the wait for a CPU; much less means waiting for a disk or a network."""
    collate_s: float | None
    transfer_s: float | None
    """Time from the worker's end of work to the batch in the main process, without queueing."""
    workers: int
    worker_cpus: float | None = None
    """CPUs that the workers kept busy on average."""
    alone_s: float | None = None
    """Seconds for the batches of one update when the loader is drained without compute."""
    rows_read: Literal["whole", "table"] | None = None
    """How whole batches could be read where samples are read one by one: `whole` if the dataset itself answers a list
    of indices with the same batch, `table` if its samples, of one shape, could be held as the columns of a table."""
    rows_s: float | None = None
    """Seconds for the batches of one update in this process, read sample by sample."""
    whole_s: float | None = None
    """Seconds for the batches of one update, read whole."""
    sample_bytes: float | None = None
    """Bytes of one sample in a batch."""
    opened: str = ""
    """The file, or member of an archive, that is opened again for every sample; "" if there is none."""
    opened_per_sample: float | None = None


@dataclass(frozen=True, kw_only=True)
class HotLine:
    """A line and its cost: in the user's code, or in a library's that no line of the user's called."""

    file: str
    line: int
    function: str
    share: float
    """Share of the loop's wall time; for `where="loader"`, of the loader's own time."""
    phase: str
    """Phase in which it was seen, including `evaluation` and the other work outside the updates."""
    kind: Literal["python", "torch", "io", "copy", "sync", "logging", "checkpoint", "gc", "sleep", "profiler"]
    """Kind of work that takes the time: `python` is the interpreter, `torch` a torch operator."""
    where: Literal["loop", "loader"] = "loop"
    text: str = ""
    """The source line, stripped."""
    library: str = ""
    """The installed package that the line calls or belongs to; "" if it calls none but torch."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Memory in bytes: the device's on an accelerator, the process's resident memory on a CPU.

    Peaks are those of the baseline's updates, without what-ifs and traces.
    """

    device: str
    peak_bytes: int | None
    limit_bytes: int | None
    parameters_bytes: int | None
    gradients_bytes: int | None
    optimizer_bytes: int | None
    activations_bytes: int | None
    """Activations kept for backward, measured in one update."""
    loss_activation_bytes: int | None = None
    """The largest one of those kept last, which are the loss's; None in profiles of older versions."""
    creep_bytes_per_update: float | None
    """Robust slope over the updates seen; None if too few were seen."""
    creep_interval: tuple[float, float] | None = None
    """95% interval of the slope."""
    creep_confirmed: bool = False
    """True if the slope's interval lies above zero by more than the allocator's own steps."""
    host_peak_bytes: int | None = None
    reserved_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Compute:
    flops_per_update: int | None
    """FLOPs of matrix products, convolutions and attention, each once; no elementwise operators, no recomputation."""
    achieved_flops_per_s: float | None
    peak_flops_per_s: float | None
    peak_fraction: float | None
    """Model FLOPs utilisation (MFU): `achieved_flops_per_s` over `peak_flops_per_s`."""
    peak_from: Literal["table", "measured"] | None
    peak_dtype: str | None = None
    """Dtype that products really run in: float32 convolutions take TF32 unless that is off. "tf32 and fp32" is a peak
    between both, by the FLOPs of each."""
    convolution_fraction: float | None = None
    """Fraction of the FLOPs in convolutions."""
    bytes_per_update: int | None = None
    """Lower bound of the memory traffic: operands read and written once."""
    arithmetic_intensity: float | None = None
    """FLOPs per byte."""
    roofline_bound: Literal["compute", "memory"] | None = None
    recompiles: int | None = None
    """Times that torch recompiled code within the counted updates; None if it did not compile."""
    recompile_fraction: float | None = None
    """Fraction of the time in the counted updates."""
    recompile_reason: str = ""
    """Reason for the last recompilation, in torch's words."""


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
    """The installed package that the line calls and that makes the calls; "" if the line makes them itself."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Data from a few extra traced updates; their timings are not used for rates."""

    updates: int
    torch_calls_per_update: float | None
    """Torch operators dispatched in an update, forward to optimizer; None if the script uses compiled code or watches
    its operators itself."""
    kernel_median_s: float | None
    """Typical length of one operator; None on an accelerator, where a launch is not the kernel (see `DeviceUse`)."""
    calls: tuple[CallSite, ...]
    operators: OperatorUse | None = None
    """None where operators could not be watched."""


@dataclass(frozen=True, kw_only=True)
class OtherProgram:
    """A program that ran beside the script."""

    name: str
    """Its name, with the file that an interpreter runs."""
    cpus: float
    """CPUs that it kept busy, over all processes of that name."""


@dataclass(frozen=True, kw_only=True)
class SystemUse:
    """The script's use of the machine in the measured windows; its own process tree only, except for the last two."""

    main_cpus: float | None
    """CPUs kept busy by the training process."""
    tree_cpus: float | None
    """CPUs kept busy by the training process and all its children."""
    processes: int | None
    threads: int | None
    gc_fraction: float | None
    """Share of the loop's wall time spent in Python's garbage collector."""
    gc_collections_per_update: float | None
    accelerator_busy_fraction: float | None
    accelerator_events: tuple[str, ...] = ()
    swap_in_bytes_per_s: float | None = None
    loadavg_others: float | None = None
    """CPUs that other programs kept busy meanwhile: a reason for noise, never for a verdict."""
    other_programs: tuple[OtherProgram, ...] = ()
    """The busiest of them that could be seen; those outside a container cannot."""


ABANDONED_FRACTION = 0.5
"""Fraction of an epoch's batches up to which an iterator counts as given up before its end (`next(iter(loader))`)."""


@dataclass(frozen=True, kw_only=True)
class LoaderRestarts:
    """Cost of the ends of epochs at the loader."""

    seconds_per_restart: float | None
    """Time from the end of an epoch to the next epoch's first batch, beyond an ordinary wait."""
    updates_per_epoch: float | None
    share: float | None
    """Share of the loop's wall time, for epochs of the script's own length."""
    draw_s: float | None = None
    """Part of the time of one in which the sampler drew the epoch's first indices; most samplers draw all then."""
    batches_per_start: float | None = None
    """Batches taken from each iterator, if the measured loop began several."""


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """Gain of the loop if one cost were gone, measured in neighbouring windows of one script run."""

    name: str
    speedup: float
    low: float
    high: float
    """95% interval."""
    rounds: int
    note: str = ""
    """Differences between the windows, if there were any."""


@dataclass(frozen=True, kw_only=True)
class WindowSummary:
    """One window as it was run; the raw data of the charts."""

    id: str
    role: WindowRole
    script_run: int = field(metadata={"alias": "life"})
    kind: str
    config: Config
    what_if: str | None
    start_s: float
    """Seconds since the script's start."""
    wall_s: tuple[float, ...]
    """Wall time of each counted update."""
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
    """The machine at one moment, for the chart over time."""

    at_s: float
    tree_cpus: float
    rss_bytes: int
    accelerator_busy_fraction: float | None = None
    accelerator_memory_bytes: int | None = None
    processes: int = 1
    threads: int | None = None
    """Threads of all processes together."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A probe that did not complete."""

    kind: Literal["oom", "crash", "hang", "nan", "no_steps", "refused", "exit", "disk_full", "interrupted"]
    message: str
    """One line: what happened, with the value."""
    exit_code: int | None = None
    exceptions: tuple[str, ...] = ()
    """The exception chain, outermost first, "Type: text"."""
    stderr_tail: str = ""
    elapsed_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScriptRunSummary:
    """One script run: a process of the script, from its start to its end."""

    number: int
    started: str
    """ISO 8601, UTC."""
    start_up_s: float | None
    """Time from the process's start to the beginning of the first update."""
    updates: int
    end: str
    """finished, stopped, or the failure's kind."""


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Cost of measuring itself."""

    fraction: float | None = None
    """Hooked windows against neighbouring bare windows; None if too few were run, or if they scatter too much."""
    low: float | None = None
    high: float | None = None
    hooks_us_per_update: float | None = None
    """The same in microseconds; None unless the interval lies above zero."""
    sampler_hz: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """Work of the script at the end of an epoch; seen once, charged to an epoch of the script's own length."""

    seen: bool = False
    forced: bool = False
    """True if the epoch was ended early to see its end."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """evaluation, checkpoint, logging, loader_restart: seconds at one epoch's end."""
