"""Verify: configurations against the script as written, in fresh processes; reached through `advisor.api`."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import left_out
from .configuration import no_longer_holds, read_document
from .errors import InterruptedByUserError, NothingMeasuredError, ScriptError, UsageError
from .progress import SILENT, Progress
from .report.shown import ShownVerification
from .tuning import seconds_of
from .types import Command, Config, Hardware, Recommendation, SettingValue, Skipped, TrialOutcome, Workload
from .types.verification import Verification, VerifiedConfig, VerifyResult

if TYPE_CHECKING:
    from .emit import Document
    from .functions import Trainable
    from .session import LifeRecord, Limits
    from .session.isolation import Tier
    from .session.parity import Parity
    from .session.race import Contender, Process
    from .session.rounds import Rounds
    from .types import Verdict, VersionRun

ROUNDS = 10
FEWEST = 2
"""Below this no interval decides: a finalist that cannot have so many in the time is not begun."""
BUDGET = "10m"
VERIFICATION_FILE = "verification.json"
LEAST_COST_S = 0.1
"""No Python with torch starts and trains in less."""
VERIFY_FOLDER = "verify"
AS_WRITTEN = "the script as written"


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration as it left the search: nothing of it is changed any more."""

    config: Config
    tier: str | None = None
    """What it may do to the training; None: to be found from what the script is made of."""
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    """Options of the script itself that carry some of its settings."""
    carried: frozenset[str] = frozenset()
    """The knobs that they stand for: the agent leaves them alone."""
    stand_for: Mapping[str, str] = field(default_factory=dict)
    """Option → knob, where the file says so; others are known by their names, or not at all."""

    @property
    def told(self) -> list[tuple[str, SettingValue]]:
        """What a person knows it by: its settings, and the script's own options that carry none of them."""
        return [*self.config.settings, *(() if self.carried else self.arguments.items())]


def verify_configs(
    command: Command,
    finalists: Sequence[Finalist],
    *,
    hardware: Hardware,
    run_folder: Path,
    tier: Tier,
    limits: Limits,
    budget_s: float,
    rounds: int = ROUNDS,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
    clock: Callable[[], float] = time.monotonic,
) -> Verification:
    """Run the finalists against the script as written: fresh processes in ABBA order, judged at planned looks.

    Takes `budget_s` seconds, and at most `rounds` rounds. Where the time is too short for all finalists, those that
    stand last are left out. A finalist whose process fails is out, with the reason. The rounds have a seed each, the
    same on both sides: what other seeds do to the losses is the measure for what the settings do to them.

    Raises ScriptError where the script as written fails, NothingMeasuredError where it trains too little. Ctrl-C ends
    the rounds: what was measured is in the result, `interrupted` says so.
    """
    from .session.race import Race
    from .session.rounds import Rounds, run_races
    from .session.verdicts import outcome_of

    begin_s = clock()
    race = Race(
        folder=_new_folder(run_folder),
        limits=limits,
        trackers_offline=trackers_offline,
        progress=progress,
        with_settings=True,
        usable_cpus=hardware.cpu.usable_cpus,
    )
    runners = [
        _Runner(one, contender_of(one, command, tier), Rounds(planned=rounds, threshold=None, gain_only=True))
        for one in finalists
    ]
    progress.stage("verifying in fresh processes", windows=2 * min(rounds, FEWEST))
    course = _Course(
        as_written=_as_written(command, tier), runners=runners, run=race.measure, hardware=hardware, budget_s=budget_s
    )
    run_races(
        course.measure,
        [runner.rounds for runner in runners],
        rounds=rounds,
        budget_s=budget_s,
        clock=clock,
        settled=lambda place: not runners[place - 1].parity().open,
    )
    return Verification(
        baseline=outcome_of(list(course.written.values())),
        configs=tuple(runner.verified() for runner in runners),
        processes=race.processes,
        seconds=clock() - begin_s,
        changed_files=tuple(dict.fromkeys(race.changed_files)),
        notes=tuple(dict.fromkeys((*race.notes, *_told(runners)))),
        skipped=tuple(dict.fromkeys(found for runner in runners if (found := runner.left_out_rounds) is not None)),
        interrupted=next((runner.rounds.interrupted for runner in runners if runner.rounds.interrupted), None),
    )


