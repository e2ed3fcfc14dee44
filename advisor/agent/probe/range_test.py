"""Range test: learning rates swept over decades from a snapshot of the training, to which it returns.

First, a few updates are made twice from the snapshot, to see whether the same ones come again. A reference pass then
takes the same batches at a rate of 0: what a sweep's losses differ by from it is due to the rates, and not to the
batches. Each sweep begins at the snapshot with the same batches, and raises the rate geometrically until the loss
diverges. The first looks for where that is, and the others look closer at the decades before. Sweeps differ in length,
so that a rate meets other batches, and a model trained for longer or shorter.

`wire.Window.options`: `updates` (most updates in all), `low` and `high` (multiples of the script's peak rate), `folder`
(for the training's state, where memory does not hold it twice).
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any

from ... import wire
from ...refused import Refused
from ..loader.free_memory import free_bytes
from ..loader.tape import Tape
from ..loop.clock import Update
from ..settings.controls import Controls
from ..settings.snapshot import Snapshot

CONTROL_UPDATES = 3
"""Updates that are made twice, to see whether a restore brings the same ones back."""
SWEEPS = (1.0, 0.8, 0.6)
"""Lengths of the sweeps, in parts of the first one's."""
CLOSER = (3e-4, 2.0)
"""Ends of the later sweeps, in multiples of the rate at which the first one diverged."""
LEAST_SWEEP = 16
"""Updates of the shortest sweep worth making: three for each decade."""
SMOOTHING = 0.3
"""Weight of the newest loss in the mean that is watched for divergence."""
DIVERGED_SPREADS = 6.0
"""A sweep ends once the mean has risen by so many standard deviations of the reference's losses,"""
DIVERGED_SHARE = 0.5
"""and by this share of the level that it began at, and by as much as it had fallen."""
TAPE_SHARE = 0.25
"""Share of the free memory that the batches may take."""
NEAR = 1e-4
"""Relative difference of two losses that counts as rounding: devices add in another order each time."""

Plan = Generator[None, "float | None", "dict[str, Any]"]


class RangeTest:
    """One range test, driven by the end of every update. Raises Refused where the training does not allow it."""

    def __init__(self, controls: Controls, window: wire.Window) -> None:
        self._controls = controls
        self._options = window.options
        self._until_s = time.perf_counter() + window.max_s
        self._updates = 0
        self.found: dict[str, Any] = {"sweeps": [], "reference": [], "notes": []}
        """What is known so far, as the window's report holds it."""
        _refuse(controls)
        self.found["script_rate"] = controls.rates.peak()
        self._snapshot = Snapshot(self._options.get("folder", ""))
        if self._snapshot.on_disk:
            self._note("memory does not hold the training's state twice: it was kept on a disk meanwhile")
        self._tape: Tape | None = None
        if controls.loaders.train is not None:
            self._tape = controls.loaders.deliveries.tape = Tape(int(TAPE_SHARE * (free_bytes() or 2**30)))
        self._running: tuple[list[float], list[float]] = ([], [])
        """Factors and losses of the present sweep."""
        self._plan = self._steps()
        next(self._plan)

    def saw(self, update: Update) -> bool:
        """Take in the end of an update; return True once all is done and the training is as it was."""
        self._updates += 1
        self.found["updates"] = self._updates
        try:
            self._plan.send(_read(update.loss))
        except StopIteration:
            return True
        return False

    def stop(self) -> dict[str, Any]:
        """Give the rates back as the script ends, and return what is known: its error ends a sweep, too."""
        self._controls.rates.sweep(None)
        factors, losses = self._running
        if len(losses) >= LEAST_SWEEP // 2:
            self.found["sweeps"].append(_sweep(factors, losses, self.found["script_rate"], len(factors)))
            self._note(
                f"the script ended at a rate of {self.found['sweeps'][-1]['rates'][-1]:.2g}, and the test with it"
            )
        return self.found

    def abandon(self) -> None:
        """Return to the snapshot before the test is done."""
        self._plan.close()
        self._end()

    # --- the plan -----------------------------------------------------------------------------------------------------

    def _steps(self) -> Plan:
        """Yield before each update, and get its loss."""
        most = int(self._options.get("updates", 200))
        longest = (most - 2 * CONTROL_UPDATES) / (1 + sum(SWEEPS))
        repeats = yield from self._control()
        reference: list[float] = []
        if repeats:
            reference = yield from self._pass([0.0] * math.ceil(longest), [])
            self._return()
        else:
            longest = (most - self._updates) / sum(SWEEPS)
        self.found["reference"] = reference
        low, high = self._options.get("low", 1e-2), self._options.get("high", 1e4)
        for share in SWEEPS:
            count = int(longest * share)
            if count < LEAST_SWEEP or time.perf_counter() > self._until_s:
                break
            factors = _factors(low, high, count)
            losses = yield from self._pass(factors, reference)
            self.found["sweeps"].append(_sweep(factors, losses, self.found["script_rate"], count))
            if len(losses) < count and len(self.found["sweeps"]) == 1:
                low, high = (end * factors[len(losses) - 1] for end in CLOSER)
            self._return()
        self._end()
        return self.found

    def _control(self) -> Generator[None, float | None, bool]:
        """Make some updates twice, and return whether they were the same."""
        passes: list[list[float]] = []
        for _ in range(2):
            losses = []
            for _ in range(CONTROL_UPDATES):
                losses.append(_number((yield)))
            passes.append(losses)
            if len(passes) == 2:
                self.found["counters"] = self._snapshot.moved()[:8]
            self._return()
        difference = max(abs(one - other) / max(abs(one), 1e-12) for one, other in zip(*passes))
        self.found["control_difference"] = difference
        return bool(difference <= NEAR)

    def _pass(self, factors: list[float], reference: list[float]) -> Generator[None, float | None, list[float]]:
        """Make one update with each multiple of the script's rate, until the loss diverges; return the losses."""
        losses: list[float] = []
        self._running = (factors, losses) if any(factors) else ([], [])
        watch = _Divergence(reference)
        for factor in factors:
            self._controls.rates.sweep(factor)
            losses.append(_number((yield)))
            if factor and watch.diverged(losses):
                break
        return losses

    def _return(self) -> None:
        """Return to the snapshot, and to the batches that followed it."""
        self._running = ([], [])
        self._snapshot.restore()
        if self._tape is not None and not self._tape.rewind():
            self._note("the batches that followed did not fit into memory: each sweep saw others")

    def _end(self) -> None:
        self._controls.rates.sweep(None)
        self._snapshot.restore()
        if self._tape is not None:
            self._tape.end()
            self._tape.rewind()
        self._snapshot.close()
        if self._snapshot.changed_outside():
            self._note("frozen parameters changed during the test, and were not restored")

    def _note(self, text: str) -> None:
        if text not in self.found["notes"]:
            self.found["notes"].append(text)


