"""A search as one offline page, or as a fragment for a notebook; all text of the script is text to the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...types import TuneResult
from .. import format, pictures
from ..profile import html
from ..profile.circumstances import hardware_line, overhead_line
from ..trial_format import as_written, change, gain, is_number, peaks
from ..trial_rows import Line, OpenKnob, TrialRow, closed, failed, predicted, quality, space, trial_rows, two_answers
from .changes import changes, notes
from .verdict import TuneVerdict, verdict_of_tune

_STDERR_CHARACTERS = 8000
_MOST_ROWS = 400
"""Most rows of the table of trials; the best come first if there are more, and the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Contents of the template, in words."""

    title: str
    created: str
    run_id: str
    command: str
    verdict: TuneVerdict
    stderr: str
    figures: list[dict[str, str]]
    answers: tuple[Line, ...]
    changes: list[tuple[str, str]]
    findings: list[dict[str, Any]]
    pictures: list[dict[str, Any]]
    missing: str
    space: tuple[OpenKnob, ...]
    trials: tuple[TrialRow, ...]
    energy: bool
    """True if energy was the objective, and has a column."""
    left_out: str
    closed: tuple[tuple[str, str], ...]
    facts: list[tuple[str, str]]


def tune_page(result: TuneResult) -> str:
    """Return the whole page: one file that needs no network."""
    return html.page("tuning.html.jinja", _view(result))


def tune_fragment(result: TuneResult) -> str:
    """Return the same without `<html>`, for a notebook; its styles touch nothing outside it."""
    return html.fragment("tuning.html.jinja", _view(result))


def _view(result: TuneResult) -> View:
    profile = result.profile
    drawn = [draw(result) for draw in pictures.TUNING]
    rows, left_out = trial_rows(result, _MOST_ROWS)
    stderr = "" if result.failure is None else format.plain(result.failure.stderr_tail).strip()
    told = quality(result)
    return View(
        title=format.one_line(profile.command.title),
        created=format.moment(profile.created),
        run_id=format.one_line(profile.run_id),
        command=format.one_line(profile.command.typed),
        verdict=verdict_of_tune(result),
        stderr=stderr[-_STDERR_CHARACTERS:],
        figures=_figures(result),
        answers=two_answers(result),
        changes=[(one.topic, one.text) for one in changes(result)] + ([("Quality", told)] if told else []),
        findings=_findings(result),
        pictures=html.shown(drawn),
        missing=html.not_drawn(drawn),
        space=space(result),
        trials=rows if len(result.trials) > 1 else (),
        energy=result.objective.name == "energy",
        left_out=left_out,
        closed=closed(result, None)[0],
        facts=_facts(result),
    )


def _figures(result: TuneResult) -> list[dict[str, str]]:
    found, written = result.recommendation, as_written(result)
    if written is None:
        return []
    figures = []
    if found.config.settings:
        interval = f"95% interval {format.interval(found.verdict.low, found.verdict.high)}"
        figures.append(html.figure("Speed", format.times(found.verdict.speedup), interval))
    figures.append(_throughput(result, written.outcome.samples_per_s))
    before, after = peaks(result, found.config)
    if found.config.settings and after is not None:
        detail = f"baseline {format.size(before)} {change(before, after)}"
        figures.append(html.figure("Peak memory", format.size(after), detail))
    elif before is not None:
        figures.append(html.figure("Peak memory", format.size(before), "baseline"))
    without = failed(result)
    detail = f"{without:,} without a result" if without else "all measured"
    return [*figures, html.figure("Trials", f"{len(result.trials):,}", detail)]


def _throughput(result: TuneResult, before: float | None) -> dict[str, str]:
    """Return the baseline's throughput times the ratio, as the search's own windows flatter the best of them."""
    found = result.recommendation
    if not found.config.settings or before is None or not is_number(before, found.verdict.speedup):
        return html.figure("Throughput", f"{format.number(before)} samples/s", "baseline")
    after = before * found.verdict.speedup
    return html.figure("Throughput", f"{format.number(after)} samples/s", f"baseline {format.number(before)}")


def _findings(result: TuneResult) -> list[dict[str, Any]]:
    return [
        {
            "rule": format.one_line(row.finding.rule),
            "evidence": format.one_line(row.finding.evidence),
            "advice": "" if row.got is not None else format.one_line(row.finding.advice),
            "ceiling": row.ceiling,
            "got": format.NOTHING if row.got is None else gain(row.got),
            "by": row.by,
        }
        for row in predicted(result)
    ]


def _facts(result: TuneResult) -> list[tuple[str, str]]:
    profile = result.profile
    facts = [("Objective", f"{result.objective.name}, in {format.one_line(result.objective.unit)}")]
    facts += [("Wrote", format.one_line(name)) for name in result.files]
    facts.append(("Hardware", hardware_line(profile.hardware)))
    facts.append(
        ("Isolation", f"{format.one_line(profile.isolation.name)}: {format.one_line(profile.isolation.promise)}")
    )
    facts.append(("Overhead", overhead_line(profile)))
    versions = ", ".join(
        f"{format.one_line(name)} {format.one_line(value)}" for name, value in profile.environment.items()
    )
    facts.append(("Versions", f"advisor {format.one_line(profile.advisor)}, {versions}"))
    facts += [("Note", format.one_line(note)) for note in notes(result)]
    return facts
