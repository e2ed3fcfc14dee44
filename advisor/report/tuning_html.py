"""A search as one offline page, or as a fragment for a notebook; everything of the script's is text to the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..types import TuneResult
from . import html, pictures, words
from .circumstances import hardware_line, overhead_line
from .tuning_changes import changes, notes
from .tuning_rows import (
    Line,
    OpenKnob,
    TrialRow,
    closed,
    failed,
    predicted,
    quality,
    space,
    trial_rows,
    two_answers,
)
from .tuning_verdict import TuneVerdict, verdict_of_tune
from .tuning_words import as_written, change, gain, is_number, peaks

_STDERR_CHARACTERS = 8000
_MOST_ROWS = 400
"""Of the table of trials; the best first where there are more, the rest counted."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What the template shows, in words."""

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
    """Whether energy was looked for, and has a column."""
    left_out: str
    closed: tuple[tuple[str, str], ...]
    facts: list[tuple[str, str]]


def tune_page(result: TuneResult) -> str:
    """The whole page: one file that asks nothing of the network."""
    return html.page("tuning.html.jinja", _view(result))


def tune_fragment(result: TuneResult) -> str:
    """The same without `<html>`, for a notebook; its styles touch nothing outside it."""
    return html.fragment("tuning.html.jinja", _view(result))


def _view(result: TuneResult) -> View:
    profile = result.profile
    drawn = [draw(result) for draw in pictures.TUNING]
    rows, left_out = trial_rows(result, _MOST_ROWS)
    stderr = "" if result.failure is None else words.plain(result.failure.stderr_tail).strip()
    told = quality(result)
    return View(
        title=words.one_line(profile.command.title),
        created=words.moment(profile.created),
        run_id=words.one_line(profile.run_id),
        command=words.one_line(profile.command.typed),
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
        interval = f"95% interval {words.interval(found.verdict.low, found.verdict.high)}"
        figures.append(html.figure("Speed", words.times(found.verdict.speedup), interval))
    figures.append(_throughput(result, written.outcome.samples_per_s))
    before, after = peaks(result, found.config)
    if found.config.settings and after is not None:
        detail = f"as written {words.size(before)} {change(before, after)}"
        figures.append(html.figure("Peak memory", words.size(after), detail))
    elif before is not None:
        figures.append(html.figure("Peak memory", words.size(before), "as written"))
    without = failed(result)
    detail = f"{without:,} without a result" if without else "all measured"
    return [*figures, html.figure("Trials", f"{len(result.trials):,}", detail)]


def _throughput(result: TuneResult, before: float | None) -> dict[str, str]:
    """Of the script as written, times the ratio: the search's own windows flatter the best of them."""
    found = result.recommendation
    if not found.config.settings or before is None or not is_number(before, found.verdict.speedup):
        return html.figure("Throughput", f"{words.number(before)} samples/s", "as written")
    after = before * found.verdict.speedup
    return html.figure("Throughput", f"{words.number(after)} samples/s", f"as written {words.number(before)}")


def _findings(result: TuneResult) -> list[dict[str, Any]]:
    return [
        {
            "rule": words.one_line(row.finding.rule),
            "evidence": words.one_line(row.finding.evidence),
            "advice": "" if row.got is not None else words.one_line(row.finding.advice),
            "ceiling": row.ceiling,
            "got": words.NOTHING if row.got is None else gain(row.got),
            "by": row.by,
        }
        for row in predicted(result)
    ]


def _facts(result: TuneResult) -> list[tuple[str, str]]:
    profile = result.profile
    facts = [("Looked for", f"{result.objective.name}, in {words.one_line(result.objective.unit)}")]
    facts += [("Wrote", words.one_line(name)) for name in result.files]
    facts.append(("Hardware", hardware_line(profile.hardware)))
    facts.append(
        ("Isolation", f"{words.one_line(profile.isolation.name)}: {words.one_line(profile.isolation.promise)}")
    )
    facts.append(("Overhead", overhead_line(profile)))
    versions = ", ".join(
        f"{words.one_line(name)} {words.one_line(value)}" for name, value in profile.environment.items()
    )
    facts.append(("Versions", f"advisor {words.one_line(profile.advisor)}, {versions}"))
    facts += [("Note", words.one_line(note)) for note in notes(result)]
    return facts
