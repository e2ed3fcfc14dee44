"""Assembly of a `Profile` from everything a session brought back, even if that is little."""

from __future__ import annotations

import functools
import linecache
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .. import whatif, wire
from ..plural import plural
from ..runtime.isolation import Isolation
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session_result import SessionResult
from ..types import (
    Command,
    Config,
    Evidence,
    Failure,
    Hardware,
    IsolationUse,
    Profile,
    ScriptRunSummary,
    TorchBuild,
    Workload,
)
from . import (
    device_summary,
    evaluations,
    fixes,
    growth,
    hot_lines,
    learning,
    loader_summary,
    losses,
    ranks,
    ratios,
    summary,
)
from .counted import Counted
from .profile_plan import first_baseline

_PURPOSES = {
    "trace": "the trace of calls",
    "device_trace": "the trace of the device",
    "bare": "a window without hooks",
    "epoch_end": "the end of an epoch",
    "noise_scale": "the gradient noise scale",
}


def workload_of(script_run: ScriptRunRecord) -> Workload | None:
    """Return the parts of the script that the agent found; None if it had no time to look, or sent nonsense."""
    if script_run.facts is None:
        return None
    try:
        return _workloads().validate_python(script_run.facts.workload)
    except ValidationError as error:
        script_run.notes.append(wire.Note(0, "agent_error", f"unreadable facts: {error.errors()[0]}"))
        return None


def ready() -> None:
    """Build the readers of an agent's facts, better before the first window ends than between two windows."""
    _workloads()
    summary.ready()
    device_summary.ready()


@functools.cache
def _workloads() -> TypeAdapter[Workload]:
    return TypeAdapter(Workload)


def torch_build(script_run: ScriptRunRecord) -> TorchBuild | None:
    ready, hello = script_run.ready, script_run.hello
    if ready is None or hello is None:
        return None
    return TorchBuild(
        version=ready.torch,
        python=hello.python,
        cuda=ready.cuda,
        rocm=ready.rocm,
        cudnn=ready.cudnn,
        accelerator_available=ready.accelerator_available,
    )


def assemble(
    *,
    run_id: str,
    version: str,
    command: Command,
    hardware: Hardware,
    isolation: Isolation,
    result: SessionResult,
) -> Profile:
    """Assemble the profile without findings, which the rules add."""
    first = first_baseline(result.outcomes)
    script_run = result.script_runs[result.script_run_of[first.id]] if first is not None else result.script_runs[-1]
    workload = workload_of(script_run)
    common: dict[str, Any] = {
        "advisor": version,
        "run_id": run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "environment": _environment(script_run),
        "hardware": hardware,
        "isolation": IsolationUse(name=isolation.name, promise=isolation.promise, changed_files=result.changed_files),
        "workload": workload,
        "start_up_s": script_run.goodbye.first_update_s if script_run.goodbye else script_run.first_update_at_s,
        "script_runs": tuple(_script_run_summary(record) for record in result.script_runs),
        "usage": tuple(point for record in result.script_runs for point in record.usage),
        "windows": summary.windows(result),
        "notes": _notes(result, first),
    }
    if first is None or workload is None:
        return Profile(**common, failure=_failure(result, bool(first)))
    return Profile(**common, **_measured(result, first, script_run, hardware, workload), failure=_failure(result, True))


def evidence_of(profile: Profile) -> Evidence | None:
    """Return the evidence that the rules may use; None if nothing was measured."""
    needed = (profile.workload, profile.steps, profile.memory, profile.compute, profile.system)
    if any(part is None for part in needed):
        return None
    shared = {field.name: getattr(profile, field.name) for field in fields(Evidence)}
    return Evidence(**{**shared, "what_ifs": {what_if.name: what_if for what_if in profile.what_ifs}})


def evidence_of_windows(result: SessionResult, hardware: Hardware, workload: Workload) -> Evidence | None:
    """Return what the windows of a session show of one configuration; None if nothing was counted."""
    first = first_baseline(result.outcomes)
    if first is None:
        return None
    script_run = result.script_runs[result.script_run_of[first.id]]
    found = _measured(result, first, script_run, hardware, workload)
    shared = {field.name: found[field.name] for field in fields(Evidence) if field.name in found}
    what_ifs = {what_if.name: what_if for what_if in found["what_ifs"]}
    return Evidence(**{**shared, "hardware": hardware, "workload": workload, "what_ifs": what_ifs})


