"""The pipeline, top to bottom, and the façade for scripts and notebooks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .comparing import compare, compare_against
from .configuration import LoadedConfig, apply, load
from .errors import INTERRUPTIONS, InterruptedByUserError
from .progress import SILENT, Progress
from .report.shown import Shown
from .tuning import Tuned, run, seconds_of, tune
from .types import Command, Diagnosis, Hardware, Profile, TuneResult
from .verifying import verify

if TYPE_CHECKING:
    from .functions import Trainable
    from .session import SessionResult
    from .session.isolation import Tier
    from .store import RunFolder

__all__ = [
    "LoadedConfig",
    "NotebookProfile",
    "apply",
    "compare",
    "compare_against",
    "hardware",
    "load",
    "profile",
    "run",
    "tune",
    "verify",
]

PROFILE_BUDGET = "26s"
"""Of measuring, from the first update on: a default profile ends within 30 s of the first step."""
LEAST_PROFILE_S = 1.0


class NotebookProfile(Shown, Profile):
    """A profile that shows itself where it is printed, or the last value of a cell."""

    def _repr_html_(self) -> str:
        from .report import as_fragment

        return as_fragment(self)


def profile(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    budget: str | float = PROFILE_BUDGET,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Profile:
    """Run a training script for a short while, unmodified, and say what holds it back.

    `script` is a path, or a module's name with `module=True`; `args` is what it finds in `sys.argv[1:]`. It may also be
    a function that trains and needs no arguments, of a module, of a script (which calls advisor below its guard) or of
    a notebook: a fresh process calls it, with what it needs of the module, the script, or the executed cells. `budget`
    (seconds, or text like "90s", "2m") begins with the first update. The script runs in a copy-on-write view: see
    `isolation`.

    Returns the stored profile. A script that fails, or that trains nothing, raises nothing, as in `advisor.tune`: what
    was measured until then is worth having. The profile's `failure` says what happened (None: nothing did), and so does
    whatever the profile shows of itself, first of all. Raises UsageError for a call that cannot
    be carried out, IsolationError where the files cannot be protected as asked, StorageError where nothing can be kept,
    InterruptedByUserError after Ctrl-C: what was measured until then is kept.
    """
    from . import store
    from .functions import command_for
    from .hardware import probe
    from .session import Limits, Session, assembly
    from .session import probe as plans
    from .session.protection import protect

    budget_s = seconds_of(budget, least_s=LEAST_PROFILE_S)
    root = store.runs_root(Path(runs) if runs is not None else None)
    wanted = command_for(script, args, is_module=module, interpreter=python, root=root)
    run = store.new_run(root, wanted.target)
    with store.disk_errors(run.path):
        with _no_empty_folder(run.path):
            tier = protect(wanted, isolation, root=root, progress=progress)
            machine = probe(folder=Path(wanted.cwd))

        session = Session(
            command=wanted,
            folder=run.path,
            tier=tier,
            limits=Limits.of(start_limit_s, no_progress_limit_s, memory_limit_bytes),
            loop_budget_s=budget_s,
            progress=progress,
            trackers_offline=trackers_offline,
            watch_devices=any(device.kind == "cuda" for device in machine.accelerators),
        )
        planner = plans.profile_plan(lambda: assembly.workload_of(session.result.lives[-1]), session.left_s)
        progress.time_left(session.left_s)
        result = session.run(planner)

    try:
        found = stored_profile(run, wanted, machine, tier, result, budget_s=budget_s)
    except INTERRUPTIONS as interruption:  # what was measured is kept all the same
        result.interrupted = interruption
        found = stored_profile(run, wanted, machine, tier, result, budget_s=budget_s)
    progress.close()
    if result.interrupted is not None:
        raise interrupted(run, result.interrupted) from result.interrupted
    return _in_notebook(replace(found, run_folder=str(run.path)))


def hardware(*, calibrate: bool = False, python: str | None = None) -> Hardware:
    """What this machine has, what of it may be used, and what is set up wrong.

    With `calibrate` the peaks are measured (about 15 s on two cores) and kept in the cache folder.
    """
    from . import hardware as machines

    return machines.look(calibrate=calibrate, python=python)


def load_profile(run: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None) -> Profile:
    """A stored profile: `latest`, a run's id or its beginning, or the path of a run folder."""
    from . import store

    folder = store.find_run(os.fspath(run), store.runs_root(Path(runs) if runs is not None else None))
    return _in_notebook(replace(store.load_profile(folder.profile_path), run_folder=str(folder.path)))


def load_run(run: str | os.PathLike[str], *, runs: str | os.PathLike[str] | None = None) -> Profile | Tuned:
    """A stored run, named as in `load_profile`: of a search all of it, unless the path of its profile.json is given."""
    from . import store

    folder = store.find_run(os.fspath(run), store.runs_root(Path(runs) if runs is not None else None))
    if not folder.has_tune or Path(run).name == store.PROFILE_FILE:
        return load_profile(folder.path)
    found = store.load_tune(folder.path)
    return Tuned(**{field.name: getattr(found, field.name) for field in fields(TuneResult)})


def stored_profile(
    run: RunFolder,
    command: Command,
    machine: Hardware,
    tier: Tier,
    result: SessionResult,
    *,
    budget_s: float | None = None,
) -> Profile:
    """The profile with its findings, stored."""
    from . import store
    from .session import assembly

    found = assembly.assemble(
        run_id=run.run_id,
        version=__version__,
        command=command,
        hardware=_as_the_script_sees_it(machine, result),
        tier=tier,
        result=result,
    )
    diagnosis = _diagnose(found)
    found = replace(found, findings=diagnosis.findings, abstained=diagnosis.abstained, budget_s=budget_s)
    store.save_profile(found, run)
    return found


@contextlib.contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """A run that never began leaves no folder behind."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def interrupted(run: RunFolder, by: BaseException, *, found: Any = None) -> InterruptedByUserError:
    """`found`: the result of a search as far as it came."""
    go_on = "" if found is None else f"; to go on, repeat the command with --resume {run.run_id}"
    return InterruptedByUserError(
        f"interrupted; what had been measured is kept: advisor report {run.run_id}{go_on}",
        by=by,
        run_folder=str(run.path),
        found=found,
    )


def _diagnose(found: Profile) -> Diagnosis:
    from . import rules
    from .session import assembly

    evidence = assembly.evidence_of(found)
    return rules.diagnose(evidence) if evidence is not None else Diagnosis(findings=())


def _as_the_script_sees_it(machine: Hardware, result: Any) -> Hardware:
    """The torch that counts is the script's own; what is set up wrong is judged with it."""
    from .hardware import cache_folder, calibrated, setup_problems
    from .session import assembly

    build = next((found for life in result.lives if (found := assembly.torch_build(life))), None)
    machine = calibrated(replace(machine, torch=build), cache_folder=cache_folder())
    return replace(machine, problems=setup_problems(machine))


def _in_notebook(found: Profile) -> NotebookProfile:
    return NotebookProfile(**{field.name: getattr(found, field.name) for field in fields(Profile)})
