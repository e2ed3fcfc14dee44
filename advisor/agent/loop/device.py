"""Only layer that touches an accelerator: events at phase boundaries, and its memory.

Differences between neighbouring events are the phases' shares of the device's time. An event that the CPU puts on the
stream at time c passes when everything before it is done, at T = max(c, drained). Suppose data is requested at c₁ and
ready at c₂. Nothing is put on the stream in between, so T₂ = max(c₂, T₁), and

    T₂ − T₁ = max(0, c₂ − T₁) = max(0, ready − max(asked, drained)):

exactly the part of the wait in which the device had nothing left to do. A forward's difference covers its kernels and
the gaps between their launches. Differences of neighbours add up to the whole, so phases stay exclusive.

Nothing here waits for the device inside a step: events are kept, and read in order once an update's last event has
passed.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Callable

from ..base import forks
from .clock import PHASE_NAMES, Update

MAX_POOL = 4096
"""Maximum events kept for reuse; creating one costs more than recording it."""
_SPANS = {(True, False): 100, (False, False): 101, (True, True): 102, (False, True): 103}
"""Evaluation marks by (begins, weak); they end no phase."""


class Device:
    """Accelerator as the step clock sees it; `backend` is torch's module for it (or a stand-in)."""

    def __init__(self, kind: str, backend: Backend) -> None:
        self.kind = kind
        self._backend = backend
        self._pool: list[Any] = []
        self._marks: list[tuple[int, Any]] = []
        self._stream: Any = None
        self.broken: str | None = None
        """Reason why events are no longer recorded; times are then the CPU's."""
        forks.watch(self)

    # --- events -------------------------------------------------------------------------------------------------------

    def record(self) -> Any:
        """Record an event on the stream now, and return it."""
        event = self._pool.pop() if self._pool else self._backend.new_event()
        self._backend.record(event, self._stream)
        return event

    def ready(self, event: Any) -> bool:
        return bool(event.query())

    def elapsed_s(self, begin: Any, end: object) -> float:
        """Return seconds between two passed events."""
        return float(begin.elapsed_time(end)) / 1e3

    def synchronize(self) -> None:
        """Wait for the device; at the ends of windows only."""
        self._backend.synchronize()

    def forked(self) -> None:
        """Stop touching the parent's device in a child: its events stay unused and are never freed."""
        self.broken = "this is a forked process"

    # --- marks of the step clock --------------------------------------------------------------------------------------

    def mark(self, phase: int) -> None:
        """Assign the stream to this phase from now on. Never raise: our faults must not reach the script."""
        if self.broken is not None:
            return
        try:
            if not self._backend.capturing():
                self._marks.append((phase, self.record()))
        except Exception as error:
            self.broken = f"events could not be recorded: {error!r}"

    def mark_evaluation(self, begins: bool, weak: bool) -> None:
        self.mark(_SPANS[begins, weak])

    def take_marks(self) -> list[tuple[int, Any]] | None:
        """Close the update; return its marks, the last being its end, or None if events are unavailable."""
        if self.broken is not None:
            return None
        self.mark(self._marks[-1][0] if self._marks else 0)
        marks, self._marks = self._marks, []
        self._stream = self._backend.current_stream()
        return marks if self.broken is None and len(marks) > 1 else None

    # --- reading later ------------------------------------------------------------------------------------------------

    def resolve(self, marks: list[tuple[int, Any]]) -> Resolved | None:
        """Resolve the marks of one update, and reuse their events; return None until its last event has passed."""
        if not self.ready(marks[-1][1]):
            return None
        resolved = Resolved()
        phase = 0
        for (code, event), (_, following) in zip(marks, marks[1:]):
            if code < len(PHASE_NAMES):
                phase = code
            else:
                resolved.span(code)
            resolved.phases_ns[phase] += round(self.elapsed_s(event, following) * 1e9)
        if len(self._pool) < MAX_POOL:
            self._pool.extend(event for _, event in marks)
        return resolved

    def resolve_ready(self, updates: list[Update]) -> int:
        """Replace the CPU's times by the device's in all updates whose events have passed; return how many still
        wait."""
        first = len(updates)
        while first > 0 and updates[first - 1].marks is not None:
            first -= 1
        for index in range(first, len(updates)):
            update = updates[index]
            resolved = self.resolve(update.marks) if update.marks is not None else None
            if resolved is None:
                return len(updates) - index
            resolved.write_to(update)
        return 0

    # --- memory -------------------------------------------------------------------------------------------------------

    def allocated_bytes(self) -> int:
        return self._backend.allocated_bytes()

    def peak_bytes(self) -> int | None:
        return self._backend.peak_bytes()

    def reserved_bytes(self) -> int | None:
        return self._backend.reserved_bytes()

    def reset_peak(self) -> None:
        self._backend.reset_peak()