def verify(
    config: str | os.PathLike[str],
    script: Trainable,
    args: Sequence[str] = (),
    *,
    rounds: int = ROUNDS,
    budget: str | float = BUDGET,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    update: bool = False,
    progress: Progress = SILENT,
) -> VerifyResult:
    """Run a script with the settings of an `advisor.yaml` against the script as written, in fresh processes, in turns.

    At most `rounds` pairs of processes within about `budget` (seconds, or text like "90s", "10m"); ended early once the
    interval decides. `update` writes the verdict into the file, whose other lines stay as they are. The rest is as in
    `advisor.profile`.

    Raises UsageError for a call or a file that cannot be used, ScriptError where the script as written fails,
    NothingMeasuredError where it trains too little, InterruptedByUserError after Ctrl-C (what was measured is kept).
    """
    from . import hardware as machines
    from . import store
    from .functions import command_for
    from .session import Limits
    from .session.protection import protect

    document = read_document(Path(config))
    if not document.config.settings and not document.arguments:
        raise UsageError(f"{config} holds no settings: there is nothing to verify")
    if rounds < FEWEST:
        raise UsageError(f"--rounds {rounds}: at least {FEWEST} are needed for an interval")
    budget_s = seconds_of(budget)
    root = store.runs_root(Path(runs) if runs is not None else None)
    wanted = command_for(script, args, is_module=module, interpreter=python, root=root)
    run = store.new_run(root, wanted.target)
    machine = machines.probe(folder=Path(wanted.cwd))
    with store.disk_errors(run.path):
        found = verify_configs(
            wanted,
            [Finalist(config=document.config, arguments=document.arguments, stand_for=document.stand_for)],
            hardware=machine,
            run_folder=run.path,
            tier=protect(wanted, isolation, root=root, progress=progress),
            limits=Limits.of(start_limit_s, no_progress_limit_s, memory_limit_bytes),
            budget_s=budget_s,
            rounds=rounds,
            trackers_offline=trackers_offline,
            progress=progress,
        )
    progress.close()
    (one,) = found.configs
    result = ShownVerification(
        recommendation=Recommendation(
            command=wanted, hardware=machine, config=one.config, verdict=one.verdict, skipped=found.skipped
        ),
        baseline=found.baseline,
        outcome=one.outcome,
        arguments=document.arguments,
        notes=(*no_longer_holds(document, python=wanted.interpreter), *found.notes),
        run_folder=str(run.path),
    )
    _keep(result, run.path)
    if update and one.verdict.rounds:
        result = replace(result, files=(str(_updated(Path(config), document, one.verdict)),))
    if found.interrupted is not None:
        raise InterruptedByUserError(
            f"interrupted; whole rounds measured: {one.verdict.rounds}; what had been measured is kept in {run.path}",
            by=found.interrupted,
            run_folder=str(run.path),
            found=result,
        ) from found.interrupted
    return result


def _updated(path: Path, verified: Document, verdict: Verdict) -> Path:
    """The file with the new verdict. Raises UsageError where it holds other settings by now, or could not be read back:
    then it stays as it is."""
    from . import store
    from .emit import advisor_yaml

    text = advisor_yaml.with_verdict(path.read_text(encoding="utf-8"), verdict)
    new = advisor_yaml.parse(text, path)
    if (new.config, new.arguments) != (verified.config, verified.arguments):
        raise UsageError(f"{path} was changed meanwhile: its settings are not those that were verified")
    if new.verdict.get("status") != verdict.status:
        raise UsageError(f"{path}: the verdict cannot be put in place of the one there; remove that, and verify again")
    mode = path.stat().st_mode
    store.write_atomic(path, text.encode("utf-8"))
    path.chmod(mode)
    return path


def _keep(result: VerifyResult, folder: Path) -> None:
    from . import store
    from .report import verify_json

    text = json.dumps(verify_json(result), indent=2, allow_nan=False)
    store.write_atomic(folder / VERIFICATION_FILE, text.encode())


def winner(candidates: Sequence[VerifiedConfig]) -> VerifiedConfig | None:
    """Of those that stand the fastest; or one given after it that is within 2% of that: finalists are given with the
    best first and the cheaper ones behind. None where the script as written is to be run."""
    from .session.rounds import LEAST_FLOOR

    standing = [one for one in candidates if one.stands]
    fastest = max((one.verdict.speedup for one in standing), default=0.0)
    near = [one for one in standing if one.verdict.speedup * (1 + LEAST_FLOOR) >= fastest]
    return near[-1] if near else None


def contender_of(finalist: Finalist, command: Command, tier: Tier) -> Contender:
    """How its processes are begun."""
    from . import command as commands
    from . import knobs
    from .knobs import global_batch
    from .session.race import Contender
    from .session.session import Setup

    by_agent = {name: value for name, value in finalist.config.settings if name not in finalist.carried}
    at_launch = {name: value for name, value in by_agent.items() if knobs.get(name).scope == "launch"}
    batch = finalist.config.as_dict().get(global_batch.KNOB.id)
    return Contender(
        name=", ".join(f"{name}={value}" for name, value in finalist.told),
        side="after",
        command=commands.with_arguments(command, finalist.arguments),
        tier=tier,
        config=Config.of(by_agent),
        setup=Setup(settings=Config.of(at_launch)),
        samples_per_update=batch if isinstance(batch, int) else None,
    )


def _new_folder(run_folder: Path) -> Path:
    """A run that is gone on with may have been verified before."""
    later = (f"{VERIFY_FOLDER}-{number}" for number in itertools.count(2))
    places = (run_folder / name for name in itertools.chain([VERIFY_FOLDER], later))
    folder = next(place for place in places if not place.exists())
    folder.mkdir(mode=0o700)
    return folder


