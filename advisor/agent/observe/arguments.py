"""Options of the script as defined with `argparse`: names, types, defaults, and their values in this run.

The parser is read after its work; the script's result is untouched. The same method covers libraries whose parsers are
subclasses (transformers' `HfArgumentParser`). Only numbers, switches and choices are reported: text may be a key or a
path.
"""

from __future__ import annotations

import itertools
import sys
from types import ModuleType
from typing import Any, Callable

from ..base import imports
from ..base.pass_through import stands_for
from ..base.patches import Patches

MOST_ARGUMENTS = 300
"""Maximum options; a command line with more is generated, not written."""
LONGEST_FLAG = 80
MOST_CHOICES = 32


class ArgumentWatch:
    """Watch on `argparse`, one per process; it is empty until the script parses its command line."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], dict[str, Any]] = {}
        self._depth = 0
        self._patches = Patches()

    def install(self) -> None:
        """Patch `argparse` on import; call this before the script's first line."""
        imports.when_imported("argparse", self._patch)

    def remove(self) -> None:
        self._patches.restore()

    def describe(self) -> list[dict[str, Any]]:
        """Return the fields of `types.Argument`, one entry per option, in the order of definition."""
        return list(self._found.values())

    def _patch(self, argparse: ModuleType) -> None:
        parser = getattr(argparse, "ArgumentParser", None)  # a file of the user's may be called argparse
        if parser is not None and hasattr(parser, "parse_known_args"):
            self._patches.replace(parser, "parse_known_args", self._watched)

    def _watched(self, original: Callable[..., Any]) -> Callable[..., object]:
        watch = self

        @stands_for(original)
        def parse_known_args(parser: object, *args: Any, **kwargs: Any) -> object:
            watch._depth += 1
            try:
                result = original(parser, *args, **kwargs)
            finally:
                watch._depth -= 1
            try:
                given = args[0] if args else kwargs.get("args")
                # A parser within a parser belongs to a subcommand and gets the rest of the line.
                if watch._depth or given is None or list(given) == sys.argv[1:]:
                    watch._note(parser, result[0])
            except Exception:  # a user's own parser may do anything
                return result
            return result

        return parse_known_args

    def _note(self, parser: Any, values: object) -> None:
        greedy = any(action.nargs in ("A...", "...") for action in parser._actions)
        for action in parser._actions:
            flags = tuple(str(flag) for flag in action.option_strings)
            if not flags or max(map(len, flags)) > LONGEST_FLAG or not hasattr(values, action.dest):
                continue
            value = getattr(values, action.dest)
            kind = _kind(action, value)
            if kind is None or (len(self._found) >= MOST_ARGUMENTS and flags not in self._found):
                continue
            choices = _choices(action)
            self._found[flags] = {
                "flags": list(flags),
                "name": str(action.dest),
                "kind": kind,
                "default": _plain(action.default, kind, choices),
                "value": _plain(value, kind, choices),
                "typed": any(_typed(flag) for flag in flags),
                "choices": choices if kind == "choice" else [],
                "only_ahead": greedy,
            }


def _kind(action: Any, value: object) -> str | None:
    """Return the option's kind: int, float, bool or choice; None for anything else, such as lists."""
    if action.nargs == 0 or (isinstance(value, bool) and action.nargs in (None, "?")):
        return "bool" if isinstance(value, bool) else None
    if action.nargs not in (None, "?"):
        return None
    for number in (int, float):
        if action.type is number or (action.type is not None and type(value) is number):
            return number.__name__
    if _choices(action) and (value is None or str(value) in _choices(action)):
        return "choice"
    return None


def _choices(action: Any) -> list[str]:
    if action.choices is None:
        return []
    return [str(choice)[:LONGEST_FLAG] for choice in itertools.islice(action.choices, MOST_CHOICES)]


def _plain(value: object, kind: str, choices: list[str]) -> object:
    if kind == "choice":
        return str(value) if str(value) in choices else None
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and kind in ("int", "float"):  # argparse also takes a default as text
        try:
            return int(value) if kind == "int" else float(value)
        except ValueError:
            return None
    return None


def _typed(flag: str) -> bool:
    return any(word == flag or word.startswith(flag + "=") for word in sys.argv[1:])
