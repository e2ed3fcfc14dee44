"""Verification of configurations against the baseline, in fresh processes; reached through `advisor.api`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..durations import seconds_of
from ..errors import UsageError, interrupted_rounds
from ..progress import SILENT, Progress
from ..settings_file.loaded import no_longer_holds, read_document
from ..spelling import parameter
from ..storage import documents
from ..types import Recommendation
from ..types.verification import VerifyResult
from ..verification.verification_run import FEWEST, ROUNDS, Expected, Finalist, verify_configs
from .redacted import without_secrets
from .shown import ShownVerification

if TYPE_CHECKING:
    from ..settings_file.exports import Document
    from ..target.function import Trainable
    from ..types import Verdict

BUDGET = "10m"
VERIFICATION_FILE = "verification.json"


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
    fresh: bool = False,
    progress: Progress = SILENT,
) -> VerifyResult:
    """Run a script with the settings of an `advisor.yaml` against the baseline, in fresh processes, in turns.

    Runs at most `rounds` pairs of processes within about `budget` (seconds, or text like "90s", "10m"), and ends early
    once the interval decides. Rounds that `tune` or `verify` measured before count, if script, command, settings and
    machine are unchanged, and at least one more is measured; `fresh` ignores them. `update` writes the verdict into
    the file, whose other lines stay as they are. The other parameters are those of `advisor.profile`.

    Raises UsageError for a call or a file that cannot be used, ScriptError if the baseline fails, NothingMeasuredError
    if it trains too little, and InterruptedByUserError after Ctrl-C (the measurements so far are kept).
    """
    from .. import hardware as machines
    from ..runtime import RunOptions
    from ..runtime.protection import protect
    from ..storage import run_store, safe_files
    from ..target.function import command_for

    document = read_document(Path(config))
    if not document.config.settings and not document.arguments and not document.constants:
        raise UsageError(f"{config} has no settings to verify")
    if rounds < FEWEST:
        raise UsageError(f"invalid {parameter('rounds', rounds)}: an interval needs at least {FEWEST}")
    budget_s = seconds_of(budget)
    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        trackers_offline=trackers_offline,
        progress=progress,
        updates=document.updates,
    )
    wanted = command_for(script, args, is_module=module, interpreter=python, root=options.root)
    run = run_store.new_run(options.root, wanted.target)
    machine = machines.probe(folder=Path(wanted.cwd))
    with safe_files.disk_errors(run.path):
        found = verify_configs(
            wanted,
            [
                Finalist(
                    config=document.config,
                    arguments=document.arguments,
                    constants=document.constants,
                    stand_for=document.stand_for,
                )
            ],
            hardware=machine,
            run_folder=run.path,
            isolation=protect(wanted, options),
            options=options,
            budget_s=budget_s,
            rounds=rounds,
            expected=Expected(gain=_gain(document)),
            earlier=() if fresh else [one.path for one in run_store.list_runs(options.root)],
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
        constants=document.constants,
        notes=(*no_longer_holds(document, python=wanted.interpreter), *found.notes),
        failure=found.failure,
        run_folder=str(run.path),
    )
    result = without_secrets(result, wanted, run.path)
    _keep(result, run.path)
    if update and one.verdict.rounds:
        result = replace(result, files=(str(_updated(Path(config), document, one.verdict)),))
    if found.interrupted is not None:
        rounds_done = f"{one.verdict.rounds} complete rounds"
        raise interrupted_rounds(rounds_done, run.path, found.interrupted, result) from found.interrupted
    return result


def _gain(document: Document) -> float | None:
    """Return the least gain that the file's own verdict claims; None if it claims none."""
    interval = document.verdict.get("interval")
    low = documents.finite(interval[0]) if isinstance(interval, list) and interval else None
    return low if low is not None and low > 1 else None


def _updated(path: Path, verified: Document, verdict: Verdict) -> Path:
    """Write the new verdict into the file, and return its path.

    Raises UsageError if the file now holds other settings, or could not be read back: it then stays as it is.
    """
    from ..settings_file import advisor_yaml
    from ..storage import safe_files

    text = advisor_yaml.with_verdict(path.read_text(encoding="utf-8"), verdict)
    new = advisor_yaml.parse(text, path)
    if _settings_of(new) != _settings_of(verified):
        raise UsageError(f"{path} has changed since: its settings are not those that were verified")
    if new.verdict.get("status") != verdict.status:
        raise UsageError(f"{path}: the verdict already in the file cannot be replaced; remove it and verify again")
    mode = path.stat().st_mode
    safe_files.write_atomic(path, text.encode("utf-8"))
    path.chmod(mode)
    return path


def _settings_of(document: Document) -> tuple[object, ...]:
    return document.config, document.arguments, document.constants


def _keep(result: VerifyResult, folder: Path) -> None:
    from ..report.comparison.verification import verify_json
    from ..storage import safe_files

    text = json.dumps(verify_json(result), indent=2, allow_nan=False)
    safe_files.write_atomic(folder / VERIFICATION_FILE, text.encode())
