"""The comparison of two runs in the terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from .. import format
from ..terminal import grid, print_safely
from .runs import Comparison, FindingChange, Pair

_MEMORY_NAMES = {
    "peak_bytes": "peak memory",
    "parameters_bytes": "parameters",
    "gradients_bytes": "gradients",
    "optimizer_bytes": "optimizer state",
    "activations_bytes": "activations",
}
_CHANGE_STYLES = {
    "gone": "green",
    "less": "green",
    "new": "yellow",
    "more": "yellow",
    "same": "dim",
    "not judged": "dim",
}


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Print both runs side by side."""
    print_safely(table_of(comparison), console)


def table_of(comparison: Comparison) -> list[RenderableType]:
    """Return the verdict, why it is rough, the numbers in two columns, and the changes of the findings."""
    parts: list[RenderableType] = [Text(comparison.verdict, style="bold")]
    if comparison.low is not None and comparison.high is not None:
        span = format.interval(comparison.low, comparison.high)
        parts.append(Text(f"Compared in {comparison.unit}; the intervals of the two runs give {span}.", style="dim"))
    parts += [Text(f"Approximate: {caveat}.", style="yellow") for caveat in comparison.caveats]
    parts += [Text(), _numbers(comparison)]
    if comparison.findings:
        parts += [Text(), _findings(comparison.findings)]
    return parts


def _numbers(comparison: Comparison) -> Table:
    table = grid("", "right", "right", "right")
    table.add_row("", "earlier", "later", "change", style="dim")
    for pair in comparison.phases:
        _row(table, format.phase_name(pair.name), pair, format.duration)
    for pair in comparison.off_step:
        table.add_row(format.phase_name(pair.name), format.percent(pair.before), format.percent(pair.after), "")
    for pair in comparison.memory:
        _row(table, _MEMORY_NAMES.get(pair.name, pair.name), pair, format.size)
    return table


def _row(table: Table, name: str, pair: Pair, as_words: Callable[[float | None], str]) -> None:
    change = ""
    if pair.before and pair.after is not None:
        ratio = pair.after / pair.before
        # Beyond twice, a factor is easier to read than a percentage.
        change = format.times(ratio) if ratio > 2 else f"{ratio - 1:+.0%}".replace("+0%", "0%").replace("-", "−")
    table.add_row(name, as_words(pair.before), as_words(pair.after), change)


def _findings(changes: tuple[FindingChange, ...]) -> Table:
    table = grid("", "", "right", "right")
    for change in changes:
        table.add_row(
            Text(change.change, style=_CHANGE_STYLES[change.change]),
            format.one_line(change.rule),
            format.percent(change.before),
            format.percent(change.after),
        )
    return table
