"""Figures of the device's own clock: busy time, kernels, idle time by phase and by line, waits, and copies.

A device that never drains does not idle, wherever the CPU is meanwhile. So everything is counted on the device's time
line: from the end of the first traced update's last kernel to that of the last update's. A gap there belongs to the
phase, and to the user's line, that the CPU was in at that time.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TENSOR_CORE = re.compile(
    r"884|1688|16816|16832|i8816|hmma|gmma|tensorop|xmma|nvjet|flash_(fwd|bwd)|fmha|sdpa_sm|mma_sync", re.IGNORECASE
)
"""Names of kernels that use tensor cores: those that PyTorch's TensorBoard plug-in lists, and the names that cuBLAS,
CUTLASS, cuDNN and flash attention give theirs since Ampere. Kernels of Triton do not say."""
NO_TENSOR_CORE = re.compile(r"ffma|simt|sgemm", re.IGNORECASE)
"""Names of float32 products on the ordinary cores, in the same families."""
SYNCHRONISING = (
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "cudaMemcpy",
    "cuStreamSynchronize",
    "cuCtxSynchronize",
    "cuEventSynchronize",
    "hipStreamSynchronize",
    "hipDeviceSynchronize",
    "hipEventSynchronize",
    "hipMemcpy",
    "hipMemcpyWithStream",
)
"""Calls of the runtime and the driver that return only after the device has finished earlier work."""
ADVISOR = "advisor"
"""Phase in which advisor itself works between two updates: its idle time is nobody's."""
LEAST_GAP_NS = 5_000
"""Shortest gap that is given a line: two kernels in a row are 1 to 2 µs apart."""
MOVES = ("to", "cuda")
"""Names of calls that take a tensor to the device: no reads."""
MAX_PLACES = 12
DRAIN_NS = 20_000
"""Time within which a call returns after the device has drained."""

CLOCKS_APART_NS = 20_000
"""Time by which the two clocks may differ once they are matched."""

Place = tuple[str, int, str]
"""File, line and function; ("", 0, "") if it is not known."""
NOWHERE: Place = ("", 0, "")


class Span(NamedTuple):
    """Work of the device, or a call of the runtime on the CPU; nanoseconds of one clock."""

    name: str
    kind: str
    """`kernel`, `copy` or `nccl` on the device; `sync` or `call` on the CPU."""
    begin_ns: int
    end_ns: int
    bytes: int = 0
    pinned: bool | None = None
    """Whether the host's side of a copy is pinned; None if there is none."""
    stream: int = 0
    correlation: int = 0
    """Number that work of the device shares with the call that launched it; 0 if it is not known."""


class Read(NamedTuple):
    """Call of the script that needs a value from the device, or moves a tensor."""

    begin_ns: int
    end_ns: int
    what: str
    place: Place


@dataclass
class Timeline:
    """Traced updates on the clock of `perf_counter`: work of the device, and the CPU at the same time."""

    device: list[Span]
    calls: list[Span]
    ends_ns: list[int]
    """End of every traced update."""
    phases: list[tuple[int, str]] = field(default_factory=list)
    """Beginning and name of every phase, in order."""
    reads: list[Read] = field(default_factory=list)
    samples: list[tuple[int, Place]] = field(default_factory=list)
    """Lines that a sampler saw."""


