"""Columns of one window: the contents of every counted update."""

from __future__ import annotations

import itertools
import math
from typing import Any

from ...standard_error import of_mean
from ..loader.record import EVALUATION
from ..loop.clock import CHECKPOINT, IN_STEP, LOGGING, PHASE_NAMES, RESTART, Update
from ..observe import compiled_code

WEAK_MAJORITY = 0.5
"""Share of updates from which a model that no optimizer owns is a teacher if evaluated, and part of the update. Below
it, the model is an evaluation beside the update."""
FEW_UPDATES = 5
"""Updates below which an evaluation in most of them shows nothing of the others."""
MAX_MEMORY_POINTS = 200
MEMORY_EVERY_NS = 20_000_000
SHORTEST_COMPILATION_NS = 1_000_000
"""Shortest update in which anything may have been compiled: dynamo took 50 ms for one addition, without a backend."""


class Recorder:
    """Collector of updates while a window is counted, for the columns of `WindowDone`."""

    def __init__(self, read_rss: Any, read_device: Any, device: Any = None) -> None:
        self._read_rss = read_rss
        self._read_device = read_device
        self._device = device
        self.updates: list[Update] = []
        self.counted_ns = 0
        self._rss: list[int] = []
        self._device_bytes: list[int] = []
        self._memory_at_ns = -MEMORY_EVERY_NS
        self._recompiled = compiled_code.RecompileLog()

    def add(self, update: Update) -> None:
        self.updates.append(update)
        spent_ns = update.end_ns - update.begin_ns
        self.counted_ns += spent_ns
        if spent_ns >= SHORTEST_COMPILATION_NS:
            self._recompiled.read(len(self.updates) - 1)
        if update.end_ns - self._memory_at_ns >= MEMORY_EVERY_NS:
            self._memory_at_ns = update.end_ns
            self._rss.append(self._read_rss())
            if self._read_device is not None:
                self._device_bytes.append(self._read_device())
        if self._device is not None:
            self._device.resolve_ready(self.updates)

    def is_precise(self, precision: float) -> bool:
        """Return True if the relative standard error of the mean update is this small; 0 asks for no precision."""
        return not precision or of_mean([update.end_ns - update.begin_ns for update in self.updates]) <= precision

    def columns(self) -> tuple[dict[str, object], dict[str, object]]:
        """Return the columns of `wire.WindowDone`, and entries for its `extra`: recompiled code and non-finite losses.

        On the wire, non-finite losses look like unknown ones. Losses are read here: only here is the device waited for.
        """
        if self._device is not None:
            self._device.synchronize()
            self._device.resolve_ready(self.updates)
        columns, extra = self._columns_of(self.updates)
        losses = _read_losses([update.loss for update in self.updates])
        return {**columns, "losses": losses}, {**extra, **_non_finite(losses), **self._recompiled.report()}

    def columns_so_far(self) -> dict[str, object]:
        """Return the columns of the updates whose times are known now, in any thread, without waiting for the device.

        Losses on a device stay unknown: the device may hang, too.
        """
        known = list(itertools.takewhile(lambda update: update.marks is None, list(self.updates)))
        columns, extra = self._columns_of(known)
        losses = _read_losses([update.loss if self._device is None else None for update in known])
        return {**columns, "losses": losses, "extra": {**extra, **_non_finite(losses)}}

    def _columns_of(self, updates: list[Update]) -> tuple[dict[str, object], dict[str, object]]:
        weak = sum(update.weak_evaluation_ns is not None for update in updates)
        weak_is_evaluation = weak < WEAK_MAJORITY * len(updates)
        own_is_evaluation = not _evaluates_in_most(updates)
        phases: dict[str, list[float]] = {name: [] for name in PHASE_NAMES[:IN_STEP]}
        off_step: dict[str, list[float]] = {
            "evaluation": [],
            "checkpoint": [],
            "logging": [],
            "loader_restart": [],
        }
        evaluation_ns = [0] * len(PHASE_NAMES)
        for update in updates:
            spans = [update.evaluation_ns if own_is_evaluation else None]
            if weak_is_evaluation:
                spans.append(update.weak_evaluation_ns)
            inside = _longest(spans)
            for index in range(IN_STEP):
                phases[PHASE_NAMES[index]].append((update.phases_ns[index] - inside[index]) / 1e9)
            restart_ns = update.phases_ns[RESTART] - inside[RESTART]
            later_known_ns = min(restart_ns, _evaluations_began_ns(update))
            off_step["evaluation"].append((sum(inside[:IN_STEP]) + inside[RESTART] + later_known_ns) / 1e9)
            evaluation_ns = [spent + more for spent, more in zip(evaluation_ns, inside)]
            off_step["checkpoint"].append(update.phases_ns[CHECKPOINT] / 1e9)
            off_step["logging"].append(update.phases_ns[LOGGING] / 1e9)
            off_step["loader_restart"].append((restart_ns - later_known_ns) / 1e9)
        extra: dict[str, object] = {}
        if any(evaluation_ns):
            extra["evaluation_phases_s"] = {PHASE_NAMES[index]: evaluation_ns[index] / 1e9 for index in range(IN_STEP)}
        return {
            "wall_s": [(update.end_ns - update.begin_ns) / 1e9 for update in updates],
            "phases_s": phases,
            "off_step_s": off_step,
            "micro_steps": [update.micro_steps for update in updates],
            "elements": _once_if_alike([update.elements for update in updates]),
            "samples": [update.samples for update in updates],
            "communication_s": _seconds_if_any([update.communication_ns for update in updates]),
            "rss_bytes": _thin(self._rss),
            "device_bytes": _thin(self._device_bytes),
        }, extra


