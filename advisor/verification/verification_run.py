"""Verification of finalists against the baseline: fresh processes in turns, judged by speed and losses."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NothingMeasuredError, ScriptError
from ..progress import NotesOnly
from ..types import Command, Config, Hardware, SettingValue, Skipped, TrialOutcome, Workload
from ..types.verification import Verification, VerifiedConfig
from . import verify_failures

if TYPE_CHECKING:
    from ..runtime import RunOptions, ScriptRunRecord
    from ..runtime.isolation import Isolation
    from ..types import VersionRun
    from .footprint import Footprint
    from .pace import Pace
    from .parity import Parity
    from .process import Process, ScriptVersion
    from .process_trial import ProcessTrials
    from .round_log import EarlierRounds
    from .rounds import Rounds
    from .side_by_side import SideBySide

ROUNDS = 10
FEWEST = 2
"""Rounds that an interval needs to decide; a finalist that cannot have as many in the time is not started."""
LEAST_COST_S = 0.1
"""Lower bound on a process' cost: no Python with torch starts and trains in less."""
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


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Knowledge of the script before its first process; all None if there was no search."""

    gain: float | None = None
    """Cautious estimate of the speed-up, by which windows are sized."""
    process_s: float | None = None
    footprint: Footprint | None = None


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
    expected: Expected = Expected(),
    earlier: Iterable[Path] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Verification:
    """Run the finalists against the baseline: fresh processes in ABBA order, judged at planned checks.

    This takes `budget_s` seconds and at most `rounds` rounds. If the time is too short for all finalists, the last
    ones are left out. A finalist whose process fails drops out, with the reason. Each round has its own seed, the same
    on both sides: the effect of other seeds on the losses is the yardstick for the effect of the settings.

    `earlier` run folders, the newest first, may hold rounds of the same versions. These count in `rounds`, and at least
    one more is measured.

    Raises ScriptError if the baseline fails, and NothingMeasuredError if it trains too little. Ctrl-C ends the rounds:
    the result then holds all measurements so far and has `interrupted` set.
    """
    from ..settings_file.loaded import torch_version
    from . import round_log
    from .pace import Pace
    from .process_trial import ProcessTrials
    from .rounds import Rounds, run_comparisons
    from .side_by_side import SideBySide
    from .verdicts import outcome_of

    begin_s = clock()
    baseline = _baseline(command, isolation)
    versions = [version_of(one, command, isolation) for one in finalists]
    torch = torch_version(command.interpreter)
    digests = [round_log.identity(version, hardware, torch) for version in (baseline, *versions)]
    before = round_log.earlier(earlier, digests[0], digests[1:])
    rounds = max(rounds, len(before) + FEWEST) if before else rounds
    has_devices = bool(hardware.accelerators)
    trials = ProcessTrials(
        folder=_new_folder(run_folder),
        options=replace(options, progress=NotesOnly(options.progress)),
        with_settings=True,
        cpu=hardware.cpu,
        watch_devices=has_devices,
        gain=expected.gain,
        digest_of=lambda version: digests[[baseline, *versions].index(version)],
    )
    runners = [
        _Runner(one, version, Rounds(planned=rounds, threshold=None, gain_only=True, earlier=len(before)))
        for one, version in zip(finalists, versions, strict=True)
    ]
    options.progress.stage("verifying in fresh processes", windows=2 * min(rounds, FEWEST))
    verification = VerificationRun(
        baseline=baseline,
        runners=runners,
        trials=trials,
        together=SideBySide(trials, known=expected.footprint, has_devices=has_devices),
        pace=Pace(progress=options.progress, budget_s=budget_s, process_s=expected.process_s),
        hardware=hardware,
        budget_s=budget_s,
        rounds=rounds,
    )
    verification.count(before)
    with contextlib.closing(verification.together):
        run_comparisons(
            verification.measure,
            [runner.rounds for runner in runners],
            rounds=rounds,
            budget_s=budget_s,
            clock=clock,
            settled=lambda place: not runners[place - 1].parity().open,
            begin=verification.begin_round,
            earlier=len(before),
        )
    return Verification(
        baseline=outcome_of(list(verification.baseline_processes.values())),
        configs=tuple(runner.verified() for runner in runners),
        processes=trials.processes,
        seconds=clock() - begin_s,
        changed_files=tuple(dict.fromkeys(trials.changed_files)),
        notes=tuple(dict.fromkeys((*_counted_notes(before), *trials.notes, *_notes(runners)))),
        skipped=tuple(dict.fromkeys(found for runner in runners if (found := runner.skipped_rounds) is not None)),
        interrupted=next((runner.rounds.interrupted for runner in runners if runner.rounds.interrupted), None),
        failure=next((bad for one in verification.baseline_processes.values() if (bad := one.losses.failure)), None),
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
    from .process import ScriptVersion

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
    from .round_log import VERIFY_FOLDER

    later = (f"{VERIFY_FOLDER}-{number}" for number in itertools.count(2))
    places = (run_folder / name for name in itertools.chain([VERIFY_FOLDER], later))
    folder = next(place for place in places if not place.exists())
    folder.mkdir(mode=0o700)
    return folder


def _baseline(command: Command, isolation: Isolation) -> ScriptVersion:
    from .process import ScriptVersion

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
        from .parity import judge

        if self._judged is None or self._judged[0] != len(self.pairs):
            losses = [(one.losses, two.losses) for one, two in self.pairs.values()]
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
    trials: ProcessTrials
    together: SideBySide
    pace: Pace
    hardware: Hardware
    budget_s: float
    rounds: int
    baseline_processes: dict[int, Process] = field(default_factory=dict)
    places: int = 0
    """Number of finalists that there is time for."""
    workload: Workload | None = None
    """Workload of the baseline, once its first process has run."""

    def __post_init__(self) -> None:
        if self.pace.process_s is not None:
            self.places = self._places(self.pace.process_s)

    def count(self, before: EarlierRounds) -> None:
        """Take the rounds that were measured before."""
        for number, process in enumerate(before.baseline):
            self.baseline_processes[number] = process
            for runner, processes in zip(self.runners, before.candidates, strict=True):
                runner.processes[number] = processes[number]
                runner.pairs[number] = (process, processes[number])
                runner.rounds.runs += [process.run, processes[number].run]
        if before:
            self.places = len(self.runners)

    def begin_round(self, order: Sequence[int], number: int) -> None:
        """Size the window by the rounds so far, and start the processes of this one together if that is possible."""
        self._size_window()
        self.pace.plan(len(order) * (self.rounds - number))
        due = [place for place in order if place <= self.places or place == 0]
        versions = [self._version(place) for place in due]
        if self.together.fit(versions):
            self.pace.starts(len(versions))
            self.together.start(versions, seed=number)

    def measure(self, place: int, number: int) -> VersionRun | None:
        """Measure one process for `run_comparisons`; place 0 is the baseline. Return None if a finalist drops out."""
        self.pace.next()
        if place == 0:
            process = self.together.measure(self.baseline, seed=number)
            self.baseline_processes[number] = process
            if self.workload is None and process.script_run is not None:
                self._learn_from(process.script_run)
        else:
            found = self._candidate(self.runners[place - 1], place, number)
            if found is None:
                return None
            process = found
        self.pace.done()
        for runner in self.runners:
            if number in self.baseline_processes and number in runner.processes:
                runner.pairs[number] = (self.baseline_processes[number], runner.processes[number])
        return process.run

    def _version(self, place: int) -> ScriptVersion:
        return self.runners[place - 1].version if place else self.baseline

    def _candidate(self, runner: _Runner, place: int, number: int) -> Process | None:
        if place > self.places:
            runner.failure = TrialOutcome(kind="stopped", message="no time was left to verify it")
            return None
        try:
            runner.processes[number] = self.together.measure(runner.version, seed=number)
        except (ScriptError, NothingMeasuredError) as error:
            version, arguments = runner.version, runner.finalist.arguments
            runner.failure = verify_failures.of(
                error, version.config, arguments, command=self.baseline.command, workload=self.workload
            )
            return None
        return runner.processes[number]

    def _size_window(self) -> None:
        """Let further processes count as many updates as the gain needs that was measured so far."""
        from .windows import RESIZED, updates_needed

        needed, counted = [], 0
        for runner in self.runners:
            pairs = [(one, two) for one, two in runner.pairs.values() if one.wall_s and two.wall_s]
            if not pairs or runner.failure is not None:
                continue
            by_samples = runner.rounds.by_samples
            logs = [math.log(two.run.rate(by_samples) / one.run.rate(by_samples)) for one, two in pairs]
            counted = pairs[-1][0].run.updates
            needed.append(updates_needed([process.wall_s for process in pairs[-1]], math.exp(statistics.fmean(logs))))
        if needed and not counted / RESIZED <= max(needed) <= counted * RESIZED:
            self.trials.updates = max(needed)

    def _places(self, process_s: float) -> int:
        return max(1, int(self.budget_s / (FEWEST * max(process_s, LEAST_COST_S))) - 1)

    def _learn_from(self, script_run: ScriptRunRecord) -> None:
        """Learn from the first process what one process costs and which parts the script has."""
        from ..analysis.assembly import workload_of

        self.places = self.places or self._places(script_run.elapsed_s)
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


def _counted_notes(before: EarlierRounds) -> Iterator[str]:
    if before:
        counts = "1 round measured before counts" if len(before) == 1 else f"{len(before)} rounds measured before count"
        yield f"{counts}: script, command, settings and machine are unchanged"


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
