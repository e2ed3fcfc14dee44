"""Only layer that touches torch's profiler: the device's activities between a start and a stop.

Kineto takes them from CUPTI (or its like). Operators of the CPU are not recorded: their callbacks would slow the
launches down, and the idle time of a launch-bound training is what the trace is for.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from .device_use import SYNCHRONISING, Span

_COPY = re.compile(r"Memcpy|Memset|^Copy(Host|Device)", re.IGNORECASE)
_NCCL = re.compile(r"^(void )?(nccl|rccl)", re.IGNORECASE)
_VERSION = re.compile(r"(_ptsz)?(_v\d+)?$")
"""Endings of the same call for other versions and streams."""
_NOT_WORK = re.compile(r"^(Context|Stream|Event) (Sync|Wait)|^Activity Buffer|ProfilerStep")
"""Events on the device's side that are no work of it."""


GRAPHS_SAFE_FROM = (12, 6)
"""CUDA version from which CUPTI can be unloaded beside CUDA graphs (pytorch#150957)."""
_was_unloaded = False


class UnavailableError(Exception):
    """The device's clock cannot be had; the text says why."""


class Kineto:
    """Recorder of one device's activities."""

    recording = False
    """Whether torch's profiler is on for one of ours; torch has one at a time."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._on = False
        self._set: list[str] = []

    def start(self) -> None:
        """Begin to record; raise UnavailableError if that is not possible."""
        import torch

        autograd: Any = torch.autograd
        wanted = getattr(autograd.ProfilerActivity, self._kind.upper(), None)
        if wanted is None or wanted not in autograd._supported_activities():
            raise UnavailableError(f"this torch cannot trace {self._kind} (built without CUPTI or its like)")
        if autograd._profiler_enabled():
            raise UnavailableError("the script's own profiler is running, and only one can")
        self._prepare_cupti()
        try:
            planned = autograd.profiler.profile(use_device=self._kind, use_cpu=False, use_kineto=True)
            activities = planned.kineto_activities
            autograd._prepare_profiler(planned.config(), activities)
            autograd._enable_profiler(planned.config(), activities)
        except Exception as error:
            self._restore_environment()
            raise UnavailableError(f"torch's profiler could not be started: {error!r}") from error
        self._on = True
        Kineto.recording = True

    def stop(self) -> tuple[list[Span], list[Span]]:
        """End; return the work of the device, and the calls of the runtime, on the profiler's own clock.

        Raise UnavailableError if there is none.
        """
        if not self._on:
            raise UnavailableError("torch's profiler was not started")
        self._on = False
        Kineto.recording = False
        import torch

        autograd: Any = torch.autograd
        try:
            events = autograd._disable_profiler().events()
        except Exception as error:
            raise UnavailableError(f"torch's profiler failed: {error!r}") from error
        finally:
            self._restore_environment()
        return spans_of(events)

    def _prepare_cupti(self) -> None:
        """Have CUPTI unloaded after the trace: loaded, it slows all later launches by 10 to 20% (pytorch#144455).

        Before CUDA 12.6 that crashes beside CUDA graphs: there it stays loaded, as torch.profiler has it, or, once it
        was unloaded, the device is not traced again.
        """
        global _was_unloaded
        wanted = {"TEARDOWN_CUPTI": "1"}
        if _version() < GRAPHS_SAFE_FROM and _uses_graphs():
            if _was_unloaded:
                raise UnavailableError("CUDA graphs before CUDA 12.6: a second trace may end the process")
            wanted = {"TEARDOWN_CUPTI": "0", "DISABLE_CUPTI_LAZY_REINIT": "1"}
        else:
            _was_unloaded = True
        self._set = [name for name in wanted if name not in os.environ]
        os.environ.update({name: wanted[name] for name in self._set})

    def _restore_environment(self) -> None:
        for name in self._set:
            os.environ.pop(name, None)
        self._set = []


def _version() -> tuple[int, ...]:
    """Return torch's CUDA version; a high one for a torch of another kind."""
    import torch

    found = re.match(r"(\d+)\.(\d+)", str(torch.version.cuda or ""))
    return tuple(map(int, found.groups())) if found is not None else (99,)


def _uses_graphs() -> bool:
    """Return whether the script, or torch.compile for it, holds a CUDA graph."""
    if "torch._inductor.cudagraph_trees" in sys.modules:
        return True
    graphs = sys.modules.get("torch.cuda.graphs")
    kind = getattr(graphs, "CUDAGraph", None)
    return isinstance(kind, type) and any(issubclass(type(found), kind) for found in gc.get_objects())


def spans_of(events: Iterable[Any]) -> tuple[list[Span], list[Span]]:
    """Return the device's spans and the runtime's calls of Kineto's events, each by their begin.

    Of several devices, the one with most work counts. Raise UnavailableError without any work.
    """
    by_device: dict[int, list[Span]] = {}
    calls: list[Span] = []
    for event in events:
        name = _VERSION.sub("", str(event.name()))
        begin_ns = int(event.start_ns())
        end_ns = begin_ns + int(event.duration_ns())
        number = int(event.correlation_id())
        if "CPU" in str(event.device_type()):
            calls.append(Span(name, "sync" if name in SYNCHRONISING else "call", begin_ns, end_ns, correlation=number))
        elif not _NOT_WORK.search(name):
            copies = _COPY.search(name) is not None
            kind = "copy" if copies else "nccl" if _NCCL.search(name) else "kernel"
            size = max(0, int(event.nbytes())) if copies else 0
            stream = int(event.device_resource_id()) if hasattr(event, "device_resource_id") else 0
            span = Span(name, kind, begin_ns, end_ns, size, _pinned(name), stream, number)
            by_device.setdefault(int(event.device_index()), []).append(span)
    if not by_device:
        raise UnavailableError("no event of the device came back; another profiler may hold it (CUPTI serves one)")
    most = max(by_device.values(), key=lambda spans: sum(span.end_ns - span.begin_ns for span in spans))
    return sorted(most, key=_begin), sorted(calls, key=_begin)


def _begin(span: Span) -> int:
    return span.begin_ns


def _pinned(name: str) -> bool | None:
    """Read the host's memory off a copy's name: `Memcpy HtoD (Pageable -> Device)`."""
    if "Pageable" in name:
        return False
    return True if "Pinned" in name else None
