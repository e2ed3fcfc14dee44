"""A search in the terminal: the verdict first, its changes for the user, then its basis."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ...plural import plural
from ...types import TuneResult
from .. import format
from ..profile.circumstances import hardware_line
from ..profile.headline import page_command
from ..terminal import TONES, grid, print_safely, stderr_lines, table
from ..trial_format import gain
from ..trial_rows import (
    basis,
    best_so_far,
    closed,
    failed,
    front,
    gains,
    importances,
    limits,
    predicted,
    quality,
    space,
    trial_rows,
    two_answers,
)
from .changes import changes, notes
from .verdict import TuneVerdict, verdict_of_tune

MOST_SKIPPED = 8
MOST_STEPS = 6
"""Most steps of the best so far, and of the front of speed against memory: as many as fit on two lines."""


def render_tune(result: TuneResult, console: Console) -> None:
    """Print the search, without any character that the terminal's encoding lacks."""
    print_safely(list(_parts(result)), console)


def render_tune_verdict(result: TuneResult, console: Console) -> None:
    """Print the verdict and the next commands alone, for a reader who has the rest as a page."""
    verdict = verdict_of_tune(result)
    print_safely([*_verdict(result, verdict), Text(), _next(result, verdict)], console)


def _verdict(result: TuneResult, verdict: TuneVerdict) -> Iterator[RenderableType]:
    if result.failure is not None and result.failure.stderr_tail.strip():
        yield from stderr_lines(result.failure)
    yield Text(verdict.sentence, style=TONES[verdict.tone])
    if verdict.evidence:
        yield Text(verdict.evidence)


def _parts(result: TuneResult) -> Iterator[RenderableType]:
    verdict = verdict_of_tune(result)
    yield from _verdict(result, verdict)
    for part in (
        _answers(result),
        _changes(result),
        _limits(result),
        _gains(result),
        _predicted(result),
        _space(result),
        _trials(result),
    ):
        if part is not None:
            yield Text()
            yield part
    yield Text()
    yield _circumstances(result)
    yield Text()
    yield _next(result, verdict)


def _answers(result: TuneResult) -> RenderableType | None:
    lines = two_answers(result)
    if not lines:
        return None
    rows = grid("dim", "fold", "right", "fold")
    for line in lines:
        rows.add_row(line.what, Text(line.settings, style="bold"), line.speed, line.note)
    return rows


def _changes(result: TuneResult) -> RenderableType | None:
    found = changes(result)
    if not found:
        return None
    rows = grid("", "fold")
    for change in found:
        rows.add_row(change.topic, change.text)
    quality_text = quality(result)
    style = "bold red" if result.recommendation.verdict.quality == "failed" else ""
    rows.add_row("Quality", Text(quality_text, style=style))
    return _under("What changes for you", rows)


def _limits(result: TuneResult) -> RenderableType | None:
    found = limits(result)
    if not found:
        return None
    rows = grid("right", "fold", "fold")
    for row in found:
        rows.add_row(row.speed, Text(row.settings), Text(row.limit, style="dim"))
    return _under("What limits it, after each step forward", rows)


def _gains(result: TuneResult) -> RenderableType | None:
    found = gains(result)
    weights = importances(result)
    if not found and not weights:
        return None
    rows = grid("", "right", "fold")
    for one in found:
        shown = gain(one.ratio).partition(" ")[2]
        rows.add_row(one.setting, format.times(one.ratio.speedup), f"{shown} {one.doubt}".strip())
    parts: list[RenderableType] = [_under("Gain of each setting (all of them compared with all but this one)", rows)]
    if not found:
        parts = []
    if weights:
        shares = ", ".join(f"{name} {format.percent(share)}" for name, share in weights[:MOST_SKIPPED])
        parts.append(Text(f"Variation between the trials explained by each knob: {shares}", style="dim"))
    return Group(*parts)


def _predicted(result: TuneResult) -> RenderableType | None:
    rows = predicted(result)
    if not rows:
        return None
    parts: list[RenderableType] = []
    for row in rows:
        finding = row.finding
        got = f"got {gain(row.got)} with {row.by}" if row.got is not None else row.by
        parts.append(
            Text.assemble(
                (format.one_line(finding.rule), "bold"),
                f"  predicted {row.ceiling}, ",
                (got, "bold" if row.got else ""),
            )
        )
        text = format.one_line(finding.evidence)
        if finding.where:
            places = ", ".join(format.place_text(place, result.profile.command.cwd) for place in finding.where)
            text += f" At {places}."
        if row.got is None:
            text += f" → {format.one_line(finding.advice)}"
        parts.append(Padding(Text(text, style="dim"), (0, 0, 0, 2)))
    return _under("Findings: predicted ceiling and achieved gain", Group(*parts))


