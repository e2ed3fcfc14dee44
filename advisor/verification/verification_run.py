"""Verification of finalists against the baseline: fresh processes in turns, judged by speed and losses."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NothingMeasuredError, ScriptError
from ..types import Command, Config, Hardware, SettingValue, Skipped, TrialOutcome, Workload
from ..types.verification import Verification, VerifiedConfig
from . import verify_failures

if TYPE_CHECKING:
    from ..runtime import RunOptions, ScriptRunRecord
    from ..runtime.isolation import Isolation
    from ..types import VersionRun
    from .parity import Parity
    from .process_trial import Process, ScriptVersion
    from .rounds import Rounds

ROUNDS = 10
FEWEST = 2
"""Rounds that an interval needs to decide; a finalist that cannot have as many in the time is not started."""
LEAST_COST_S = 0.1
"""Lower bound on a process' cost: no Python with torch starts and trains in less."""
VERIFY_FOLDER = "verify"
BASELINE_LABEL = "the unmodified script"


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """Configuration as it left the search; it no longer changes."""

    config: Config
    effect: str | None = None
    """Effect on training; None if it is to be derived from the script's parts."""
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    """Options of the script itself that carry some of its settings."""
    constants: Mapping[str, int | float | str] = field(default_factory=dict)
    """Constants of the script that carry some."""
    passed_as_arguments: frozenset[str] = frozenset()
    """Knobs that these two stand for; the agent leaves them alone."""
    stand_for: Mapping[str, str] = field(default_factory=dict)
    """Option → knob, if the file says so; other options are known by name, or not at all."""

    @property
    def shown_settings(self) -> list[tuple[str, SettingValue]]:
        """Return what identifies it to a person: its settings, and options and constants that carry none of them."""
        own = () if self.passed_as_arguments else (*self.arguments.items(), *self.constants.items())
        return [*self.config.settings, *own]


def verify_configs(
    command: Command,
    finalists: Sequence[Finalist],
    *,
    hardware: Hardware,
    run_folder: Path,
    isolation: Isolation,
    options: RunOptions,
    budget_s: float,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.monotonic,
) -> Verification:
    """Run the finalists against the baseline: fresh processes in ABBA order, judged at planned checks.

    This takes `budget_s` seconds and at most `rounds` rounds. If the time is too short for all finalists, the last
    ones are left out. A finalist whose process fails drops out, with the reason. Each round has its own seed, the same
    on both sides: the effect of other seeds on the losses is the yardstick for the effect of the settings.

    Raises ScriptError if the baseline fails, and NothingMeasuredError if it trains too little. Ctrl-C ends the rounds:
    the result then holds all measurements so far and has `interrupted` set.
    """
    from .process_trial import ProcessTrials
    from .rounds import Rounds, run_comparisons
    from .verdicts import outcome_of

    begin_s = clock()
    trials = ProcessTrials(
        folder=_new_folder(run_folder),
        options=options,
        with_settings=True,
        usable_cpus=hardware.cpu.usable_cpus,
    )
    runners = [
        _Runner(one, version_of(one, command, isolation), Rounds(planned=rounds, threshold=None, gain_only=True))
        for one in finalists
    ]
    options.progress.stage("verifying in fresh processes", windows=2 * min(rounds, FEWEST))
    verification = VerificationRun(
        baseline=_baseline(command, isolation),
        runners=runners,
        run=trials.measure,
        hardware=hardware,
        budget_s=budget_s,
    )
    run_comparisons(
        verification.measure,
        [runner.rounds for runner in runners],
        rounds=rounds,
        budget_s=budget_s,
        clock=clock,
        settled=lambda place: not runners[place - 1].parity().open,
    )
    return Verification(
        baseline=outcome_of(list(verification.baseline_processes.values())),
        configs=tuple(runner.verified() for runner in runners),
        processes=trials.processes,
        seconds=clock() - begin_s,
        changed_files=tuple(dict.fromkeys(trials.changed_files)),
        notes=tuple(dict.fromkeys((*trials.notes, *_notes(runners)))),
        skipped=tuple(dict.fromkeys(found for runner in runners if (found := runner.skipped_rounds) is not None)),
        interrupted=next((runner.rounds.interrupted for runner in runners if runner.rounds.interrupted), None),
    )


def winner(candidates: Sequence[VerifiedConfig]) -> VerifiedConfig | None:
    """Return the last of the standing candidates within 2% of the fastest; None if the baseline should be run.

    Finalists are given with the best first and the cheaper ones behind it.
    """
    from .rounds import LEAST_FLOOR

    confirmed = [one for one in candidates if one.stands]
    fastest = max((one.verdict.speedup for one in confirmed), default=0.0)
    near = [one for one in confirmed if one.verdict.speedup * (1 + LEAST_FLOOR) >= fastest]
    return near[-1] if near else None


def version_of(finalist: Finalist, command: Command, isolation: Isolation) -> ScriptVersion:
    """Describe how the finalist's processes are started."""
    from .. import knobs
    from ..knobs import global_batch
    from ..runtime.session import Setup
    from ..target import command as commands
    from ..target.option_roles import constants_by_module
    from .process_trial import ScriptVersion

    by_agent = {name: value for name, value in finalist.config.settings if name not in finalist.passed_as_arguments}
    at_launch = {name: value for name, value in by_agent.items() if knobs.get(name).scope == "launch"}
    batch = finalist.config.as_dict().get(global_batch.KNOB.id)
    return ScriptVersion(
        name=", ".join(f"{name}={value}" for name, value in finalist.shown_settings),
        side="after",
        command=commands.with_arguments(command, finalist.arguments),
        isolation=isolation,
        config=Config.of(by_agent),
        setup=Setup(settings=Config.of(at_launch), constants=constants_by_module(finalist.constants, command)),
        samples_per_update=batch if isinstance(batch, int) else None,
    )


