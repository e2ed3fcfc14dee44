"""Verify: configurations against the script as written, in fresh processes; reached through `advisor.api`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import NothingMeasuredError, ScriptError
from .progress import SILENT, Progress
from .types import Command, Config, Hardware, TrialOutcome, Workload
from .types.verification import Verification, VerifiedConfig

if TYPE_CHECKING:
    from .session import LifeRecord, Limits
    from .session.isolation import Tier
    from .session.parity import Parity
    from .session.race import Contender, Process
    from .session.rounds import Rounds
    from .types import VersionRun

ROUNDS = 10
FEWEST_ROUNDS = 3
"""Below this no interval decides: a finalist that cannot have so many in the time is not begun."""
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
    folder = run_folder / VERIFY_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    race = Race(folder=folder, limits=limits, trackers_offline=trackers_offline, progress=progress, with_settings=True)
    runners = [
        _Runner(one, contender_of(one, command, tier), Rounds(planned=rounds, threshold=None, gain_only=True))
        for one in finalists
    ]
    progress.stage("verifying in fresh processes", windows=2 * min(rounds, FEWEST_ROUNDS))
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
        interrupted=next((runner.rounds.interrupted for runner in runners if runner.rounds.interrupted), None),
    )


def winner(found: Verification) -> VerifiedConfig | None:
    """Of those that stand, and keep the training, the fastest; or one given after it that is within 2% of that: the
    finalists are given with the best first and the cheaper ones behind. None where the script as written is to be run.
    """
    from .session.rounds import LEAST_FLOOR

    standing = [one for one in found.configs if one.stands and one.tier != "training"]
    fastest = max((one.verdict.speedup for one in standing), default=0.0)
    near = [one for one in standing if one.verdict.speedup * (1 + LEAST_FLOOR) >= fastest]
    return near[-1] if near else None


def contender_of(finalist: Finalist, command: Command, tier: Tier) -> Contender:
    """How its processes are begun."""
    from . import command as commands
    from . import knobs
    from .session.race import Contender
    from .session.session import Setup

    by_agent = {name: value for name, value in finalist.config.settings if name not in finalist.carried}
    at_launch = {name: value for name, value in by_agent.items() if knobs.get(name).scope == "launch"}
    batch = finalist.config.as_dict().get(knobs.global_batch.KNOB.id)
    return Contender(
        name=", ".join(f"{name}={value}" for name, value in finalist.config.settings) or "these arguments",
        side="after",
        command=commands.with_arguments(command, finalist.arguments),
        tier=tier,
        config=Config.of(by_agent),
        setup=Setup(settings=Config.of(at_launch)),
        samples_per_update=batch if isinstance(batch, int) else None,
    )


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

    def verified(self) -> VerifiedConfig:
        from .session.verdicts import outcome_of, unverified, verdict_of

        if self.left_out is not None:
            verdict, outcome = unverified(self.left_out.message, broken=self.left_out.kind != "stopped"), self.left_out
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
            kind = _KINDS.get(error.kind, _KINDS["crash"]) if isinstance(error, ScriptError) else _KINDS["crash"]
            runner.left_out = TrialOutcome(kind=kind, message=str(error))
            return None
        return runner.processes[number]

    def _look_at(self, life: LifeRecord) -> None:
        """What one process costs, and what the script is made of."""
        from .session.assembly import workload_of

        self.places = max(1, int(self.budget_s / (FEWEST_ROUNDS * max(life.elapsed_s, LEAST_COST_S))) - 1)
        workload = workload_of(life)
        for runner in self.runners:
            if runner.finalist.tier is None and workload is not None:
                runner.tier = _tier(runner.finalist, self.hardware, workload)


_KINDS: Mapping[str, Literal["oom", "hang", "nan", "refused", "crash"]] = {
    "oom": "oom",
    "hang": "hang",
    "nan": "nan",
    "refused": "refused",
    "crash": "crash",
}


def _tier(finalist: Finalist, hardware: Hardware, workload: Workload) -> str:
    """The least mild of its settings; what the script's own options do is not known."""
    from . import knobs

    if set(finalist.arguments) and not finalist.carried:
        return knobs.TIERS[-1]
    found = [knobs.get(name).tier(hardware, workload) for name, _value in finalist.config.settings]
    return max(found, key=knobs.TIERS.index, default=knobs.TIERS[0])


def _told(runners: Sequence[_Runner]) -> Iterator[str]:
    """What the user has to know of how this was measured."""
    for runner in runners:
        rounds, ratio = runner.rounds, runner.rounds.ratio
        if rounds.interrupted is not None:
            yield "interrupted: this is what had been measured until then"
        if rounds.out_of_time:
            yield f"the time was up after {len(rounds.pairs)} of {rounds.planned} rounds"
        if ratio is not None and ratio.unit == "updates/s":
            yield "samples could not be counted: updates a second are compared"
