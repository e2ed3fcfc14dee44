"""Window on the device's own clock: a few updates under torch's profiler, whose timings are not used for rates."""

from __future__ import annotations

import time
from types import FrameType
from typing import Any, Callable

from ..base import forks
from ..loop.clock import PHASE_NAMES, StepClock
from ..loop.device import Device
from .device_use import ADVISOR, Place, Read, Span, Timeline, device_use
from .kineto import Kineto, UnavailableError
from .sampler import Sampler
from .trace import Tracer

SAMPLER_HZ = 400.0
"""Rate at which lines are seen: the window lasts some tenths of a second, and its timings are thrown away."""
ANCHOR_NS = 200_000
"""Time by which the profiler's clock may differ between its two ends; more means that the clocks do not match."""
ANCHORS = 3
"""Waits at each end of the trace among which ours is sought: the profiler may wait for the device itself."""
INSIDE = 0.9
"""Part of the calls that must lie within the window where only the time of day relates the clocks."""
NO_CLOCK = "the profiler's clock could not be matched with the script's"


class DeviceTrace:
    """Observer of a `device_trace` window; `start` and `stop` at the ends of updates."""

    def __init__(self, clock: StepClock, make_profiler: Callable[[str], Any] = Kineto) -> None:
        self._clock = clock
        self._make_profiler = make_profiler
        self._tracer: Tracer | None = None
        self._moments: _Moments | None = None
        self._profiler: Any = None
        self._log: _PhaseLog | None = None
        self._why = ""
        self._anchors: list[int] = []
        self._cost_s = 0.0
        forks.watch(self)

    def start(self) -> None:
        """Begin; if the device cannot be traced, the window runs without, and `stop` gives the reason."""
        self._why, self._anchors, self._log = "", [], None
        device = self._clock.device
        if device is None:
            self._why = "the script used no accelerator that advisor can read"
            return
        begin_s = time.perf_counter()
        self._profiler = self._make_profiler(device.kind)
        try:
            device.synchronize()
            self._profiler.start()
            self._anchor(device)
        except UnavailableError as error:
            self._profiler, self._why = None, str(error)
            return
        self._cost_s = time.perf_counter() - begin_s
        self._log = _PhaseLog(device)
        self._clock.device = self._log
        self._tracer, self._moments = Tracer(self._clock), _Moments(self._clock)
        self._tracer.start_calls()
        self._moments.start(SAMPLER_HZ)

    def stop(self) -> dict[str, Any]:
        """Return the window's `extra`: the figures as `device`, or the reason for none as `why_no_device`."""
        log, tracer, moments = self._log, self._tracer, self._moments
        if log is None or tracer is None or moments is None:
            return {"why_no_device": self._why}
        moments.stop()
        tracer.stop()
        self._clock.device = log.device
        begin_s = time.perf_counter()
        try:
            self._anchor(log.device)
            spans, calls = self._profiler.stop()
            shift_ns = self._shift_ns(calls)
            timeline = Timeline(
                device=[_moved(span, shift_ns) for span in spans],
                calls=[_moved(call, shift_ns) for call in calls],
                ends_ns=log.ends_ns,
                phases=log.phases,
                reads=[Read(*moment) for moment in tracer.moments],
                samples=moments.taken,
            )
            found = device_use(timeline)
        except (UnavailableError, ValueError) as error:
            return {"why_no_device": str(error)}
        except Exception as error:  # torch's own: the other windows are worth more than this one
            return {"why_no_device": f"the device's trace could not be read: {error!r}"}
        finally:
            self._log = self._profiler = self._tracer = self._moments = None
        found["cost_s"] = self._cost_s + time.perf_counter() - begin_s
        return {"device": found}

    def forked(self) -> None:
        """Leave the profiler to the parent."""
        self._profiler = self._log = None

    def _anchor(self, device: Device) -> None:
        """Wait for the device at a known time: the wait's own event shows the difference of the clocks."""
        self._anchors.append(time.perf_counter_ns())
        device.synchronize()

    def _shift_ns(self, calls: list[Span]) -> int:
        """Return how far the profiler's clock is ahead of the script's; raise UnavailableError if that is not known."""
        syncs = [call.begin_ns for call in calls if call.kind == "sync"]
        pairs = [
            (before_ns - self._anchors[0], after_ns - self._anchors[-1])
            for before_ns in syncs[:ANCHORS]
            for after_ns in syncs[-ANCHORS:]
        ]
        earlier_ns, later_ns = min(pairs, key=lambda pair: abs(pair[0] - pair[1]), default=(0, 2 * ANCHOR_NS))
        if abs(earlier_ns - later_ns) <= ANCHOR_NS:
            return min(earlier_ns, later_ns)  # both hold the call's own overhead
        # Kineto gives the time of day, as far as it can.
        shift_ns = time.time_ns() - time.perf_counter_ns()
        inside = [call for call in calls if self._anchors[0] <= call.begin_ns - shift_ns <= self._anchors[-1]]
        if not calls or len(inside) < INSIDE * len(calls):
            raise UnavailableError(NO_CLOCK)
        return shift_ns


def _moved(span: Span, shift_ns: int) -> Span:
    return span._replace(begin_ns=span.begin_ns - shift_ns, end_ns=span.end_ns - shift_ns)


class _PhaseLog:
    """Stand-in for the clock's device: notes when phases begin on the CPU, and puts no events on the stream."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kind = device.kind
        self.phases: list[tuple[int, str]] = [(time.perf_counter_ns(), ADVISOR)]
        self.ends_ns: list[int] = []

    def mark(self, phase: int) -> None:
        self.phases.append((time.perf_counter_ns(), PHASE_NAMES[phase]))

    def mark_evaluation(self, begins: bool, weak: bool) -> None:
        """Ignore evaluations: phases go on inside them."""

    def take_marks(self) -> None:
        """Note the end of an update; advisor works until the next phase begins."""
        now_ns = time.perf_counter_ns()
        self.ends_ns.append(now_ns)
        self.phases.append((now_ns, ADVISOR))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)


class _Moments(Sampler):
    """Sampler that keeps every sample with its time."""

    def __init__(self, clock: StepClock) -> None:
        super().__init__(clock)
        self.taken: list[tuple[int, Place]] = []

    def start(self, hz: float, in_loader: bool = False) -> None:
        self.taken = []
        super().start(hz, in_loader)

    def sample(self, frame: FrameType | None, hits: int = 1) -> bool:  # noqa: ARG002
        """Keep this frame's line with its time, however many samples were due; waits in the loader keep theirs, too:
        the device may idle there."""
        at_ns = time.perf_counter_ns()
        key = self._read(frame) if frame is not None else None
        if key is not None:
            self.taken.append((at_ns, (key[0].co_filename, key[1], key[0].co_name)))
        return True
