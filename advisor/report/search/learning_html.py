"""A search by losses as one offline page, or as a fragment for a notebook."""

from __future__ import annotations

from typing import Any

from ...types import LearningResult
from .. import format, pictures
from ..profile import html
from ..profile.circumstances import hardware_line
from .learning import facts, judged, next_command, pair_rows, sentence_of_learning, trial_rows


def learning_page(result: LearningResult) -> str:
    """Return the whole page: one file that needs no network."""
    return html.page("learning.html.jinja", _view(result))


def learning_fragment(result: LearningResult) -> str:
    """Return the same without `<html>`, for a notebook."""
    return html.fragment("learning.html.jinja", _view(result))


def _view(result: LearningResult) -> dict[str, Any]:
    """Return the contents of the template, in words."""
    return {
        **html.common(result.profile, result.failure, _drawn(result)),
        "verdict": sentence_of_learning(result),
        "next": next_command(result),
        "figures": _figures(result),
        "judged": judged(result),
        "pairs": pair_rows(result.verdict.pairs),
        "trials": trial_rows(result),
        "closed": [(format.one_line(one.what), format.one_line(one.why)) for one in result.skipped],
        "facts": [*facts(result), ("Hardware", hardware_line(result.profile.hardware)), *html.origin(result.profile)],
    }


def _drawn(result: LearningResult) -> list[pictures.Drawn]:
    tested = [pictures.rate_curve.draw(result.range_test)] if result.range_test is not None else []
    return [*(draw(result) for draw in pictures.LEARNING), *tested]


def _figures(result: LearningResult) -> list[dict[str, str]]:
    verdict, found = result.verdict, []
    if verdict.status == "faster":
        interval = f"95% interval {format.interval(verdict.low, verdict.high)}"
        found.append(html.figure("To the target", f"{format.times(verdict.speedup)} as soon", interval))
    if verdict.change is not None:
        spread = format.NOTHING if verdict.seeds_differ is None else f"{verdict.seeds_differ:.3g}"
        found.append(html.figure(judged(result).capitalize(), f"{verdict.change:+.3g}", f"seeds differ by {spread}"))
    if result.target is not None:
        found.append(html.figure("Target", f"{result.target:.4g}", result.loss))
    return [*found, html.figure("Trainings", f"{len(result.trials):,}", f"{len(verdict.pairs)} pairs to verify")]
