"""The search: candidates over the first rung, the best of them over longer ones, the winner by the objective.

All trainings have the same seed. The script as written was trained once over the horizon; what it had after a rung's
time is its result in that rung.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ... import knobs
from ...analysis import time_to_loss
from ...errors import INTERRUPTIONS
from ...progress import Progress
from ...types import Config, JudgedBy, LearningObjective, LearningTrial, LossCurve, LossKind, SettingValue, TrainingRun
from ...verification.learning_verdict import LATE, ROUNDING, curve_of
from .log import TrainingLog
from .proposals import Proposal, Proposer
from .rungs import Plan, Rung
from .space import TrainingSpace

SEED = 0
"""Seed of all trainings of a search; those of the verification have others, too."""
NEARLY = 0.02
"""Part of the whole fall of the loss within which two ends count as equal."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The script as written over the whole horizon."""

    run: TrainingRun
    loss: LossKind
    target: float | None
    """Loss that it reaches at the end, or its lowest; None if it does not fall: only losses at a time are compared."""
    reached_s: float | None
    judged_by: JudgedBy = "end"
    """The same for all trainings of the search."""

    @property
    def curve(self) -> LossCurve:
        found = curve_of(self.run, self.loss)
        assert found is not None  # it set the target
        return found

    def loss_after(self, updates: int) -> float | None:
        """Return what it had reached after so many updates; its first one has the script's settings everywhere."""
        return time_to_loss.judged_loss(time_to_loss.up_to_update(self.curve, updates + 1), self.judged_by)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Result of a search."""

    trials: tuple[LearningTrial, ...]
    best: Config | None
    """None if nothing was better than the script as written."""
    updates: int = 0
    """Updates that the best one makes in the time of the horizon."""
    ended: str = ""
    interrupted: BaseException | None = None


@dataclass(kw_only=True)
class TrainingSearch:
    space: TrainingSpace
    log: TrainingLog
    plan: Plan
    baseline: Baseline
    objective: LearningObjective
    always: Config
    progress: Progress
    lanes: Sequence[Mapping[str, str]] = ({},)
    """One for each training that may run side by side with others, in all rungs but the last: variables that it has
    besides the user's."""
    trials: list[LearningTrial] = field(default_factory=list, init=False)
    _paces: dict[Config, float] = field(default_factory=dict, init=False)

    def carry_out(self) -> Found:
        """Run the whole search; an interruption ends it, and is kept in the result."""
        assert self.baseline.run.training is not None
        self._learn_pace(Config(), self.baseline.run.training)
        try:
            finalists = self._rungs()
        except INTERRUPTIONS as interruption:
            return Found(trials=tuple(self.trials), best=None, ended="it was interrupted", interrupted=interruption)
        best = self._winner(finalists)
        if best is None:
            return Found(trials=tuple(self.trials), best=None, ended="no candidate was better at the end")
        return Found(
            trials=tuple(self.trials),
            best=Config.of(best.settings),
            updates=self.updates_of(Config.of(best.settings), self.plan.rungs[-1].updates),
            ended="all planned trainings were run",
        )

    def updates_of(self, config: Config, updates: int) -> int:
        """Return the updates with these settings that take as long as so many of the script as written."""
        pace_s = self._paces.get(paced(config))
        return updates if pace_s is None else max(1, round(updates * self._paces[Config()] / pace_s))

    def _rungs(self) -> Sequence[LearningTrial]:
        first, *others = self.plan.rungs
        self.progress.stage("training candidates", windows=self.plan.trainings)
        trials = self._first_rung(first)
        for rung in others:
            kept = [Proposal(config=Config.of(one.settings), reason=_kept(one)) for one in _ranked(trials)]
            trials = list(self._batch(kept[: rung.candidates], rung))
        return trials

    def _first_rung(self, rung: Rung) -> list[LearningTrial]:
        at_first = self.baseline.loss_after(rung.updates)
        proposer = Proposer(self.space, math.inf if at_first is None else at_first, rung.candidates)
        trials: list[LearningTrial] = []
        while len(trials) < rung.candidates:
            room = min(rung.candidates - len(trials), proposer.at_once(1 if rung.last else len(self.lanes)))
            batch = [found for _ in range(room) if (found := proposer.ask()) is not None]
            if not batch:
                break
            for trial in self._batch(batch, rung):
                proposer.tell(trial.settings, trial.end_loss)
                trials.append(trial)
        return trials

    def _batch(self, proposals: Sequence[Proposal], rung: Rung) -> Iterator[LearningTrial]:
        """Train these candidates, some side by side, and yield their trials in order."""
        together = 1 if rung.last else len(self.lanes)
        for start in range(0, len(proposals), together):
            part = proposals[start : start + together]
            lengths = [self.updates_of(one.config, rung.updates) for one in part]
            moments = [
                self.log.moments(self._whole(one.config), updates=updates, seed=SEED, environment=lane)
                for one, updates, lane in zip(part, lengths, self.lanes, strict=False)
            ]
            for proposal, updates, run in zip(part, lengths, _side_by_side(moments), strict=True):
                yield self._trial(proposal, rung, updates, run)

    def _whole(self, config: Config) -> Config:
        return Config.of({**self.always.as_dict(), **config.as_dict()})

    def _trial(self, proposal: Proposal, rung: Rung, updates: int, run: TrainingRun) -> LearningTrial:
        config, curve = proposal.config, curve_of(run, self.baseline.loss)
        sound = run.end == "measured" and curve is not None
        if curve is not None and run.training is not None and len(run.training):
            pace_s = self._learn_pace(config, run.training)
            curve = time_to_loss.at_pace(curve, pace_s)
        loss = self._loss(config, rung, curve) if sound and curve is not None else None
        target = self.baseline.target
        reached = (
            time_to_loss.time_to(curve, target, self.baseline.judged_by)
            if sound and curve is not None and target is not None
            else None
        )
        trial = LearningTrial(
            number=len(self.trials) + 1,
            settings=config.as_dict(),
            reason=proposal.reason,
            rung=rung.number,
            updates=updates,
            end=run.end,
            message=run.message,
            end_loss=loss,
            baseline_loss=self.baseline.loss_after(rung.updates),
            to_target_s=reached if rung.last else None,
            seconds=run.seconds,
            curve=curve,
        )
        self.trials.append(trial)
        self.progress.window_done()
        best = min((one for one in self.trials if one.rung == rung.number), key=_loss_of)
        if best.end_loss is not None:
            self.progress.best(f"loss {best.end_loss:.4g} with {Config.of(best.settings)}")
        return trial

    def _learn_pace(self, config: Config, curve: LossCurve) -> float:
        """Return the least time of an update with these settings so far: other programs only ever make it longer."""
        key, own_s = paced(config), time_to_loss.update_s(curve)
        self._paces[key] = min(self._paces.get(key, own_s), own_s)
        return self._paces[key]

    def _loss(self, config: Config, rung: Rung, curve: LossCurve) -> float | None:
        """Return the loss after the rung's time: of all of it if its updates take as long as those of the script."""
        until_s = LATE * self._paces[Config()] * rung.updates if paced(config).settings else math.inf
        return time_to_loss.judged_loss(curve, self.baseline.judged_by, until_s)

    def _winner(self, trials: Sequence[LearningTrial]) -> LearningTrial | None:
        own, target = self.baseline.loss_after(self.plan.rungs[-1].updates), self.baseline.target
        if self.objective == "loss_at_time":
            lower = [one for one in trials if _loss_of(one) < (math.inf if own is None else own)]
            return min(lower, key=_loss_of, default=None)
        if own is None or target is None:
            return None
        judged_by = self.baseline.judged_by
        curve = time_to_loss.at_pace(self.baseline.curve, self._paces[Config()])
        reached_s = time_to_loss.time_to(curve, target, judged_by)
        allowed = own + ROUNDING * abs(own)
        kept = [
            one
            for one in trials
            if one.to_target_s is not None and one.end_loss is not None and one.end_loss <= allowed
        ]
        sooner = [one for one in kept if (one.to_target_s or 0.0) < (reached_s or math.inf)]
        # A poor script's target is passed at once: what goes far below it is judged by the time to nearly the lowest.
        lowest, begin = min(map(_loss_of, sooner), default=own), next(iter(self.baseline.curve.losses), None)
        goal = min(target, lowest + NEARLY * max(0.0, (own if begin is None else begin) - lowest))
        return min(sooner, key=lambda one: (_seconds_to(one, goal, judged_by), _loss_of(one)), default=None)


