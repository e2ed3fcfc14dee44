"""Profile of a script: a short run that shows what limits it."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..durations import seconds_of
from ..errors import INTERRUPTIONS, interrupted
from ..progress import SILENT, Progress
from ..types import Command, Diagnosis, Evidence, Hardware, Profile, Workload
from ..version import __version__
from .redacted import without_secrets
from .shown import Shown, shown_as

if TYPE_CHECKING:
    from ..runtime import Session, SessionResult
    from ..runtime.isolation import Isolation
    from ..runtime.session import Planner
    from ..storage.run_store import RunFolder
    from ..target.function import Trainable

PROFILE_BUDGET = "26s"
"""Measuring time from the first update on: a default profile ends within 30 s of the first step, unless five updates
take longer."""
LEAST_PROFILE_S = 1.0


class NotebookProfile(Shown, Profile):
    """A profile that shows its report when printed, or as the last value of a cell."""

    def _repr_html_(self) -> str:
        from ..report.profile.html import as_fragment

        return as_fragment(self)


def profile(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    budget: str | float | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    noise_scale: bool = False,
    progress: Progress = SILENT,
) -> Profile:
    """Run a training script for a short while, unmodified, and report what limits it.

    `script` is a path, or a module's name with `module=True`; `args` is its `sys.argv[1:]`. It may also be a function
    that trains and needs no arguments, from a module, a script (which calls advisor below its guard) or a notebook. A
    fresh process calls the function, with what it needs of the module, the script, or the executed cells. `budget`
    (seconds, or text like "90s", "2m") begins with the first update, and ends with the update that then runs; without
    one it is 26 s, or as long as five updates take. In part of it, settings that findings name are tried for a few
    windows, none of which changes the training. `noise_scale` also measures the gradient noise scale, in updates
    whose batches are split. The script runs in a copy-on-write view: see
    `isolation`.

    Returns the stored profile. As in `advisor.tune`, a script that fails or trains nothing raises no error, because the
    measurements so far are worth having. The profile's `failure` says what happened (None: nothing did), and every
    display of the profile shows it first.

    Raises UsageError for a call that cannot be carried out, IsolationError if the files cannot be protected as asked,
    StorageError if nothing can be kept, and InterruptedByUserError after Ctrl-C (the measurements so far are kept).
    """
    from ..hardware import probe
    from ..runtime import RunOptions, Session
    from ..runtime.protection import protect
    from ..storage import run_store, safe_files
    from ..target.function import command_for

    budget_s = seconds_of(PROFILE_BUDGET if budget is None else budget, least_s=LEAST_PROFILE_S)
    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        trackers_offline=trackers_offline,
        python=python,
        progress=progress,
    )
    wanted = command_for(script, args, is_module=module, interpreter=python, root=options.root)
    run = run_store.new_run(options.root, wanted.target)
    with safe_files.disk_errors(run.path):
        with _no_empty_folder(run.path):
            protection = protect(wanted, options)
            machine = probe(folder=Path(wanted.cwd))

        session = Session(
            command=wanted,
            folder=run.path,
            isolation=protection,
            options=options,
            loop_budget_s=budget_s,
            cuts_first_window=budget is not None,
            watch_devices=any(device.kind == "cuda" for device in machine.accelerators),
        )
        progress.time_left(session.left_s)
        result = session.run(_plan(session, machine, noise_scale=noise_scale))

    try:
        found = stored_profile(run, wanted, machine, protection, result, budget_s=budget_s, run_options=options.typed())
    except INTERRUPTIONS as interruption:  # the measurements are kept all the same
        result.interrupted = interruption
        found = stored_profile(run, wanted, machine, protection, result, budget_s=budget_s, run_options=options.typed())
    progress.close()
    if result.interrupted is not None:
        raise interrupted(run.run_id, run.path, result.interrupted) from result.interrupted
    return in_notebook(replace(found, run_folder=str(run.path)))


def _plan(session: Session, machine: Hardware, *, noise_scale: bool = False) -> Planner:
    """Plan the windows of a profile, and those of settings that its findings name.

    Some of the time is kept for these; at the end, they have what is left.
    """
    from ..analysis import assembly, fixes, noise_window
    from ..analysis.profile_plan import first_baseline, profile_plan

    reserved_s = 0.0

    def workload_seen() -> Workload | None:
        return assembly.workload_of(session.result.script_runs[-1])

    def known() -> Workload | None:
        nonlocal reserved_s
        first = first_baseline(session.result.outcomes)
        if first is not None:
            reserved_s = fixes.reserved_s(session.loop_budget_s, statistics.median(first.wall_s))
        return workload_seen()

    def evidence() -> Evidence | None:
        workload = workload_seen()
        if workload is None:
            return None
        found = assembly.evidence_of_windows(session.result, _as_the_script_sees_it(machine, session.result), workload)
        if found is not None:
            session.expect(found.steps.mean_s)
        return found

    tried = fixes.Fixes(result=session.result, read=evidence, left_s=session.left_s, progress=session.options.progress)

    def noise() -> Planner:
        """Plan the window of the noise scale."""
        workload = workload_seen()
        if not noise_scale or workload is None:
            return
        planned = noise_window.window(workload, machine)
        if isinstance(planned, str):
            session.result.not_planned.append(f"the gradient noise scale was not measured: {planned}")
        else:
            yield [planned]
            if (why := noise_window.why_none(session.result)) is not None:
                session.result.not_planned.append(f"the gradient noise scale was not measured: {why}")

    def first_fixes() -> Planner:
        nonlocal reserved_s
        before_s = session.left_s()
        yield from tried.plan(until_left_s=before_s - reserved_s)
        reserved_s = max(0.0, reserved_s - (before_s - session.left_s())) if tried.postponed else 0.0

    yield from profile_plan(known, lambda: session.left_s() - reserved_s, fixes=first_fixes, asked=noise)
    yield from tried.plan()


def stored_profile(
    run: RunFolder,
    command: Command,
    machine: Hardware,
    protection: Isolation,
    result: SessionResult,
    *,
    budget_s: float | None = None,
    run_options: tuple[str, ...] = (),
) -> Profile:
    """Assemble the profile with its findings, store it, and return it."""
    from ..analysis import assembly
    from ..storage import run_store

    found = assembly.assemble(
        run_id=run.run_id,
        version=__version__,
        command=command,
        hardware=_as_the_script_sees_it(machine, result),
        isolation=protection,
        result=result,
    )
    trained = found.failure is None or found.failure.kind != "no_steps"
    diagnosis = _diagnose(found) if trained else Diagnosis(findings=())
    found = replace(
        found,
        findings=diagnosis.findings,
        abstained=diagnosis.abstained,
        budget_s=budget_s,
        run_options=run_options,
    )
    found = without_secrets(found, command, run.path)
    run_store.save_profile(found, run)
    return found


@contextlib.contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that never began."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def _diagnose(found: Profile) -> Diagnosis:
    from .. import rules
    from ..analysis import assembly

    evidence = assembly.evidence_of(found)
    return rules.diagnose(evidence) if evidence is not None else Diagnosis(findings=())


def _as_the_script_sees_it(machine: Hardware, result: Any) -> Hardware:
    """Return the machine with the script's own torch, and with the setup problems judged by that torch."""
    from ..analysis import assembly
    from ..hardware import cache_folder, calibrated, setup_problems

    build = next((found for script_run in result.script_runs if (found := assembly.torch_build(script_run))), None)
    machine = calibrated(replace(machine, torch=build), cache_folder=cache_folder())
    return replace(machine, problems=setup_problems(machine))


def in_notebook(found: Profile) -> NotebookProfile:
    return shown_as(NotebookProfile, found)
