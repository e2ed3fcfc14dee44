"""Spelling of parameters in messages: `price=2.0` in Python, `--price 2` on the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

Spell = Callable[[str, object], str]
"""Returns a parameter and its value as text; the value None stands for none."""


def _as_argument(name: str, value: object) -> str:
    return f"{name}=" if value is None else f"{name}={value!r}"


_spell: ContextVar[Spell] = ContextVar("spell", default=_as_argument)


def parameter(name: str, value: object = None) -> str:
    """Return a parameter of the Python API, and its value if one is given, as the user at hand writes it."""
    return _spell.get()(name, value)


@contextlib.contextmanager
def spelled(spell: Spell) -> Iterator[None]:
    """Spell parameters in another way: messages are made where the error is found, and know nothing of the caller."""
    before = _spell.set(spell)
    try:
        yield
    finally:
        _spell.reset(before)


def option_words(given: Sequence[tuple[str, object]]) -> tuple[str, ...]:
    """Return the words of a command line that give these options; one whose value is None is not given, and True stands
    for a flag."""
    words: list[str] = []
    for name, value in given:
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if value is not True:
            words.append(f"{value:g}" if isinstance(value, float) else str(value))
    return tuple(words)
