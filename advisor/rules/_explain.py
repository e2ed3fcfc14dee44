"""The page of `advisor explain RULE`, made from the rule itself."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from .. import severity
from . import _base, _evaluation, _input, _learning, _read
from ._base import BrokenRuleError, Example, Rule

WIDTH = 88
"""Columns: fits a terminal of 90 with room for a prompt's frame."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A number that a rule compares with, and its reason."""

    name: str
    """The constant's name."""
    value: float | int | tuple[str, ...]
    reason: str


def thresholds(rule: Rule) -> list[Threshold]:
    """Return the rule's thresholds; raise BrokenRuleError for one that is no constant with a docstring."""
    module = importlib.import_module(f"{__package__}.{rule.id}")
    homes = (_read, _input, _evaluation, _learning, severity, _base, module)
    known = {found.name: found for home in homes for found in _constants(home)}
    for name in rule.thresholds:
        if name not in known:
            raise BrokenRuleError(f"{module.__file__}: the threshold {name} is no constant with a docstring; write one")
    return [known[name] for name in rule.thresholds]


def _constants(module: ModuleType) -> Iterator[Threshold]:
    """Yield the constants that the module documents."""
    for assigned, text in itertools.pairwise(ast.parse(inspect.getsource(module)).body):
        match assigned, text:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(reason))):
                yield Threshold(name=name, value=getattr(module, name), reason=" ".join(reason.split()))


def explain(rule: Rule) -> str:
    """Describe the rule as plain text: its input, its thresholds with their reasons, its source, knobs and examples."""
    parts = [
        f"{rule.id}: {rule.title}",
        _section("Looks at", [rule.looks_at]),
        _section("Thresholds", [_threshold(t.name, t.value, t.reason) for t in thresholds(rule)]),
        _section("Source", [rule.source]),
        _section(
            "Knobs that can help",
            [", ".join(rule.helpful_knobs) or "none: the remedy is a change to the script or machine"],
        ),
        _section("Examples", [_example(example) for example in rule.all_examples]),
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