def _space(result: TuneResult) -> RenderableType | None:
    """Return the knobs that could be tried; once some were, the trials show them."""
    knobs = space(result)
    if not knobs or len(result.trials) > 1:
        return None
    shown = table("knob", "values", "changes", "set", "reason")
    for knob in knobs:
        shown.add_row(knob.name, knob.values, knob.changes, knob.when, knob.opened_by)
    return _under("Knobs to try", shown)


def _trials(result: TuneResult) -> RenderableType | None:
    if len(result.trials) <= 1:
        return None
    rows, left = trial_rows(result)
    heads = {"memory": "peak", "energy": "per sample"}
    objective_head = [heads[result.objective.name]] if result.objective.name in heads else []
    trials = table("", "speed", "interval", *objective_head, "changes", "tried")
    for place, column in enumerate(trials.columns[:-1]):
        column.no_wrap = True
        column.justify = "left" if place == 2 else "right"
    trials.columns[-2].justify = "left"
    for row in rows:
        cells = [row.number, row.speed, row.interval, *([row.objective] if objective_head else []), row.changes]
        # Settings and reason share the last column: side by side, their long names do not fit a narrow terminal.
        tried = Text(row.settings)
        if row.result != row.settings:
            tried.append(f"\n{row.result}", style="dim")
        trials.add_row(*cells, tried, style="" if row.measured else "dim")
    shown: list[RenderableType] = [trials]
    if left:
        shown.append(Text(f"{left}; the HTML page and JSON output list all", style="dim"))
    shown += [Text(line, style="dim") for line in (_history(result), _front(result)) if line]
    title = Text.assemble((f"{_tried(result)}. ", "bold"), (basis(result), "dim"))
    return Group(title, Padding(Group(*shown), (0, 0, 0, 2)))


def _history(result: TuneResult) -> str:
    """Describe the best so far: 1.00× at trial 0, 2.0× at trial 1."""
    steps = best_so_far(result.trials)
    text = [f"{format.times(step.ratio.speedup)} at trial {step.number}" for step in steps if step.ratio is not None]
    return f"Best so far: {', '.join(text[-MOST_STEPS:])}" if len(text) > 1 else ""


def _front(result: TuneResult) -> str:
    """Describe speed against memory: 1.12× in 1.08 GiB (trial 2), 2.4× in 1.12 GiB (trial 5)."""
    best = front(result.trials)
    text = [
        f"{format.times(one.ratio.speedup)} in {format.size(one.outcome.peak_bytes)} (trial {one.number})"
        for one in best
        if one.ratio is not None
    ]
    more = f", and {len(text) - MOST_STEPS:,} more" if len(text) > MOST_STEPS else ""
    return f"Pareto front of speed and memory: {', '.join(text[:MOST_STEPS])}{more}" if text else ""


def _tried(result: TuneResult) -> str:
    counted, without = plural(len(result.trials), "trial"), failed(result)
    return f"{counted}, {without:,} without a result" if without else counted


def _circumstances(result: TuneResult) -> RenderableType:
    rows = grid("dim", "fold")
    shown, left = closed(result, MOST_SKIPPED)
    for what, why in shown:
        rows.add_row("not used", Text(f"{what}: {why}", style="dim"))
    if left:
        more = f"{plural(left, 'more reason')}: the HTML page and JSON output list all"
        rows.add_row("", Text(more, style="dim"))
    rows.add_row("hardware", Text(hardware_line(result.profile.hardware)))
    for note in notes(result):
        rows.add_row("note", Text(format.one_line(note), style="yellow"))
    for name in result.files:
        empty = "" if result.recommendation.config.settings else "  without settings, as none is recommended"
        rows.add_row("wrote", Text.assemble(format.one_line(name), (empty, "dim")))
    return rows


def _next(result: TuneResult, verdict: TuneVerdict) -> RenderableType:
    rows = grid("dim", "fold")
    for place, one in enumerate(verdict.next):
        text = Text.assemble((one.command, "bold"), (f"  {one.why}", "dim"))
        rows.add_row("next" if not place else "or", text)
    rows.add_row("page", Text(page_command(result.profile)))
    return rows


def _under(title: str, content: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), Padding(content, (0, 0, 0, 2)))
