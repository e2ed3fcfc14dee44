"""Results that print themselves: `print(result)` shows the report, as the command does."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from ..types import LearningResult, Plan, Profile, RangeTest, TuneResult, VerifyResult, VersionComparison

if TYPE_CHECKING:
    from rich.console import Console

Result = TypeVar("Result")
WIDTH = 100
"""Columns of a text for an unknown destination."""


class Shown:
    """A result whose text is its report; its one-line repr comes from the value classes."""

    def __str__(self) -> str:
        return text_of(self)


class ShownVerification(Shown, VerifyResult):
    """Verification of settings against the baseline."""


class ShownComparison(Shown, VersionComparison):
    """Comparison of two versions of a script."""


class ShownRangeTest(Shown, RangeTest):
    """Range test of the learning rate."""

    def _repr_html_(self) -> str:
        from ..report.search.range_test_html import range_test_fragment

        return range_test_fragment(self)


class ShownPlan(Shown, Plan):
    """Plan for devices that are not here."""

    __repr__ = Plan.__repr__


def shown_as(kind: type[Result], found: Any) -> Result:
    """Return the value as this subclass of its type, which shows itself."""
    return kind(**{field.name: getattr(found, field.name) for field in fields(found)})


def text_of(found: Any) -> str:
    """Return the report as plain text; a failure is shown first."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=WIDTH, force_terminal=False, color_system=None, _environ={})
    _renderer(found)(found, console)
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines())
    failed = getattr(found, "failure", None) is not None
    return f"{found!r}\n\n{text}" if failed else text


def _renderer(found: Any) -> Callable[[Any, Console], None]:
    from ..report.comparison.verification import render_verify
    from ..report.comparison.versions import render_versions
    from ..report.plan import render_plan
    from ..report.profile.terminal import render_profile
    from ..report.range_test import render_range_test
    from ..report.search.learning import render_learning
    from ..report.search.terminal import render_tune

    renderers: dict[type, Callable[[Any, Console], None]] = {
        Profile: render_profile,
        Plan: render_plan,
        RangeTest: render_range_test,
        TuneResult: render_tune,
        LearningResult: render_learning,
        VerifyResult: render_verify,
        VersionComparison: render_versions,
    }
    for kind, render in renderers.items():
        if isinstance(found, kind):
            return render
    raise TypeError(f"{type(found).__name__} has no report")