def device_use(timeline: Timeline) -> dict[str, Any]:
    """Return the fields of `types.DeviceUse`, each per counted update; the first traced update only fills the device.

    Raise ValueError, with the reason, if the updates ran nothing on the device.
    """
    counted = len(timeline.ends_ns) - 1
    launches = {call.correlation: call.begin_ns for call in timeline.calls if call.correlation}
    own: list[Span] = []
    earlier: list[Span] = []
    for span in timeline.device:
        number = bisect.bisect_left(timeline.ends_ns, launches.get(span.correlation, span.begin_ns))
        if number == 0:
            earlier.append(span)
        elif number <= counted:
            own.append(span)
    import statistics  # 3 ms of every start, if it stood at the top

    if counted < 1 or not own:
        raise ValueError("the traced updates ran nothing on the device")
    begin_ns = max((span.end_ns for span in earlier), default=timeline.ends_ns[0])
    end_ns = max(span.end_ns for span in own)
    busy = union([(max(span.begin_ns, begin_ns), span.end_ns) for span in own if span.end_ns > begin_ns])
    gaps = _gaps(busy, begin_ns, end_ns)
    phases = _Phases(timeline.phases)
    idle = _idle_by_phase(gaps, phases)
    ours_ns = idle.pop(ADVISOR, 0)
    gaps = [gap for gap in gaps if phases.most_of(*gap) != ADVISOR]
    syncs, after_ns = _syncs(timeline, gaps)
    kernels = [span for span in own if span.kind in ("kernel", "nccl")]

    def each(total_ns: float) -> float:
        return total_ns / 1e9 / counted

    return {
        "updates": counted,
        "traced_update_s": each(end_ns - begin_ns - ours_ns),
        "busy_s": each(sum(end - begin for begin, end in busy)),
        "kernels_per_update": len(kernels) / counted,
        "kernel_median_s": statistics.median(k.end_ns - k.begin_ns for k in kernels) / 1e9 if kernels else None,
        "tensor_core_s": each(sum(k.end_ns - k.begin_ns for k in kernels if uses_tensor_cores(k.name))),
        "nccl_s": each(sum(k.end_ns - k.begin_ns for k in kernels if k.kind == "nccl")),
        "nccl_exposed_s": each(_exposed(own, begin_ns)),
        "idle_s": {name: each(total_ns) for name, total_ns in idle.items()},
        "gaps": _gap_places(timeline, gaps, phases, counted),
        "syncs": syncs,
        "idle_after_reads_s": each(after_ns),
        **_copied(own, counted),
    }


def uses_tensor_cores(name: str) -> bool:
    """Return whether a kernel's name says that it multiplies on tensor cores."""
    return TENSOR_CORE.search(name) is not None and NO_TENSOR_CORE.search(name) is None


def union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge overlapping spans, such as those of several streams."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _exposed(own: list[Span], begin_ns: int) -> int:
    """Return the nanoseconds in which collectives ran and nothing else did."""

    def length(spans: list[Span]) -> int:
        cut = [(max(span.begin_ns, begin_ns), span.end_ns) for span in spans if span.end_ns > begin_ns]
        return sum(end - begin for begin, end in union(cut))

    return length(own) - length([span for span in own if span.kind != "nccl"])


