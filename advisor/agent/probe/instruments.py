"""Instruments of a counted window: sampler, loader sums, memory, garbage collector, CPU time, tracers."""

from __future__ import annotations

import time
from typing import Any, Callable

from ... import wire
from ...refused import Refused
from ..observe.hook_count import count_hooks
from ..observe.memory import HostPeak, rss_bytes
from ..settings.controls import Controls
from .recorder import Recorder


class Instruments:
    """Instruments switched by the conductor: `enter` before settling, `begin` and `finish` around the counting."""

    def __init__(
        self,
        controls: Controls,
        sampler: Any,
        garbage: Any,
        off_step: Any,
        tracing: Any,
        device_trace: Any,
        counted_by_calls: Callable[[], bool],
        on_report: Callable[[wire.Window], None],
        evaluations: Callable[[], list[Any]] = list,
    ) -> None:
        self._controls = controls
        self._sampler = sampler
        self._garbage = garbage
        self._off_step = off_step
        self._tracing = tracing
        self._device_trace = device_trace
        self._counted_by_calls = counted_by_calls
        self.on_report = on_report
        """Callback that sends what the controller must know before it reads the report and plans on."""
        self._evaluations = evaluations
        """Callable that returns the script's evaluations so far."""
        self._cpu_begin_s = 0.0
        self._updates_before = 0
        self._hooks: int | None = None
        self.host_peak = HostPeak()
        self.stint_wait_s: float | None = None
        """Seconds of the window in which this rank waited for rank 0's word; None where it does not follow one."""

    def recorder(self) -> Recorder:
        device = self._controls.device
        read_device = device.allocated_bytes if device is not None else None
        return Recorder(rss_bytes, read_device, device)

    def enter(self, window: wire.Window) -> None:
        if window.kind == "bare":
            self._suspend()
        elif window.kind == "trace":
            self._tracing.settle()

    def begin(self, window: wire.Window) -> None:
        if window.sampler_hz > 0:
            self._sampler.start(window.sampler_hz, in_loader=window.kind == "drain")
        self.host_peak.begin()
        if self._controls.device is not None:
            self._controls.device.reset_peak()
        if window.kind == "trace":
            self._tracing.start()
        elif window.kind == "device_trace":
            self._device_trace.start()
        elif window.kind == "noise_scale":
            self._controls.gradient_norms.start()
        self._updates_before = self._controls.clock.updates
        self._hooks = self._count_hooks(window)
        self._controls.loaders.read_worker_memory()
        self._controls.loaders.take_sums()
        self._garbage.take()
        if self._controls.communication is not None:
            self._controls.communication.take()
        self._cpu_begin_s = time.process_time()

    def finish(self, window: wire.Window) -> dict[str, object]:
        """Return the fields of `wire.WindowDone` that are sums over the window."""
        cpu_s = time.process_time() - self._cpu_begin_s
        gc_s, collections = self._garbage.take()
        hits, lines = self._stop_sampler(window)
        sums = self._controls.loaders.take_sums()
        self._controls.loaders.read_worker_memory()
        device = self._controls.device
        return {
            "cpu_s": cpu_s,
            "updates_before": self._updates_before,
            "hooks": self._hooks,
            "gc_s": gc_s,
            "gc_collections": collections,
            "hits": hits,
            "lines": lines,
            "loader": wire.LoaderSums(**sums) if sums else None,
            "device_peak_bytes": device.peak_bytes() if device is not None else None,
            "device_reserved_bytes": device.reserved_bytes() if device is not None else None,
            "host_peak_bytes": self.host_peak.take(),
            "extra": {**self._stop_trace(window), **self._losses_of_evaluations(), **self._collectives()},
        }

    def _collectives(self) -> dict[str, object]:
        watch = self._controls.communication
        calls = watch.take() if watch is not None else {}
        found: dict[str, object] = {"collectives": calls} if calls else {}
        if self.stint_wait_s is not None:
            found["stint_wait_s"] = self.stint_wait_s
        return found

    def _stop_trace(self, window: wire.Window) -> dict[str, Any]:
        if window.kind == "trace":
            return dict(self._tracing.stop())
        if window.kind == "noise_scale":
            return {"gradient_norms": self._controls.gradient_norms.stop()}
        return dict(self._device_trace.stop()) if window.kind == "device_trace" else {}

    def _losses_of_evaluations(self) -> dict[str, object]:
        found = [[one.updates, one.loss] for one in self._evaluations() if one.updates >= self._updates_before]
        return {"evaluation_losses": found} if found else {}

    def finish_drain(self, window: wire.Window) -> dict[str, object]:
        hits, lines = self._stop_sampler(window)
        return {"hits": hits, "lines": lines}

    def leave(self, window: wire.Window) -> None:
        if window.kind == "bare":
            self._resume()
        elif window.kind == "trace":
            self._tracing.leave()

    def samples_from(self) -> str:
        found: str = self._controls.loaders.samples_from
        if self._controls.loaders.train is None:
            return "leading dimension" if self._counted_by_calls() else "not known"
        return found

    def _count_hooks(self, window: wire.Window) -> int | None:
        """Return the script's hooks; None in windows with observers of our own."""
        if window.kind != "measure":
            return None
        try:
            return count_hooks(self._controls.roots.found(), [each[0] for each in self._controls.steps.optimizers()])
        except Exception:  # a user's own module may do anything when it is asked for its parts
            return None

    def _stop_sampler(self, window: wire.Window) -> tuple[int, list[wire.SampledLine]]:
        if window.sampler_hz <= 0:
            return 0, []
        self._sampler.stop()
        found: tuple[int, list[wire.SampledLine]] = self._sampler.take()
        return found

    def _suspend(self) -> None:
        if self._controls.steps.by_hand():
            raise Refused(
                "the script updates its parameters by hand: only the hook on backward shows where an update ends"
            )
        if self._controls.communication is not None:
            self._controls.communication.suspend()
        self._controls.roots.suspend()
        self._controls.steps.suspend()
        self._controls.loaders.suspend()
        self._off_step.suspend()

    def _resume(self) -> None:
        self._off_step.resume()
        self._controls.loaders.resume()
        self._controls.steps.resume()
        self._controls.roots.resume()
        if self._controls.communication is not None:
            self._controls.communication.resume()
