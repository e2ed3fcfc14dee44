"""Space of a search, before anything is tried: `advisor tune --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ...plural import plural
from ...types import TuneResult
from .. import format
from ..json_contract import json_safe
from ..profile.json import profile_json
from ..terminal import print_safely, table

VERSION = 1
"""Version of the document that `tune --dry-run --json` prints."""
OTHERS = (
    "may open: a search profiles again, where a small cost may be found that was not found here; and once a setting "
    "makes the script faster, what limits it then opens knobs"
)
"""What holds for all knobs of a search whose user has not named them."""
SCOPES = {"live": "between two updates", "launch": "a new process"}


def render_space(result: TuneResult, console: Console) -> None:
    """Print the open knobs, with values, effects on training and reasons, and why each other one is closed."""
    print_safely(list(_parts(result)), console)


def space_json(result: TuneResult) -> dict[str, Any]:
    """Return the same as JSON: stable and versioned."""
    profile = profile_json(result.profile)
    document: dict[str, Any] = {
        "version": VERSION,
        "command": profile["command"],
        "hardware": profile["hardware"],
        "objective": {"name": result.objective.name, "unit": result.objective.unit},
        "findings": profile["findings"],
        "open": result.space,
        "closed": result.recommendation.skipped,
        "options": result.options,
        "failure": result.failure,
    }
    safe: dict[str, Any] = json_safe(document)
    return safe


def _parts(result: TuneResult) -> Iterator[RenderableType]:
    if result.failure is not None:
        yield Text(format.one_line(result.failure.message), style="bold red")
        return
    count = 1
    for knob in result.space:
        count *= len(knob.values) + 1
    if result.space:
        yield Text(f"Open: {plural(len(result.space), 'knob')}, {count:,} configurations", style="bold")
        yield _open(result)
    else:
        yield Text("No knob is open: a search would try nothing.", style="bold")
    yield from _may_change(result)
    if result.options:
        yield Text()
        yield Text("Options and constants of the script", style="bold")
        for line in result.options:
            yield Text(f"  {format.one_line(line)}")
    closed = result.recommendation.skipped
    if closed:
        yield Text()
        yield Text("Closed", style="bold")
        rows = Table.grid(padding=(0, 2, 0, 0))
        for one in closed:
            rows.add_row(f"  {format.one_line(one.what)}", Text(format.one_line(one.why), style="dim"))
        yield rows


def _may_change(result: TuneResult) -> Iterator[RenderableType]:
    """Say what the space of a search may differ in, which profiles the script anew."""
    if result.only is not None:
        return
    yield Text()
    yield Text("May change", style="bold")
    rows = Table.grid(padding=(0, 2, 0, 0))
    for knob in result.space:
        if knob.may_close:
            rows.add_row(f"  {knob.id}", Text(format.one_line(f"may close: {knob.may_close}"), style="dim"))
    rows.add_row("  others", Text(OTHERS, style="dim"))
    yield rows


def _open(result: TuneResult) -> Table:
    shown = table("knob", "values", "effect", "switched", "why", style="bold")
    for knob in result.space:
        values = ", ".join(format.one_line(str(value)) for value in knob.values)
        scope = SCOPES.get(knob.scope, knob.scope)
        shown.add_row(knob.id, values, knob.effect, scope, Text(format.one_line(knob.opened_by), style="dim"))
    return shown
