"""Comparison of two stored runs, or of two versions of the script; reached through `advisor.api`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..durations import seconds_of
from ..errors import UsageError, interrupted_rounds
from ..progress import SILENT, Progress
from ..spelling import parameter
from ..types import Command, VersionComparison
from .redacted import without_secrets
from .shown import ShownComparison

if TYPE_CHECKING:
    from ..report.comparison.runs import Comparison
    from ..runtime.checkout import Checkout
    from ..storage.run_store import RunFolder
    from ..verification.process import ScriptVersion
    from ..verification.process_trial import ProcessTrials
    from ..verification.rounds import Rounds

ROUNDS = 10
BUDGET = "10m"
LEAST_BUDGET_S = 1.0
COMPARISON_FILE = "comparison.json"


def compare(
    before: str | os.PathLike[str], after: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None
) -> Comparison:
    """Compare two stored runs; each is `latest`, a run's id or its beginning, or the path of a run folder."""
    from ..report.comparison.runs import compare_profiles
    from .stored import load_profile

    return compare_profiles(load_profile(before, runs=runs), load_profile(after, runs=runs))


def compare_against(
    ref: str,
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    fail_below: float | None = None,
    rounds: int = ROUNDS,
    budget: str | float = BUDGET,
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

    Runs at most `rounds` pairs within about `budget` (seconds, or text like "90s", "10m"), and ends early once the
    interval decides. With `fail_below` (a ratio of speeds, 0.95 allows 5% less) it decides against that ratio,
    otherwise whether there is a difference.

    Raises UsageError if the reference or the script in it is missing, ScriptError if a version fails,
    NothingMeasuredError if it trains too little, and InterruptedByUserError after Ctrl-C (the measurements so far are
    kept).
    """
    from ..runtime import RunOptions, checkout
    from ..runtime.protection import protect_all
    from ..storage import run_store, safe_files
    from ..target import command as commands
    from ..verification.process import ScriptVersion
    from ..verification.process_trial import ProcessTrials
    from ..verification.rounds import run_rounds

    if rounds < 2:
        raise UsageError(f"invalid {parameter('rounds', rounds)}: an interval needs at least 2")
    if fail_below is not None and not 0 < fail_below < 10:
        raise UsageError(
            f"invalid {parameter('fail_below', fail_below)}: expected a ratio between 0 and 10, such as 0.95"
        )
    budget_s = seconds_of(budget, least_s=LEAST_BUDGET_S)
    wanted = commands.build(os.fspath(script), list(args), is_module=module, interpreter=python)
    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        trackers_offline=trackers_offline,
        progress=progress,
    )
    with checkout.checked_out(
        ref,
        cwd=Path(wanted.cwd).resolve(),
        interpreter=wanted.interpreter,
        scratch=options.scratch.resolve(),
    ) as version:
        before = _in_version(wanted, version, ref)
        run = run_store.new_run(options.root, wanted.target)
        protections = protect_all([before, wanted], options)
        sides = {
            "before": ScriptVersion(
                name="the earlier version",
                side="before",
                command=before,
                isolation=protections[0],
                environment=version.environment,
            ),
            "after": ScriptVersion(name="the working tree", side="after", command=wanted, isolation=protections[1]),
        }
        trials = ProcessTrials(folder=run.path, options=options)
        with safe_files.disk_errors(run.path):
            measured = run_rounds(
                lambda side: trials.measure(sides[side]).run, rounds=rounds, threshold=fail_below, budget_s=budget_s
            )
        found = without_secrets(_result(measured, trials, run, sides["after"], version, ref), wanted, run.path)
        _store(found, run)
    progress.close()
    if measured.interrupted is not None:
        rounds_done = f"{len(measured.pairs)} rounds"
        raise interrupted_rounds(rounds_done, run.path, measured.interrupted, found) from measured.interrupted
    return found


def _in_version(wanted: Command, version: Checkout, ref: str) -> Command:
    """Return the same command in the other version."""
    from ..target import command as commands

    script = Path(wanted.target)
    target = str(version.moved(script.resolve())) if script.is_absolute() and not wanted.is_module else wanted.target
    cwd = version.moved(Path(wanted.cwd).resolve())
    try:
        built = commands.build(target, wanted.args, is_module=wanted.is_module, cwd=cwd)
    except UsageError as error:
        raise UsageError(f"{parameter('ref', ref)}: that version cannot run {wanted.target} ({error})") from None
    return replace(built, interpreter=wanted.interpreter)


def _result(
    measured: Rounds, trials: ProcessTrials, run: RunFolder, after: ScriptVersion, version: Checkout, ref: str
) -> VersionComparison:
    wanted = after.command
    return ShownComparison(
        advisor=__version__,
        run_id=run.run_id,
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
        isolation=after.isolation.promise,
        changed_files=tuple(dict.fromkeys(trials.changed_files)),
        runs=tuple(measured.runs),
        notes=tuple(dict.fromkeys((*_notes(measured, wanted, version), *version.notes, *trials.notes))),
    )


def _notes(measured: Rounds, wanted: Command, version: Checkout) -> Iterator[str]:
    if measured.interrupted is not None:
        yield "interrupted: these are the results so far"
    if measured.skipped_rounds is not None and not measured.decided:
        yield measured.skipped_rounds.why
    if measured.ratio is not None and measured.ratio.unit == "updates/s":
        yield "samples could not be counted: updates are compared, so both versions must use the same batch size"
    for word in wanted.args:
        if f"{version.repository}{os.sep}" in word:
            yield f"the argument {word} refers to the working tree, for both versions"


def _store(found: VersionComparison, run: RunFolder) -> None:
    import json

    from ..report.comparison.versions import versions_json
    from ..storage import safe_files

    text = json.dumps(versions_json(found), indent=2, allow_nan=False)
    with contextlib.suppress(FileNotFoundError):
        safe_files.write_atomic(run.path / COMPARISON_FILE, text.encode())
