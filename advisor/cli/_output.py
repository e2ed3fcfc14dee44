"""Output shared by several commands: results to stdout, progress to stderr."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ..errors import InterruptedByUserError, ScriptError

if TYPE_CHECKING:
    from rich.console import Console

    from ..report.live import LiveProgress

Found = TypeVar("Found")


def print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def console() -> Console:
    from rich.console import Console

    return Console()


def show(
    found: Found, json_output: bool, as_json: Callable[[Found], Any], render: Callable[[Found, Console], None]
) -> None:
    """Print a result in the requested form."""
    if json_output:
        print_json(as_json(found))
    else:
        render(found, console())


@contextlib.contextmanager
def live_progress() -> Iterator[LiveProgress]:
    from ..report.live import LiveProgress

    with contextlib.closing(LiveProgress()) as progress:
        yield progress


@contextlib.contextmanager
def early_ends_shown(show_found: Callable[[Any], None]) -> Iterator[None]:
    """Show the partial result if the user interrupts, and the last output of a script that fails."""
    try:
        yield
    except InterruptedByUserError as interruption:
        if interruption.found is not None:
            show_found(interruption.found)
        raise
    except ScriptError as error:
        if error.stderr_tail:
            typer.echo(error.stderr_tail.rstrip(), err=True)
        raise