class Resolved:
    """Device times of one update, in the clock's form."""

    def __init__(self) -> None:
        self.phases_ns = [0] * len(PHASE_NAMES)
        self._spans: dict[int, list[int]] = {}

    def span(self, code: int) -> None:
        begins = code in (_SPANS[True, False], _SPANS[True, True])
        if not begins or code not in self._spans:
            self._spans[code] = list(self.phases_ns)

    def between(self, weak: bool) -> list[int] | None:
        begin, end = self._spans.get(_SPANS[True, weak]), self._spans.get(_SPANS[False, weak])
        if begin is None or end is None:
            return None
        return [later - earlier for later, earlier in zip(end, begin)]

    def write_to(self, update: Update) -> None:
        update.phases_ns = self.phases_ns
        update.end_ns = update.begin_ns + sum(self.phases_ns)
        update.evaluation_ns = self.between(weak=False)
        update.weak_evaluation_ns = self.between(weak=True)
        update.marks = None


class Backend:
    """Functions that `Device` needs from torch's module for a kind of accelerator."""

    def __init__(self, torch: object, kind: str) -> None:
        self._module = getattr(torch, kind, None)
        self._general = getattr(torch, "accelerator", None)
        self._new_event: Callable[[], Any] = _event_factory(torch, kind, self._module)
        self._largest = 0

    def new_event(self) -> Any:
        return self._new_event()

    def record(self, event: Any, stream: Any) -> None:
        if stream is None:
            event.record()
        else:
            event.record(stream)

    def current_stream(self) -> Any:
        find = getattr(self._module, "current_stream", None)
        return find() if find is not None else None

    def capturing(self) -> bool:
        """Return whether a graph is being captured: an event recorded then could never be read."""
        find = getattr(self._module, "is_current_stream_capturing", None)
        return bool(find()) if find is not None else False

    def synchronize(self) -> None:
        (self._module if hasattr(self._module, "synchronize") else self._general).synchronize()  # type: ignore[union-attr]

    def allocated_bytes(self) -> int:
        value = self._number("memory_allocated", "current_allocated_memory") or 0
        self._largest = max(self._largest, value)
        return value

    def peak_bytes(self) -> int | None:
        """Return the device's peak, or the largest value read so far if it keeps none."""
        return self._number("max_memory_allocated") or self._largest or None

    def reserved_bytes(self) -> int | None:
        return self._number("max_memory_reserved", "driver_allocated_memory")

    def reset_peak(self) -> None:
        self._largest = 0
        reset = getattr(self._module, "reset_peak_memory_stats", None)
        if reset is not None:
            reset()

    def _number(self, *names: str) -> int | None:
        for name in names:
            for owner in (self._module, self._general):
                find = getattr(owner, name, None)
                if find is not None:
                    return int(find())
        return None


def open_device(torch: ModuleType, kind: str | None = None) -> Device | None:
    """Return the accelerator that the script computes on, or None.

    Without `kind`, return only one that the script has initialized: doing so here would keep workers from forking.
    """
    if kind is None:
        kind = next((name for name in ("cuda", "xpu") if _awake(torch, name)), None)
    if kind is None or kind in ("cpu", "meta"):
        return None
    try:
        device = Device(kind, Backend(torch, kind))
        device.record()
    except Exception:
        return None
    return device


def _awake(torch: Any, kind: str) -> bool:
    check = getattr(getattr(torch, kind, None), "is_initialized", None)
    return bool(check()) if check is not None else False


def _event_factory(torch: Any, kind: str, module: object) -> Callable[[], object]:
    made_by = getattr(module, "Event", None) or getattr(getattr(module, "event", None), "Event", None)
    if made_by is not None:
        return lambda: made_by(enable_timing=True)
    return lambda: torch.Event(device=kind, enable_timing=True)
