"""Parts shared by all reports in a terminal: tones, grids, tables, and a printer that respects the encoding."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..types import Failure
from . import format

WIDEST = 100
"""Widest line: longer ones are hard to read, however wide the terminal is."""
STDERR_LINES = 20
TONES = {
    "good": "bold green",
    "neutral": "bold",
    "warning": "bold yellow",
    "critical": "bold red",
    "failed": "bold red",
}
_ASCII = str.maketrans("×–—µ█▌·−", "x--u##--") | str.maketrans({"…": "...", "→": "->", "±": "+-", "≥": ">=", "≤": "<="})


def print_safely(parts: list[RenderableType], console: Console) -> None:
    """Print `parts` one below the other, in the characters of the console's encoding."""
    group = Group(*parts)
    width = min(console.width, WIDEST)
    if console.encoding.lower().replace("_", "-").startswith("utf"):
        console.print(group, width=width, highlight=False)
        return
    with console.capture() as capture:
        console.print(group, width=width, highlight=False)
    text = capture.get().translate(_ASCII)
    console.file.write(text.encode(console.encoding, "replace").decode(console.encoding))


def stderr_lines(failure: Failure) -> Iterator[RenderableType]:
    """Return the script's own last output, shown before the verdict."""
    lines = format.plain(failure.stderr_tail).rstrip().splitlines()
    yield Text("Last output of the script:", style="dim")
    if len(lines) > STDERR_LINES:
        yield Text(f"  ({len(lines) - STDERR_LINES} earlier lines omitted)", style="dim")
    yield Padding(Text("\n".join(lines[-STDERR_LINES:])), (0, 0, 1, 2))


def grid(*columns: str) -> Table:
    """Return a grid with columns by kind: right for numbers, fold for any length, dim or plain for short words."""
    found = Table.grid(padding=(0, 2))
    for kind in columns:
        found.add_column(
            no_wrap=kind != "fold",
            overflow="fold" if kind == "fold" else "ellipsis",
            justify="right" if kind == "right" else "left",
            style="dim" if kind == "dim" else "",
        )
    return found


def table(*heads: str, style: str = "dim") -> Table:
    """Return a table without lines, with these column heads."""
    found = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style=style)
    for head in heads:
        found.add_column(head, overflow="fold")
    return found
