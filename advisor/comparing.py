"""Compare: two stored runs, or two versions of the script run against each other; reached through `advisor.api`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import InterruptedByUserError, NothingMeasuredError, ScriptError, UsageError
from .progress import SILENT, Progress
from .types import Command, VersionComparison, VersionRun

if TYPE_CHECKING:
    from .report import Comparison
    from .session import Limits, SessionResult
    from .session.checkout import Checkout
    from .session.isolation import Tier
    from .session.rounds import Rounds
    from .store import RunFolder
    from .types.comparison import Side

ROUNDS = 10
BUDGET_S = 600.0
LEAST_UPDATES = 5
"""A process that counted fewer says nothing about speed."""
COMPARISON_FILE = "comparison.json"


def compare(
    before: str | os.PathLike[str], after: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None
) -> Comparison:
    """Two stored runs side by side; each is `latest`, a run's id or its beginning, or the path of a run folder."""
    from .api import load_profile
    from .report import compare_profiles

    return compare_profiles(load_profile(before, runs=runs), load_profile(after, runs=runs))


def compare_against(
    ref: str,
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    fail_below: float | None = None,
    rounds: int = ROUNDS,
    budget_s: float = BUDGET_S,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> VersionComparison:
    """Run the script of the working tree against that of a git reference, in turns, in fresh processes.

    At most `rounds` pairs within about `budget_s` seconds; ended early once the interval decides: against `fail_below`
    (a ratio of speeds, 0.95 allows 5% less) where it is given, else whether there is a difference.

    Raises UsageError where the reference or the script in it is missing, ScriptError where a version fails,
    NothingMeasuredError where it trains too little, InterruptedByUserError after Ctrl-C (what was measured is kept).
    """
    from . import command as commands
    from . import store
    from .session import Limits, checkout
    from .session.rounds import run_rounds

    if rounds < 2:
        raise UsageError(f"--rounds {rounds}: at least 2 are needed for an interval")
    if fail_below is not None and not 0 < fail_below < 10:
        raise UsageError(f"--fail-below {fail_below:g}: give a ratio of speeds above 0 and below 10, such as 0.95")
    wanted = commands.build(os.fspath(script), list(args), is_module=module, interpreter=python)
    root = store.runs_root(Path(runs) if runs is not None else None)
    with checkout.checked_out(
        ref, cwd=Path(wanted.cwd).resolve(), interpreter=wanted.interpreter, scratch=(root / "scratch").resolve()
    ) as version:
        before = _in_version(wanted, version, ref)
        run = store.new_run(root, wanted.target)
        race = _Race(
            run=run,
            sides={
                "before": _Runner.of(before, isolation, root, version.environment),
                "after": _Runner.of(wanted, isolation, root, {}),
            },
            limits=Limits.of(start_limit_s, no_progress_limit_s, None),
            trackers_offline=trackers_offline,
            progress=progress,
        )
        with store.disk_errors(run.path):
            measured = run_rounds(race.measure, rounds=rounds, threshold=fail_below, budget_s=budget_s)
        found = _result(measured, race, wanted, version, ref)
        _store(found, run)
    progress.close()
    if measured.interrupted is not None:
        raise InterruptedByUserError(
            f"interrupted after {len(measured.pairs)} rounds; what had been measured is kept in {run.path}",
            by=measured.interrupted,
            run_folder=str(run.path),
            found=found,
        ) from measured.interrupted
    return found


def _in_version(wanted: Command, version: Checkout, ref: str) -> Command:
    """The same command in the other version."""
    from . import command as commands

    script = Path(wanted.target)
    target = str(version.moved(script.resolve())) if script.is_absolute() and not wanted.is_module else wanted.target
    cwd = version.moved(Path(wanted.cwd).resolve())
    try:
        built = commands.build(target, wanted.args, is_module=wanted.is_module, cwd=cwd)
    except UsageError as error:
        raise UsageError(f"--against {ref}: this version cannot run {wanted.target} ({error})") from None
    return replace(built, interpreter=wanted.interpreter)


@dataclass(frozen=True, kw_only=True)
class _Runner:
    """How one version is run."""

    command: Command
    tier: Tier
    environment: Mapping[str, str]

    @classmethod
    def of(cls, command: Command, isolation: str, root: Path, environment: Mapping[str, str]) -> _Runner:
        from .session import isolation as isolations

        tier = isolations.choose(isolation, project=Path(command.cwd), scratch=root / "scratch")
        return cls(command=command, tier=tier, environment=environment)


class _Race:
    """Runs one fresh process at a time, each over the same updates."""

    def __init__(
        self,
        *,
        run: RunFolder,
        sides: Mapping[Side, _Runner],
        limits: Limits,
        trackers_offline: bool,
        progress: Progress,
    ) -> None:
        from .session.rounds import first_window

        self.sides = sides
        self.notes: list[str] = []
        self.changed_files: list[str] = []
        self.run = run
        self._limits = limits
        self._trackers_offline = trackers_offline
        self._progress = progress
        self._window = first_window()
        self._number = 0

    def measure(self, side: Side) -> VersionRun:
        from .session.rounds import WINDOW, same_window
        from .wire import WindowDone

        self._number += 1
        result = self._process(side)
        self.changed_files += result.changed_files
        self.notes += [note.text for life in result.lives for note in life.notes if note.kind == "network"]
        if result.interrupted is not None:
            raise result.interrupted
        done = result.outcomes.get(WINDOW)
        if not isinstance(done, WindowDone) or result.lives[-1].failure is not None:
            raise self._failed(side, result)
        if len(done.wall_s) < LEAST_UPDATES:
            raise NothingMeasuredError(
                f"{_NAMES[side]} made {len(done.wall_s)} updates after warm-up, at least {LEAST_UPDATES} are needed: "
                "let the script train longer"
            )
        if self._number == 1:
            self._window = same_window(done)
        return self._counted(side, done.wall_s, done.samples)

    def _process(self, side: Side) -> SessionResult:
        from .session import Session
        from .session.rounds import one_window

        runner = self.sides[side]
        folder = self.run.path / f"{self._number:02}-{side}"
        folder.mkdir(mode=0o700)
        session = Session(
            command=runner.command,
            folder=folder,
            tier=runner.tier,
            limits=self._limits,
            loop_budget_s=float("inf"),
            progress=self._progress,
            trackers_offline=self._trackers_offline,
            most_lives=1,
            environment=runner.environment,
        )
        return session.run(one_window(self._window))

    def _failed(self, side: Side, result: SessionResult) -> ScriptError | NothingMeasuredError:
        life = result.lives[-1]
        if life.failure is None:
            return NothingMeasuredError(
                f"{_NAMES[side]} ended after {life.updates} updates (exit code {life.exit_code}): too few to measure"
            )
        return ScriptError(f"{_NAMES[side]} failed: {life.failure.message}", stderr_tail=life.failure.stderr_tail)

    def _counted(self, side: Side, wall_s: Sequence[float], samples: Sequence[int | None]) -> VersionRun:
        from . import store

        known = [count for count in samples if count is not None]
        found = VersionRun(
            side=side,
            updates=len(wall_s),
            seconds=sum(wall_s),
            samples=sum(known) if len(known) == len(wall_s) else None,
        )
        record = {"side": side, "updates": found.updates, "seconds": found.seconds, "samples": found.samples}
        store.append_record(self.run.path / "rounds.jsonl", record)
        unit = "updates" if found.samples is None else "samples"
        self._progress.note(
            f"process {self._number}, {_NAMES[side]}: {found.rate(found.samples is not None):.3g} {unit}/s"
        )
        return found


_NAMES: Mapping[Side, str] = {"before": "the version before", "after": "the working tree"}


def _result(measured: Rounds, race: _Race, wanted: Command, version: Checkout, ref: str) -> VersionComparison:
    return VersionComparison(
        advisor=__version__,
        run_id=race.run.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=wanted,
        against=ref,
        commit=version.commit,
        ratio=measured.ratio,
        rounds=len(measured.pairs),
        planned_rounds=measured.planned,
        status=measured.status,
        threshold=measured.threshold,
        gate=measured.gate,
        rounds_to_decide=measured.rounds_to_decide,
        isolation=race.sides["after"].tier.promise,
        changed_files=tuple(dict.fromkeys(race.changed_files)),
        runs=tuple(measured.runs),
        notes=tuple(dict.fromkeys((*_told(measured, wanted, version), *version.notes, *map(_network, race.notes)))),
    )


def _told(measured: Rounds, wanted: Command, version: Checkout) -> Iterator[str]:
    if measured.interrupted is not None:
        yield "interrupted: this is what had been measured until then"
    if measured.out_of_time:
        yield f"the time was up after {len(measured.pairs)} of {measured.planned} rounds"
    if measured.ratio is not None and measured.ratio.unit == "updates/s":
        yield "samples could not be counted: updates are compared, so both versions must use the same batch size"
    for word in wanted.args:
        if f"{version.repository}{os.sep}" in word:
            yield f"the argument {word} leads into the working tree, for both versions"


def _network(place: str) -> str:
    return f"the script connects to {place}: what it sends there is not undone by the isolation"


def _store(found: VersionComparison, run: RunFolder) -> None:
    import json

    from . import store
    from .report import versions_json

    text = json.dumps(versions_json(found), indent=2, allow_nan=False)
    with contextlib.suppress(FileNotFoundError):
        store.write_atomic(run.path / COMPARISON_FILE, text.encode())
