"""A search as one offline page, or as a fragment for a notebook; all text of the script is text to the template."""

from __future__ import annotations

from typing import Any

from ...types import TuneResult
from .. import format, pictures
from ..profile import html
from ..profile.circumstances import hardware_line
from ..trial_format import baseline_trial, change, gain, is_number, peaks
from ..trial_rows import basis, closed, failed, limits, predicted, quality, space, trial_rows, two_answers
from .changes import changes, notes
from .verdict import verdict_of_tune

_MOST_ROWS = 400
"""Most rows of the table of trials; the best come first if there are more, and the rest is counted."""


def tune_page(result: TuneResult) -> str:
    """Return the whole page: one file that needs no network."""
    return html.page("tuning.html.jinja", _view(result))


def tune_fragment(result: TuneResult) -> str:
    """Return the same without `<html>`, for a notebook; its styles touch nothing outside it."""
    return html.fragment("tuning.html.jinja", _view(result))


def _view(result: TuneResult) -> dict[str, Any]:
    """Return the contents of the template, in words."""
    rows, omitted = trial_rows(result, _MOST_ROWS)
    quality_text = quality(result)
    return {
        **html.common(result.profile, result.failure, [draw(result) for draw in pictures.TUNING]),
        "verdict": verdict_of_tune(result),
        "figures": _figures(result),
        "answers": two_answers(result),
        "changes": [(one.topic, one.text) for one in changes(result)]
        + ([("Quality", quality_text)] if quality_text else []),
        "limits": limits(result),
        "findings": _findings(result),
        "space": space(result),
        "trials": rows if len(result.trials) > 1 else (),
        "basis": basis(result),
        "energy": result.objective.name == "energy",
        "omitted": omitted,
        "closed": closed(result, None)[0],
        "facts": _facts(result),
    }


def _figures(result: TuneResult) -> list[dict[str, str]]:
    found, baseline = result.recommendation, baseline_trial(result)
    if baseline is None:
        return []
    figures = []
    if found.config.settings:
        interval = f"95% interval {format.interval(found.verdict.low, found.verdict.high)}"
        figures.append(html.figure("Speed", format.times(found.verdict.speedup), interval))
    figures.append(_throughput(result, baseline.outcome.samples_per_s))
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
            "places": [format.place_text(place, result.profile.command.cwd) for place in row.finding.where],
            "advice": "" if row.got is not None else format.one_line(row.finding.advice),
            "ceiling": row.ceiling,
            "got": format.NOTHING if row.got is None else gain(row.got),
            "by": row.by,
        }
        for row in predicted(result)
    ]


def _facts(result: TuneResult) -> list[tuple[str, str]]:
    facts = [("Objective", f"{result.objective.name}, in {format.one_line(result.objective.unit)}")]
    facts += [("Wrote", format.one_line(name)) for name in result.files]
    facts.append(("Hardware", hardware_line(result.profile.hardware)))
    return [*facts, *html.origin(result.profile), *(("Note", format.one_line(note)) for note in notes(result))]