def _gaps(busy: list[tuple[int, int]], begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
    edges = [begin_ns, *(edge for span in busy for edge in span), end_ns]
    return [(begin, end) for begin, end in zip(edges[::2], edges[1::2]) if end > begin]


class _Phases:
    """Phase of the CPU at any time."""

    def __init__(self, marks: list[tuple[int, str]]) -> None:
        self._at = [at for at, _name in marks]
        self._names = [name for _at, name in marks]

    def parts(self, begin_ns: int, end_ns: int) -> list[tuple[str, int]]:
        """Return the phases within this span, with their nanoseconds; nothing if no phase is known."""
        if not self._at:
            return []
        index = max(0, bisect.bisect_right(self._at, begin_ns) - 1)
        found = []
        while begin_ns < end_ns:
            until = self._at[index + 1] if index + 1 < len(self._at) else end_ns
            until = min(max(until, begin_ns), end_ns)
            if until > begin_ns:
                found.append((self._names[index], until - begin_ns))
            begin_ns, index = until, index + 1
        return found

    def most_of(self, begin_ns: int, end_ns: int) -> str:
        """Return the phase that takes most of this span; "" if no phases are known."""
        sums: Counter[str] = Counter()
        for name, spent_ns in self.parts(begin_ns, end_ns):
            sums[name] += spent_ns
        return sums.most_common(1)[0][0] if sums else ""


def _idle_by_phase(gaps: list[tuple[int, int]], phases: _Phases) -> dict[str, int]:
    idle: dict[str, int] = defaultdict(int)
    for begin, end in gaps:
        for name, spent_ns in phases.parts(begin, end):
            idle[name] += spent_ns
    return dict(idle)


# --- lines ------------------------------------------------------------------------------------------------------------


def _gap_places(timeline: Timeline, gaps: list[tuple[int, int]], phases: _Phases, counted: int) -> list[dict[str, Any]]:
    """Return the idle time by phase and line, the longest first."""
    reads = _Reads(timeline.reads)
    samples = sorted(timeline.samples)
    sampled_at = [at for at, _place in samples]
    found: dict[tuple[str, Place], list[int]] = defaultdict(list)
    for begin, end in gaps:
        if end - begin < LEAST_GAP_NS:
            continue
        inside = samples[bisect.bisect_left(sampled_at, begin) : bisect.bisect_right(sampled_at, end)]
        read = reads.at(begin)
        if read is not None and read.end_ns >= (begin + end) // 2:
            place = read.place
        elif inside:
            place = Counter(place for _at, place in inside).most_common(1)[0][0]
        else:
            place = read.place if read is not None else NOWHERE
        found[phases.most_of(begin, end), place].append(end - begin)
    ranked = sorted(found.items(), key=lambda item: -sum(item[1]))[:MAX_PLACES]
    return [
        {
            "phase": phase,
            "file": file,
            "line": line,
            "function": function,
            "seconds_per_update": sum(lengths) / 1e9 / counted,
            "gaps_per_update": len(lengths) / counted,
            "longest_s": max(lengths) / 1e9,
        }
        for (phase, (file, line, function)), lengths in ranked
    ]


class _Reads:
    """The script's calls, by time."""

    def __init__(self, reads: list[Read]) -> None:
        self._reads = sorted(reads)
        self._begins = [read.begin_ns - CLOCKS_APART_NS for read in self._reads]

    def at(self, at_ns: int) -> Read | None:
        """Return the call that this moment lies in."""
        index = bisect.bisect_right(self._begins, at_ns) - 1
        return self._reads[index] if index >= 0 and self._reads[index].end_ns + CLOCKS_APART_NS >= at_ns else None


def _syncs(timeline: Timeline, gaps: list[tuple[int, int]]) -> tuple[list[dict[str, Any]], int]:
    """Return the waiting calls by line, and the idle time that follows the script's reads."""
    reads = _Reads(timeline.reads)
    begins = [begin for begin, _end in gaps]
    counted = len(timeline.ends_ns) - 1
    found: dict[tuple[str, Place], list[int]] = {}
    followed: dict[int, int] = {}
    for call in timeline.calls:
        if call.kind != "sync":
            continue
        read = reads.at(call.begin_ns)
        place = read.place if read is not None else _sampled(timeline, call)
        entry = found.setdefault((read.what if read is not None else call.name, place), [0, 0, 0])
        if timeline.ends_ns[0] <= call.begin_ns <= timeline.ends_ns[-1]:
            entry[0] += 1
            entry[1] += call.end_ns - call.begin_ns
        # The first update's wait, too: the idle time after it is the next update's.
        index = bisect.bisect_right(begins, call.end_ns) - 1
        if read is None or read.what in MOVES or index in followed:
            continue
        if index < 0 or gaps[index][1] + DRAIN_NS < call.end_ns:
            continue  # the device was busy when the call returned
        followed[index] = gaps[index][1] - gaps[index][0]
        entry[2] += followed[index]
    counted_sites = [item for item in found.items() if item[1][0]]
    ranked = sorted(counted_sites, key=lambda item: -item[1][1])[:MAX_PLACES]
    return [
        {
            "what": what,
            "file": file,
            "line": line,
            "function": function,
            "calls_per_update": calls / counted,
            "seconds_per_update": spent_ns / 1e9 / counted,
            "idle_after_s": after_ns / 1e9 / counted,
        }
        for (what, (file, line, function)), (calls, spent_ns, after_ns) in ranked
    ], sum(followed.values())


def _sampled(timeline: Timeline, call: Span) -> Place:
    inside = [place for at, place in timeline.samples if call.begin_ns <= at <= call.end_ns]
    return Counter(inside).most_common(1)[0][0] if inside else NOWHERE


# --- copies -----------------------------------------------------------------------------------------------------------


def _copied(own: list[Span], counted: int) -> dict[str, Any]:
    """Return bytes copied each way, in all and from pageable memory, and the time that copies take."""
    sums = dict.fromkeys(("to_device_bytes", "to_device_pageable_bytes", "to_host_bytes", "to_host_pageable_bytes"), 0)
    copy_ns = 0
    for span in own:
        way = direction(span.name) if span.kind == "copy" else ""
        if not way:
            continue
        copy_ns += span.end_ns - span.begin_ns
        sums[f"{way}_bytes"] += span.bytes
        sums[f"{way}_pageable_bytes"] += span.bytes if span.pinned is False else 0
    return {**{name: total // counted for name, total in sums.items()}, "copy_s": copy_ns / 1e9 / counted}


def direction(name: str) -> str:
    """Return which way a copy goes by its name: `to_device`, `to_host`, or "" if it stays on one side."""
    if "HtoD" in name or "HostToDevice" in name:
        return "to_device"
    return "to_host" if "DtoH" in name or "DeviceToHost" in name else ""