class _Divergence:
    """Judge of whether a sweep's loss runs away, by its difference from the reference pass where there is one."""

    def __init__(self, reference: list[float]) -> None:
        self._reference = reference
        level = reference or [0.0]
        mean = sum(level) / len(level)
        self._spread = math.sqrt(sum((loss - mean) ** 2 for loss in level) / len(level))
        self._mean = self._lowest = 0.0
        self._level = abs(mean)

    def diverged(self, losses: list[float]) -> bool:
        place, loss = len(losses) - 1, losses[-1]
        if not math.isfinite(loss):
            return True
        if not self._reference:
            self._level = abs(losses[0])
        base = self._reference[place] if place < len(self._reference) else losses[0]
        self._mean += SMOOTHING * (loss - base - self._mean)
        self._lowest = min(self._lowest, self._mean)
        needed = max(DIVERGED_SHARE * self._level, DIVERGED_SPREADS * self._spread, -self._lowest)
        return self._mean > needed


def _refuse(controls: Controls) -> None:
    """Refuse trainings whose updates a sweep would not show, or could not take back."""
    if controls.settings:
        raise Refused("the range test needs the baseline")
    if controls.steps.by_hand():
        raise Refused("the script updates its parameters by hand: there is no learning rate to set")
    if controls.steps.takes_turns:
        raise Refused(
            f"the script steps {len(controls.steps.optimizers())} optimizers in turn, each after a backward of its "
            "own, as adversarial trainings do: the curve of one loss does not show the other"
        )
    if controls.world_size > 1:
        raise Refused(f"the training runs in {controls.world_size} processes, and each would sweep alone")


def _factors(low: float, high: float, count: int) -> list[float]:
    return [low * (high / low) ** (place / (count - 1)) for place in range(count)]


def _sweep(factors: list[float], losses: list[float], rate: float, count: int) -> dict[str, Any]:
    """Describe a sweep in plain JSON; a loss that is no number is None."""
    whole = len(losses) == count
    return {
        "rates": [rate * factor for factor in factors[: len(losses)]],
        "losses": [loss if math.isfinite(loss) else None for loss in losses],
        "ended": "complete" if whole else "diverged" if math.isfinite(losses[-1]) else "not finite",
    }


def _read(loss: Any) -> float | None:
    """Return the loss of an update, for which a device is waited for: timings of this window are not used."""
    try:
        return None if loss is None else float(loss)
    except (RuntimeError, TypeError, ValueError):
        return None


def _number(loss: float | None) -> float:
    if loss is None:
        raise Refused("the loss is not a single number")
    return loss