def _evaluations_began_ns(update: Update) -> int:
    """Return the time of the first beginnings of loaders that have turned out to be an evaluation's."""
    return sum(spent_ns for record, spent_ns in update.beginnings if record.role == EVALUATION)


def _evaluates_in_most(updates: list[Update]) -> bool:
    """Return whether most updates run their own model without gradients on no held-out data: rollouts, and labels that
    the model gives itself, are parts of the update."""
    if len(updates) < FEW_UPDATES:
        return False
    inside = [update for update in updates if update.evaluation_ns is not None]
    reads = any(update.evaluation_batches for update in inside)
    return len(inside) > WEAK_MAJORITY * len(updates) and not reads


def _non_finite(losses: list[float | None]) -> dict[str, int]:
    """Count the non-finite losses, and those of them at the window's end; empty if there are none."""
    bad = [loss is not None and not math.isfinite(loss) for loss in losses]
    if not any(bad):
        return {}
    return {"nan_losses": sum(bad), "nan_losses_at_end": bad[::-1].index(False) if False in bad else len(bad)}


def _longest(spans: list[list[int] | None]) -> list[int]:
    """Return the span that contains the others: weak and strong evaluation overlap if one model teaches the other."""
    known = [span for span in spans if span is not None]
    return max(known, key=sum) if known else [0] * len(PHASE_NAMES)


def _once_if_alike(values: list[int]) -> list[int]:
    return values if len(set(values)) > 1 else values[:1]


def _seconds_if_any(values_ns: list[int]) -> list[float]:
    return [value / 1e9 for value in values_ns] if any(values_ns) else []


def _thin(values: list[int]) -> list[int]:
    step = max(1, -(-len(values) // MAX_MEMORY_POINTS))
    return values[::step]


def _read_losses(losses: list[Any]) -> list[float | None]:
    values: list[float | None] = []
    for loss in losses:
        try:
            known = loss is not None and (not hasattr(loss, "numel") or loss.numel() == 1)
            values.append(float(loss) if known else None)
        except (RuntimeError, TypeError, ValueError):
            values.append(None)
    return values


def no_columns() -> dict[str, Any]:
    """Return the columns of a window in which no update was counted."""
    return {
        "wall_s": [],
        "phases_s": {},
        "off_step_s": {},
        "micro_steps": [],
        "samples": [],
        "losses": [],
    }