def _side_by_side(moments: Sequence[Generator[None, None, TrainingRun]]) -> Iterator[TrainingRun]:
    """Carry out trainings at the same time; end all of them if one is interrupted."""
    ended: dict[int, TrainingRun] = {}
    try:
        while len(ended) < len(moments):
            for number, one in enumerate(moments):
                if number in ended:
                    continue
                try:
                    next(one)
                except StopIteration as end:
                    ended[number] = end.value
    finally:
        for one in moments:
            one.close()
    return iter([ended[number] for number in range(len(moments))])


def paced(config: Config) -> Config:
    """Return the settings that change how long an update takes."""
    found: dict[str, SettingValue] = {name: value for name, value in config.settings if not knobs.get(name).keeps_pace}
    return Config.of(found)


def _ranked(trials: Sequence[LearningTrial]) -> list[LearningTrial]:
    return sorted((one for one in trials if one.end_loss is not None), key=_loss_of)


def _loss_of(trial: LearningTrial) -> float:
    return math.inf if trial.end_loss is None else trial.end_loss


def _seconds_to(trial: LearningTrial, loss: float, judged_by: JudgedBy) -> float:
    found = time_to_loss.time_to(trial.curve, loss, judged_by) if trial.curve is not None else None
    return math.inf if found is None else found


def _kept(trial: LearningTrial) -> str:
    return f"loss {trial.end_loss:.4g} after {trial.updates:,} updates" if trial.end_loss is not None else ""