def _new_folder(run_folder: Path) -> Path:
    """Create a folder for this verification; a resumed run may have been verified before."""
    later = (f"{VERIFY_FOLDER}-{number}" for number in itertools.count(2))
    places = (run_folder / name for name in itertools.chain([VERIFY_FOLDER], later))
    folder = next(place for place in places if not place.exists())
    folder.mkdir(mode=0o700)
    return folder


def _baseline(command: Command, isolation: Isolation) -> ScriptVersion:
    from .process_trial import ScriptVersion

    return ScriptVersion(name=BASELINE_LABEL, side="before", command=command, isolation=isolation)


# --- processes ------------------------------------------------------------------------------------------------------


class _Runner:
    """Finalist, and the results of its processes."""

    def __init__(self, finalist: Finalist, version: ScriptVersion, rounds: Rounds) -> None:
        self.finalist = finalist
        self.version = version
        self.rounds = rounds
        self.effect = finalist.effect or "training"
        self.failure: TrialOutcome | None = None
        self.processes: dict[int, Process] = {}
        self.pairs: dict[int, tuple[Process, Process]] = {}
        self._judged: tuple[int, Parity] | None = None

    def parity(self) -> Parity:
        """Judge by the losses so far."""
        from .parity import Losses, judge

        if self._judged is None or self._judged[0] != len(self.pairs):
            losses = [(Losses.of(one.window), Losses.of(two.window)) for one, two in self.pairs.values()]
            self._judged = (len(self.pairs), judge(self.effect, losses))
        return self._judged[1]

    @property
    def skipped_rounds(self) -> Skipped | None:
        """Return the skipped rounds that might have answered what is still open."""
        return self.rounds.skipped_rounds if not self.rounds.decided or self.parity().open else None

    def verified(self) -> VerifiedConfig:
        from .verdicts import outcome_of, unverified, verdict_of

        if self.failure is not None:
            verdict, outcome = (
                unverified(self.failure.message, broken=self.failure.kind not in ("stopped", "refused")),
                self.failure,
            )
        else:
            verdict, outcome = verdict_of(self.rounds, self.parity()), outcome_of(list(self.processes.values()))
        return VerifiedConfig(config=self.finalist.config, effect=self.effect, verdict=verdict, outcome=outcome)


@dataclass(kw_only=True)
class VerificationRun:
    """Runner that runs the process that is due, and keeps it with its round."""

    baseline: ScriptVersion
    runners: Sequence[_Runner]
    run: Callable[..., Process]
    hardware: Hardware
    budget_s: float
    baseline_processes: dict[int, Process] = field(default_factory=dict)
    places: int = 0
    """Number of finalists that there is time for."""
    workload: Workload | None = None
    """Workload of the baseline, once its first process has run."""

    def measure(self, place: int, number: int) -> VersionRun | None:
        """Measure one process for `run_comparisons`; place 0 is the baseline. Return None if a finalist drops out."""
        if place == 0:
            process = self.baseline_processes[number] = self.run(self.baseline, seed=number)
            if number == 0:
                self._learn_from(process.script_run)
        else:
            found = self._candidate(self.runners[place - 1], place, number)
            if found is None:
                return None
            process = found
        for runner in self.runners:
            if number in self.baseline_processes and number in runner.processes:
                runner.pairs[number] = (self.baseline_processes[number], runner.processes[number])
        return process.run

    def _candidate(self, runner: _Runner, place: int, number: int) -> Process | None:
        if place > self.places:
            runner.failure = TrialOutcome(kind="stopped", message="no time was left to verify it")
            return None
        try:
            runner.processes[number] = self.run(runner.version, seed=number)
        except (ScriptError, NothingMeasuredError) as error:
            version, arguments = runner.version, runner.finalist.arguments
            runner.failure = verify_failures.of(
                error, version.config, arguments, command=self.baseline.command, workload=self.workload
            )
            return None
        return runner.processes[number]

    def _learn_from(self, script_run: ScriptRunRecord) -> None:
        """Learn from the first process what one process costs and which parts the script has."""
        from ..analysis.assembly import workload_of

        self.places = max(1, int(self.budget_s / (FEWEST * max(script_run.elapsed_s, LEAST_COST_S))) - 1)
        self.workload = workload_of(script_run)
        for runner in self.runners:
            if runner.finalist.effect is None and self.workload is not None:
                runner.effect = _effect(runner.finalist, self.hardware, self.workload, self.baseline.command)


def _effect(finalist: Finalist, hardware: Hardware, workload: Workload, command: Command) -> str:
    """Return the strongest effect on training among its settings and the script's own options."""
    from .. import knobs
    from ..target.option_effects import effect_of

    own = {**finalist.arguments, **finalist.constants}
    given = effect_of(own, finalist.stand_for, hardware=hardware, workload=workload, command=command)
    found = [knobs.get(name).effect(hardware, workload) for name, _value in finalist.config.settings]
    return max([given, *found], key=knobs.EFFECTS.index)


def _notes(runners: Sequence[_Runner]) -> Iterator[str]:
    """Yield what the user must know about how this was measured."""
    for runner in runners:
        rounds, ratio = runner.rounds, runner.rounds.ratio
        if rounds.interrupted is not None:
            yield "interrupted: these are the results so far"
        if runner.skipped_rounds is not None:
            yield runner.skipped_rounds.why
        if ratio is not None and ratio.unit == "updates/s":
            yield "samples could not be counted: updates per second are compared"
