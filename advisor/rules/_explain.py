"""The page of `advisor explain RULE`, made from the rule itself."""

from __future__ import annotations

import textwrap

from ._base import Example, Rule

WIDTH = 88
"""Columns: fits a terminal of 90 with room for a prompt's frame."""


def explain(rule: Rule) -> str:
    """Describe the rule as plain text: its input, its thresholds with their reasons, its source, knobs and examples."""
    parts = [
        f"{rule.id}: {rule.title}",
        _section("Looks at", [rule.looks_at]),
        _section("Thresholds", [_threshold(t.name, t.value, t.reason) for t in rule.thresholds]),
        _section("Source", [rule.source]),
        _section(
            "Knobs that can help", [", ".join(rule.knobs) or "none: the remedy is a change to the script or machine"]
        ),
        _section("Examples", [_example(example) for example in rule.examples]),
    ]
    if rule.url is not None:
        parts.append(f"More: {rule.url}")
    return "\n\n".join(parts) + "\n"


def _section(heading: str, entries: list[str]) -> str:
    wrapped = (textwrap.fill(entry, WIDTH, initial_indent="  ", subsequent_indent="    ") for entry in entries)
    return "\n".join([heading, *wrapped])


def _threshold(name: str, value: object, reason: str) -> str:
    shown = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name} = {shown}: {reason}"


def _example(example: Example) -> str:
    outcome = {True: "fires", False: "stays silent", "abstains": "abstains"}[example.fires]
    return f"{outcome}: {example.name}"
