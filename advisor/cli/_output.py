"""Output shared by several commands: results to stdout, progress to stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import typer

from ..errors import InterruptedByUserError, ScriptError
from ..redaction import Redactor

if TYPE_CHECKING:
    from rich.console import Console

    from ..report.live import LiveProgress

Found = TypeVar("Found")
_PADDING = re.compile(r" +$", re.MULTILINE)


def print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def console() -> Console:
    """Return the console of stdout; a file or a pipe takes the widest lines, without padding at their ends."""
    from rich.console import Console

    from ..report.terminal import WIDEST

    if sys.stdout.isatty():
        return Console()
    return Console(file=_Unpadded(sys.stdout), width=None if "COLUMNS" in os.environ else WIDEST)


def print_names(names: Sequence[str]) -> None:
    """Print names to stderr in columns that fit the terminal, read from top to bottom."""
    if not names:
        return
    from rich.columns import Columns
    from rich.console import Console
    from rich.padding import Padding

    with contextlib.suppress(OSError):
        columns = Columns(names, padding=(0, 2), equal=True, column_first=True)
        Console(file=_Unpadded(sys.stderr), highlight=False, markup=False).print(Padding(columns, (0, 0, 0, 2)))


class _Unpadded(io.StringIO):
    """Stream without the spaces that fill the last column of a table; rich writes whole lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(_PADDING.sub("", text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        return self._stream.encoding


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

    with contextlib.closing(LiveProgress(redactor=typed_redactor())) as progress:
        yield progress


def typed_redactor() -> Redactor:
    """Return the redactor that knows the secrets of this command line and of the environment."""
    return Redactor.of_words(sys.argv[1:], os.environ)


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
