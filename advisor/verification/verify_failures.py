"""Reasons why settings could not be verified, with what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..errors import NothingMeasuredError, ScriptError
from ..types import Command, Config, SettingValue, TrialOutcome, Workload

_KINDS: Mapping[str, Literal["oom", "hang", "nan", "refused", "crash"]] = {
    "oom": "oom",
    "hang": "hang",
    "nan": "nan",
    "refused": "refused",
    "crash": "crash",
}
LONGEST_LINE = 200
"""Characters kept of the script's last line."""


def of(
    error: ScriptError | NothingMeasuredError,
    settings: Config,
    arguments: Mapping[str, SettingValue],
    *,
    command: Command,
    workload: Workload | None,
) -> TrialOutcome:
    """Return the outcome of a failed process with these settings of the agent and these options of the script."""
    message = _brief(str(error))
    if isinstance(error, NothingMeasuredError):
        return TrialOutcome(kind="crash", message=message)
    if error.kind == "refused":
        message += _by_its_own_option(settings, command, workload)
    elif arguments and error.kind == "exit":
        message += _what_it_said(error.stderr_tail)
    return TrialOutcome(kind=_KINDS.get(error.kind, "crash"), message=message)


def _brief(text: str) -> str:
    """Shorten a worker's whole traceback to what failed, and with what."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) < 2 else f"{lines[0]} {lines[-1]}"


def _what_it_said(stderr: str) -> str:
    """Return the script's last line as advice; a script that does not know an option says so there, and ends."""
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    said = f" ({last[:LONGEST_LINE]})" if last else ""
    return f"{said}; correct the entries below arguments: in the file, or remove them"


def _by_its_own_option(settings: Config, command: Command, workload: Workload | None) -> str:
    """Name the script's own option, given at its start, for a setting that nothing takes while the script runs."""
    from ..target.option_roles import ROLES, find_options

    options = find_options(workload, command, {}) if workload is not None else ()
    known = {option.role: option for option in options if option.why_closed is None}
    for name, value in settings.settings:
        if name in known:
            kind, place = ("option", "arguments") if known[name].place is None else ("constant", "constants")
            said = f"write {known[name].flag}: {value} below {place}: in the file"
            return f"; the script has {'an' if kind == 'option' else 'a'} {kind} for it: {said}"
    if any(name in ROLES for name, _value in settings.settings):
        return "; if the script has an option for it, write that below arguments: in the file, as in --my-option: 64"
    return ""
