"""Verification of settings against the baseline, in fresh processes: the verdict first, then its basis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ...plural import plural
from ...spelling import parameter
from ...types import TrialOutcome, Verdict, VerifyResult
from ...types.comparison import FLOOR_PROCESSES
from .. import format
from ..profile.circumstances import hardware_line
from ..profile.failures import what_failed
from ..search.json import recommendation_json
from ..search.verdict import sentence_of
from ..terminal import TONES, print_safely, table
from ..trial_format import change, setting

NEARLY_EQUAL = 1.2
"""Upper over lower end of an interval: a wider one says nothing of how near the two are."""
_QUALITY = {
    "passed": "Training is equivalent",
    "failed": "Training has changed",
    "not checked": "Whether training is equivalent is unknown",
}


def render_verify(result: VerifyResult, console: Console) -> None:
    """Print the verdict, without any character that the terminal's encoding lacks."""
    print_safely(list(_parts(result)), console)


def verify_json(result: VerifyResult) -> dict[str, Any]:
    """Return the output of `advisor verify --json`: the contract of `tune --json`, without trials."""
    return recommendation_json(
        result.recommendation,
        sentences=[text.plain for text in _sentences(result)],
        baseline=result.baseline,
        files=result.files,
        failure=result.failure,
    )


def _sentences(result: VerifyResult) -> Iterator[Text]:
    """Yield the verdict and what it stands on."""
    found = result.recommendation
    verdict = found.verdict
    own = (*result.arguments.items(), *result.constants.items())
    settings = ", ".join(setting(name, value) for name, value in (*found.config.settings, *own))
    if result.failure is not None:
        yield Text(f"Your script {what_failed(result.failure)}.", style=TONES["failed"])
    if verdict.rounds == 0:
        yield Text(f"Not verified: {format.one_line(verdict.quality_evidence)}.", style=TONES["warning"])
    else:
        sentence, tone = sentence_of(verdict, settings)
        yield Text(sentence, style=TONES[tone])
        if verdict.status == "undecided":
            yield Text(_what_would_decide(verdict))
        style = TONES["critical"] if verdict.quality == "failed" else ""
        yield Text(f"{_QUALITY[verdict.quality]}: {format.one_line(verdict.quality_evidence)}.", style=style)


def _parts(result: VerifyResult) -> Iterator[RenderableType]:
    yield from _sentences(result)
    verdict = result.recommendation.verdict
    if verdict.rounds:
        yield Text()
        yield _table(result.baseline, result.outcome, decided=verdict.status != "undecided")
    yield Text()
    yield Text(hardware_line(result.recommendation.hardware), style="dim")
    for note in result.notes:
        yield Text(format.one_line(note), style="dim")
    for name in result.files:
        yield Text(f"Wrote the verdict to {format.one_line(name)}.")


def _what_would_decide(verdict: Verdict) -> str:
    rounds = verdict.rounds_to_decide
    if verdict.rounds < FLOOR_PROCESSES:
        least = parameter("rounds", FLOOR_PROCESSES)
        return f"Fewer than {FLOOR_PROCESSES} rounds decide only clear cases: use {least} or more, and a larger budget."
    if rounds is None and verdict.high < NEARLY_EQUAL * verdict.low:
        return "No practical number of rounds would decide it: the two are practically equal."
    if rounds is None:
        return "The processes differ too much for any number of rounds: repeat it on an otherwise idle machine."
    return f"About {plural(rounds, 'round')} would decide it: {parameter('rounds', rounds)} and a larger budget."


def _table(baseline: TrialOutcome | None, candidate: TrialOutcome | None, *, decided: bool) -> Table:
    """Return the table; if nothing is decided, the difference in speed is no estimate and is left out."""
    rows = table("", "samples/s", "peak memory", style="bold")
    for column in rows.columns[1:]:
        column.justify = "right"
    for name, outcome in (("baseline", baseline), ("settings", candidate)):
        if outcome is not None:
            rows.add_row(name, format.number(outcome.samples_per_s), format.size(outcome.peak_bytes))
    if baseline is not None and candidate is not None:
        rows.add_row(
            "",
            change(baseline.samples_per_s, candidate.samples_per_s) if decided else "",
            change(baseline.peak_bytes, candidate.peak_bytes),
        )
    return rows