def _measured(
    result: SessionResult, first: wire.WindowDone, script_run: ScriptRunRecord, hardware: Hardware, workload: Workload
) -> dict[str, Any]:
    counted = Counted(first, summary.later_baselines(result))
    ending = summary.epoch_end(counted, result, workload)
    steps = summary.steps(counted)
    phases = summary.phases(counted)
    read_line = functools.cache(lambda file, line: linecache.getline(file, line).strip())
    on_device, why_not = device_summary.device_use(result, steps, workload)
    found_ranks, waits = ranks.ranks_and_waits(first, script_run, counted.cut, workload, on_device)
    return {
        "steps": steps,
        "phases": phases,
        "off_step": summary.off_step_with_epoch(counted, ending, workload),
        "epoch_end": ending,
        "loop_s": counted.loop_s,
        "memory": summary.memory(result, script_run, hardware, workload),
        "compute": summary.compute(result, counted, hardware, workload),
        "loader": loader_summary.loader_times(counted, result, workload),
        "restarts": loader_summary.restarts(counted, ending, result, workload),
        "system": summary.system(counted, script_run),
        "trace": summary.trace(result),
        "device_use": on_device,
        "why_no_device_use": why_not,
        "lines": hot_lines.lines(result, counted, workload, read_line),
        "evaluation": evaluations.evaluation_use(counted, result, workload),
        "growth": growth.growth(
            growth.baselines(result.outcomes, result.windows, result.script_run_of), hot_lines.risen(result, read_line)
        ),
        "ranks": found_ranks,
        "communication": waits,
        "what_ifs": ratios.what_ifs(ranks.paced_by_the_slowest(result)),
        "fixes": fixes.measured(result, hardware, workload),
        **learning.measured(result, workload),
        "overhead": ratios.overhead(result),
    }


def _failure(result: SessionResult, something: bool) -> Failure | None:
    """Return why the probe did not finish; a process that advisor itself broke is reported in the notes."""
    script_run = result.script_runs[-1]
    if not something:
        return script_run.failure or (
            _interrupted(script_run)
            if result.interrupted is not None
            else _no_steps(script_run, out_of_time=result.deadline_hit)
        )
    doubted = script_run.number in result.ours or script_run.failure is result.unexplained
    if script_run.failure is not None and not doubted:
        return script_run.failure
    first = first_baseline(result.outcomes)
    if first is None:
        return None
    if _only_steps(first):
        seen = f"optimizer.step() was called {len(first.wall_s):,} times, and no forward or backward pass was seen"
        return Failure(kind="no_steps", message=seen)
    count, at_end = int(first.extra.get("nan_losses", 0)), int(first.extra.get("nan_losses_at_end", 0))
    return losses.not_finite(count, at_end, len(first.losses))


def _only_steps(first: wire.WindowDone) -> bool:
    """Return whether nothing was trained between the optimizer's steps: their shares of the time mean nothing."""
    return not any(first.micro_steps) and not any(sum(first.phases_s.get(name, ())) for name in ("forward", "backward"))


def _interrupted(script_run: ScriptRunRecord) -> Failure:
    message = f"the script was interrupted {script_run.elapsed_s:.0f} s after its start (updates: {script_run.updates})"
    return Failure(kind="interrupted", message=message, exit_code=script_run.exit_code, elapsed_s=script_run.elapsed_s)


def _no_steps(script_run: ScriptRunRecord, out_of_time: bool) -> Failure:
    """Describe a script of which no window was counted; `out_of_time`: it was ended, and did not end."""
    children = [note.text for note in script_run.notes if note.kind == "child_process"]
    exit_code = script_run.exit_code if script_run.exit_code is not None else 0
    if script_run.updates:
        made = plural(script_run.updates, "update")
        message = (
            f"the script made {made} in the time that it was given, too few to measure: give a larger budget"
            if out_of_time
            else f"the script ended after {made} (exit code {exit_code}): too few to measure"
        )
    elif children:
        message = (
            f"this process trained nothing (exit code {exit_code}), but started others: {children[0]}. Point advisor "
            "at the script or function that they run"
        )
    elif script_run.ready is None:
        message = f"the script ended with exit code {exit_code} and never imported torch"
    else:
        message = f"the script ended with exit code {exit_code} without a backward pass or an optimizer step"
    return Failure(kind="no_steps", message=message, exit_code=script_run.exit_code, elapsed_s=script_run.elapsed_s)