def _as_written(command: Command, tier: Tier) -> Contender:
    from .session.race import Contender

    return Contender(name=AS_WRITTEN, side="before", command=command, tier=tier)


# --- processes ------------------------------------------------------------------------------------------------------


class _Runner:
    """A finalist, and what its processes gave."""

    def __init__(self, finalist: Finalist, contender: Contender, rounds: Rounds) -> None:
        self.finalist = finalist
        self.contender = contender
        self.rounds = rounds
        self.tier = finalist.tier or "training"
        self.left_out: TrialOutcome | None = None
        self.processes: dict[int, Process] = {}
        self.pairs: dict[int, tuple[Process, Process]] = {}
        self._judged: tuple[int, Parity] | None = None

    def parity(self) -> Parity:
        """What the losses say so far."""
        from .session.parity import Losses, judge

        if self._judged is None or self._judged[0] != len(self.pairs):
            losses = [(Losses.of(one.window), Losses.of(two.window)) for one, two in self.pairs.values()]
            self._judged = (len(self.pairs), judge(self.tier, losses))
        return self._judged[1]

    @property
    def left_out_rounds(self) -> Skipped | None:
        """Those that might have told what is still open."""
        return self.rounds.left_out if not self.rounds.decided or self.parity().open else None

    def verified(self) -> VerifiedConfig:
        from .session.verdicts import outcome_of, unverified, verdict_of

        if self.left_out is not None:
            verdict, outcome = (
                unverified(self.left_out.message, broken=self.left_out.kind not in ("stopped", "refused")),
                self.left_out,
            )
        else:
            verdict, outcome = verdict_of(self.rounds, self.parity()), outcome_of(list(self.processes.values()))
        return VerifiedConfig(config=self.finalist.config, tier=self.tier, verdict=verdict, outcome=outcome)


@dataclass(kw_only=True)
class _Course:
    """Runs the process that is due, and keeps it with its round."""

    as_written: Contender
    runners: Sequence[_Runner]
    run: Callable[..., Process]
    hardware: Hardware
    budget_s: float
    written: dict[int, Process] = field(default_factory=dict)
    places: int = 0
    """Finalists that there is time for."""
    workload: Workload | None = None
    """Of the script as written, once its first process has run."""

    def measure(self, place: int, number: int) -> VersionRun | None:
        """For `run_races`: place 0 is the script as written; None where a finalist is out."""
        if place == 0:
            process = self.written[number] = self.run(self.as_written, seed=number)
            if number == 0:
                self._look_at(process.life)
        else:
            found = self._candidate(self.runners[place - 1], place, number)
            if found is None:
                return None
            process = found
        for runner in self.runners:
            if number in self.written and number in runner.processes:
                runner.pairs[number] = (self.written[number], runner.processes[number])
        return process.run

    def _candidate(self, runner: _Runner, place: int, number: int) -> Process | None:
        if place > self.places:
            runner.left_out = TrialOutcome(kind="stopped", message="there was no time left to verify it")
            return None
        try:
            runner.processes[number] = self.run(runner.contender, seed=number)
        except (ScriptError, NothingMeasuredError) as error:
            contender, arguments = runner.contender, runner.finalist.arguments
            written = self.as_written.command
            runner.left_out = left_out.of(error, contender.config, arguments, command=written, workload=self.workload)
            return None
        return runner.processes[number]

    def _look_at(self, life: LifeRecord) -> None:
        """What one process costs, and what the script is made of."""
        from .session.assembly import workload_of

        self.places = max(1, int(self.budget_s / (FEWEST * max(life.elapsed_s, LEAST_COST_S))) - 1)
        self.workload = workload_of(life)
        for runner in self.runners:
            if runner.finalist.tier is None and self.workload is not None:
                runner.tier = _tier(runner.finalist, self.hardware, self.workload, self.as_written.command)


def _tier(finalist: Finalist, hardware: Hardware, workload: Workload, command: Command) -> str:
    """The least mild of its settings and of the options that the script itself is given."""
    from . import knobs
    from .search.argument_tiers import tier_of

    given = tier_of(finalist.arguments, finalist.stand_for, hardware=hardware, workload=workload, command=command)
    found = [knobs.get(name).tier(hardware, workload) for name, _value in finalist.config.settings]
    return max([given, *found], key=knobs.TIERS.index)


def _told(runners: Sequence[_Runner]) -> Iterator[str]:
    """What the user has to know of how this was measured."""
    for runner in runners:
        rounds, ratio = runner.rounds, runner.rounds.ratio
        if rounds.interrupted is not None:
            yield "interrupted: this is what had been measured until then"
        if runner.left_out_rounds is not None:
            yield runner.left_out_rounds.why
        if ratio is not None and ratio.unit == "updates/s":
            yield "samples could not be counted: updates a second are compared"
