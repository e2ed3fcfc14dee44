"""Marks for our wrappers that pass on a call of the script: whatever runs inside one is the script's work, not ours.

Any other function of ours, and everything that it calls, counts as our work. `Frames` reads the marks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any, Callable, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_to_any: set[CodeType] = set()
_to_c: set[CodeType] = set()


def passes_on(function: Function) -> Function:
    """Mark a wrapper, or a step inside one, whose own time is overhead: the script's call has a frame below it."""
    _to_any.update(_parts(function.__code__))
    return function


def passes_on_to_c(function: Function) -> Function:
    """Mark a wrapper around a function that may be written in C: the script's call then has no frame below it."""
    _to_c.update(_parts(function.__code__))
    return passes_on(function)


def stands_for(original: Any, *, in_c: bool = False) -> Callable[[Function], Function]:
    """Return the decorator of a wrapper with the name and the documentation of `original`, marked as one that passes on
    its calls: to Python, or, with `in_c`, perhaps to C."""

    def marked(wrapper: Function) -> Function:
        functools.update_wrapper(wrapper, original)
        return passes_on_to_c(wrapper) if in_c else passes_on(wrapper)

    return marked


def _parts(code: CodeType) -> Iterator[CodeType]:
    """Yield the code and that of its comprehensions and lambdas, which have their own frames before Python 3.12."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name.startswith("<"):
            yield from _parts(constant)


def is_passed_on(code: CodeType) -> bool:
    """Return whether a frame of this code lies between the script and the function that the script called."""
    return code in _to_any


def may_run_c(code: CodeType) -> bool:
    """Return whether a call of the script may be running although the innermost frame is of this code."""
    return code in _to_c
