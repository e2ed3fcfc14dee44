"""A range test of the learning rate as one offline page, or as a fragment for a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...plural import plural
from ...types import RangeTest
from .. import format, pictures
from ..profile import html
from ..range_test import basis, bracket_rows, failed_line, headline, next_command, tone


def range_test_page(found: RangeTest) -> str:
    """Return the whole page: one file that needs no network."""
    return html.page("range_test.html.jinja", _view(found))


def range_test_fragment(found: RangeTest) -> str:
    """Return the same without `<html>`, for a notebook."""
    return html.fragment("range_test.html.jinja", _view(found))


def _view(found: RangeTest) -> dict[str, Any]:
    """Return the contents of the template, in words."""
    return {
        "run_id": format.one_line(Path(found.run_folder).name),
        **html.shared(found.command, found.failure, [pictures.rate_curve.draw(found)]),
        "headline": headline(found),
        "failed": failed_line(found),
        "tone": tone(found),
        "figures": _figures(found),
        "next": next_command(found),
        "bracket": bracket_rows(found),
        "facts": [("Basis", basis(found)), *(("Note", format.one_line(note)) for note in found.notes)],
    }


def _figures(found: RangeTest) -> list[dict[str, str]]:
    figures = []
    if found.suggestion is not None:
        interval = f"interval {found.suggestion.low:.2g} to {found.suggestion.high:.2g}"
        figures.append(html.figure("Suggested rate", f"{found.suggestion.rate:.2g}", interval))
    if found.script_rate is not None:
        figures.append(html.figure("The script's rate", f"{found.script_rate:.2g}", found.optimizer or ""))
    if found.updates:
        figures.append(html.figure("Updates", f"{found.updates:,}", plural(len(found.sweeps), "sweep")))
    return figures
