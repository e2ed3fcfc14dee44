"""Trainings in processes of their own: a configuration, a seed, a number of updates; out comes the curve of its losses.

Every process trains from the script's start. The first update, in which the parts of the training are found, has the
script's own settings; the others have those of the configuration. Start-up counts for nobody.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import wire
from ..analysis import time_to_loss
from ..analysis.losses import not_finite
from ..progress import NotesOnly
from ..runtime.isolation import Isolation
from ..runtime.run_options import RunOptions
from ..runtime.session import InScriptRun, Session
from ..runtime.session_result import SessionResult
from ..types import Command, Config, LossCurve, TrainingEnd, TrainingRun
from .verification_run import Finalist, version_of
from .windows import WINDOW, one_window

FOLDER = "trainings"
MOST_S = 24 * 3600.0
"""Time of a training that nothing else limits: the horizon is counted in updates."""
_ENDS: dict[str, TrainingEnd] = {"oom": "oom", "nan": "nan", "hang": "hang", "refused": "refused", "crash": "crash"}


@dataclass(kw_only=True)
class Trainings:
    """Runner of the trainings of one script."""

    command: Command
    folder: Path
    """The run's folder."""
    isolation: Isolation
    options: RunOptions
    watch_devices: bool = False
    count: int = field(default=0, init=False)
    """Trainings started so far."""
    last: SessionResult | None = field(default=None, init=False)
    """Everything that the training which ended last brought back."""
    changed_files: list[str] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)

    def train(self, config: Config, *, updates: int, seed: int, most_s: float | None = None) -> TrainingRun:
        """Train for so many updates, or so many seconds without evaluations, or until the script ends.

        An interruption is re-raised as it came.
        """
        moments = self.moments(config, updates=updates, seed=seed, most_s=most_s)
        while True:
            try:
                next(moments)
            except StopIteration as end:
                found: TrainingRun = end.value
                return found

    def moments(
        self,
        config: Config,
        *,
        updates: int,
        seed: int,
        most_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Generator[None, None, TrainingRun]:
        """Train as `train` does, but yield several times a second, so that trainings can run side by side.

        Closing the iterator ends the script. `environment` holds variables that it has besides the user's, such as one
        that names its device.
        """
        version = version_of(Finalist(config=config, effect="training"), self.command, self.isolation)
        session = Session(
            command=version.command,
            folder=self._new_folder(),
            isolation=self.isolation,
            options=replace(
                self.options,
                progress=NotesOnly(self.options.progress),
                updates=updates if most_s is None else self.options.updates,
            ),
            loop_budget_s=math.inf,
            max_script_runs=1,
            watch_devices=self.watch_devices,
            environment={**version.environment, **(environment or {})},
            seed=seed,
        )
        window = wire.Window(
            id=WINDOW,
            config=version.config.as_dict(),
            warm_up_updates=0,
            min_updates=updates,
            max_updates=updates,
            least_updates=updates if most_s is None else 1,
            max_s=MOST_S if most_s is None else most_s,
        )
        yield from session.moments(one_window(InScriptRun(windows=[window], setup=version.setup)))
        self.last = session.result
        self._note(session.result)
        if session.result.interrupted is not None:
            raise session.result.interrupted
        return training_run(session.result, seed=seed, updates=updates)

    def _new_folder(self) -> Path:
        parent = self.folder / FOLDER
        parent.mkdir(mode=0o700, exist_ok=True)
        names = (parent / f"{number:03}" for number in itertools.count(self.count + 1))
        folder = next(name for name in names if not name.exists())  # a resumed search goes on behind the earlier ones
        folder.mkdir(mode=0o700)
        self.count += 1
        return folder

    def _note(self, result: SessionResult) -> None:
        self.changed_files += result.changed_files
        self.notes += [
            f"the script connects to {note.text}: isolation cannot undo what it sends there"
            for script_run in result.script_runs
            for note in script_run.notes
            if note.kind == "network"
        ]


def training_run(result: SessionResult, *, seed: int, updates: int) -> TrainingRun:
    """Return what an ended process says of its training."""
    script_run = result.script_runs[-1] if result.script_runs else None
    done = result.outcomes.get(WINDOW)
    found = TrainingRun(seed=seed, planned_updates=updates, end="measured")
    if isinstance(done, wire.WindowRefused):
        return replace(found, end=_ENDS.get(done.kind, "crash"), message=done.message)
    if isinstance(done, wire.WindowDone):
        training = curve_of(done)
        evaluations = evaluations_of(done, training)
        found = replace(
            found,
            training=time_to_loss.binned(training),
            validation=None if evaluations is None else time_to_loss.binned(evaluations),
        )
    failure = script_run.failure if script_run is not None else None
    if failure is not None:
        return replace(found, end=_ENDS.get(failure.kind, "crash"), message=failure.message)
    if not isinstance(done, wire.WindowDone) or not done.wall_s or found.training is None:
        made = script_run.updates if script_run is not None else 0
        return replace(found, end="stopped", message=f"the script ended after {made} updates")
    bad, at_end = done.extra.get("nan_losses", 0), done.extra.get("nan_losses_at_end", 0)
    broken = not_finite(bad, at_end, len(done.wall_s)) if isinstance(bad, int) and isinstance(at_end, int) else None
    if broken is not None:
        return replace(found, end="nan", message=broken.message)
    if time_to_loss.has_diverged(found.training):
        return replace(found, end="diverged", message=_rose(found.training))
    return found


def curve_of(done: wire.WindowDone) -> LossCurve:
    """Return the losses of a window's updates, with the time since the first update of the process began.

    The updates before the window count like its median one: they hold the start-up, and the search for what to set.
    What a setting takes at its start counts.
    """
    before = done.updates_before or 0
    begin_s = before * (statistics.median(done.wall_s) if done.wall_s else 0.0) + (done.set_up_s or 0.0)
    known = [count for count in done.samples if count is not None]
    samples: tuple[int, ...] | None = None
    if known and len(known) == len(done.wall_s):
        earlier = round(before * sum(known) / len(known))
        samples = tuple(earlier + total for total in itertools.accumulate(known))
    return LossCurve(
        updates=tuple(range(before + 1, before + len(done.wall_s) + 1)),
        seconds=tuple(begin_s + total for total in itertools.accumulate(done.wall_s)),
        losses=tuple(done.losses),
        samples=samples,
    )


def evaluations_of(done: wire.WindowDone, training: LossCurve) -> LossCurve | None:
    """Return the losses of the evaluations, each at the end of the update before it; None if none was recognised."""
    seen = done.extra.get("evaluation_losses")
    place_of = {update: place for place, update in enumerate(training.updates)}
    points = [(at, loss) for at, loss in seen if at in place_of] if isinstance(seen, list) else []
    if not points:
        return None
    places = [place_of[at] for at, _loss in points]
    return LossCurve(
        updates=tuple(at for at, _loss in points),
        seconds=tuple(training.seconds[place] for place in places),
        losses=tuple(loss for _at, loss in points),
        samples=None if training.samples is None else tuple(training.samples[place] for place in places),
    )


def _rose(curve: LossCurve) -> str:
    found = time_to_loss.smoothed(curve).losses
    first, last = next((loss for loss in found if loss is not None), None), found[-1]
    return "the loss rose" if first is None or last is None else f"the loss rose from {first:.3g} to {last:.3g}"