def _notes(result: SessionResult, first: wire.WindowDone | None) -> tuple[str, ...]:
    """Return everything that the reader must know, each note once."""
    notes: list[str] = []
    if result.interrupted is not None:
        notes.append("interrupted: these are the results so far")
    if first is not None and first.cut_short:
        notes.append(f"the first window was cut short: {first.cut_short}")
    for record in result.script_runs:
        notes += [_worded(note) for note in record.notes if note.kind != "child_process"]
        if record.left_processes:
            notes.append(f"processes that could not be stopped: {', '.join(map(str, record.left_processes))}")
    if (alone := _each_alone(result)) is not None:
        notes.append(alone)
    failure = _failure(result, first is not None)
    said = failure.message if failure is not None else None  # the headline says it
    for name, outcome in result.outcomes.items():
        is_fix = result.windows[name].role is wire.WindowRole.FIX
        if isinstance(outcome, wire.WindowRefused) and not is_fix and outcome.message != said:
            notes.append(f"{_in_words(result.windows[name])} was not measured: {outcome.message}")
    notes += fixes.refusals(result)
    if why := summary.why_no_flops(result):
        notes.append(f"the FLOPs of an update were not counted: {why}")
    if result.deadline_hit:
        missing = [name for name in result.windows if name not in result.outcomes]
        if missing:
            planned = dict.fromkeys(_in_words(result.windows[name]) for name in missing)
            notes.append(f"time ran out before {', '.join(planned)}")
    notes += [*result.not_planned, *result.ours.values()]
    if result.unexplained is not None and failure is None:
        notes.append(
            f"{result.unexplained.message}, after advisor had tried settings; there was no time to see whether it does "
            "so without them"
        )
    ended = sum(script_run.end == "finished" for script_run in result.script_runs)
    if ended and len(result.script_runs) > 1:
        notes.append(f"the script was started {len(result.script_runs)} times, as it ended before the measurement")
    return tuple(dict.fromkeys((*notes, *result.view_notes)))


def _each_alone(result: SessionResult) -> str | None:
    """Describe ranks that train without each other: their launcher was asked for several, and no group was made."""
    for record in result.script_runs:
        started = record.ranks.world_size
        if started > 1 and record.facts is not None and record.facts.workload.get("world_size") == 1:
            return f"{started} ranks run, and none of them made a process group: each trains alone, on its own model"
    return None


def _in_words(window: wire.Window) -> str:
    """Describe a window by its purpose: its id is for the program."""
    if window.what_if is not None:
        return f'the what-if "{whatif.get(window.what_if).title}"'
    if window.config and window.kind == "measure":
        return f"a window with {Config.of(window.config)}"
    return _PURPOSES.get(window.kind, "a window of the unmodified script")


def _worded(note: wire.Note) -> str:
    match note.kind:
        case "network":
            return (
                f"the script opened a network connection ({note.text}): isolation cannot undo what it sends there "
                "(uploads, databases, paid APIs)"
            )
        case "bad_line":
            return f"a damaged message came from the script's process: {note.text}"
        case "agent_error":
            return f"an error in advisor, in the script's process: {note.text.strip().splitlines()[-1]}"
        case _:
            return note.text


def _environment(script_run: ScriptRunRecord) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if script_run.hello is not None:
        found["python"] = script_run.hello.python
        found["executable"] = script_run.hello.executable
    if script_run.ready is not None:
        found |= {"torch": script_run.ready.torch, **script_run.ready.packages}
    return found


def _script_run_summary(record: ScriptRunRecord) -> ScriptRunSummary:
    return ScriptRunSummary(
        number=record.number,
        started=record.started,
        start_up_s=record.goodbye.first_update_s if record.goodbye else record.first_update_at_s,
        updates=record.updates,
        end=record.end,
    )
