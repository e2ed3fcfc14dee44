"""Profiles as somebody hostile would store them: right types, wrong everything else."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any

from advisor.types import Profile, Ratio, TuneResult

from . import sample

TEXT = (
    "</style></title><script>fetch('https://evil.example/x')</script><img src=//evil.example/y onerror=alert(1)>"
    "\x1b]0;hi\x07\x1b[31m\u202e\r\nnext\x00 {{ 7*7 }}"
)


def changed(value: Any, *, number: Callable[[float], Any] | None = None, text: str | None = None) -> Any:
    """`value` with every float replaced by `number` of it, and every free text by `text`."""

    def again(part: Any) -> Any:
        return changed(part, number=number, text=text)

    result = value
    if isinstance(value, float) and number:
        result = number(value)
    elif isinstance(value, str) and text is not None:
        result = text
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = typing.get_type_hints(type(value))
        names = [name for name, hint in hints.items() if "Literal" not in str(hint)]
        result = dataclasses.replace(value, **{name: again(getattr(value, name)) for name in names})
    elif isinstance(value, Mapping):
        result = {key: again(item) for key, item in value.items()}
    elif isinstance(value, tuple):
        result = tuple(again(item) for item in value)
    return result


def with_text(profile: Profile) -> Profile:
    result: Profile = changed(profile, text=TEXT)
    return result


def with_numbers(profile: Profile, number: Callable[[float], float]) -> Profile:
    result: Profile = changed(profile, number=number)
    return result


def tuned_with_text(result: TuneResult) -> TuneResult:
    """Keys too, which come from files as well."""
    changed_result: TuneResult = changed(result, text=TEXT)
    found = dataclasses.replace(
        changed_result.recommendation, by_knob=dict.fromkeys([TEXT], Ratio(speedup=2.0, low=1.9, high=2.1, rounds=3))
    )
    return dataclasses.replace(changed_result, recommendation=found, importances={TEXT: 0.5})


def tuned_with_numbers(result: TuneResult, number: Callable[[float], float]) -> TuneResult:
    """Counts as well as fractions: a stored file may hold any."""
    changed_result: TuneResult = changed(result, number=number)
    return changed_result


def everywhere() -> Profile:
    """A failed run with findings, windows and what-ifs: hostile text in every place that a face shows."""
    return with_text(dataclasses.replace(sample.input_bound(), failure=sample.crashed().failure))
