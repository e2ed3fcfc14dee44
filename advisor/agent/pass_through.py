"""Marks the wrappers of ours that hand a call of the script on: what runs inside one is the script's work, not ours.

Every other function of ours works on its own account, and so does all that it calls. `Frames` reads the marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType
from typing import Any, Callable, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_to_any: set[CodeType] = set()
_to_c: set[CodeType] = set()


def passes_on(function: Function) -> Function:
    """Mark a wrapper, or a step inside one, whose own time is overhead: the script's call is a frame below it."""
    _to_any.update(_parts(function.__code__))
    return function


def passes_on_to_c(function: Function) -> Function:
    """Mark a wrapper around what may be written in C: no frame lies below it while the script's call runs."""
    _to_c.update(_parts(function.__code__))
    return passes_on(function)


def _parts(code: CodeType) -> Iterator[CodeType]:
    """The code and that of its comprehensions and lambdas, which have frames of their own before Python 3.12."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name.startswith("<"):
            yield from _parts(constant)


def is_passed_on(code: CodeType) -> bool:
    """Whether a frame of this code stands between the script and what the script has called."""
    return code in _to_any


def may_run_c(code: CodeType) -> bool:
    """Whether a call of the script may be running although a frame of this code is the innermost."""
    return code in _to_c
