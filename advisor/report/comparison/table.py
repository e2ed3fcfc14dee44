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
    """Return the verdict, why it is rough, the numbers in two columns, and what became of the findings."""
    parts: list[RenderableType] = [Text(comparison.verdict, style="bold")]
    if comparison.low is not None and comparison.high is not None:
        span = format.interval(comparison.low, comparison.high)
        parts.append(Text(f"Compared in {comparison.unit}; the intervals of the two runs give {span}.", style="dim"))
    parts += [Text(f"Approximate: {caveat}.", style="yellow") for caveat in comparison.caveats]
    parts += [Text(), _numbers(comparison)]
    if comparison.findings:
        parts += [Text(), _findings(comparison.findings)]
        share_alone = _share_alone(comparison.findings)
        if share_alone is not None:
            parts.append(Text(share_alone, style="dim"))
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
    table = grid("", "", "right", "right", "")
    table.add_row("", "time per update", "earlier", "later", "severity", style="dim")
    for change in changes:
        severities = dict.fromkeys(filter(None, (change.before_severity, change.after_severity)))
        table.add_row(
            Text(change.change, style=_CHANGE_STYLES[change.change]),
            format.one_line(change.rule),
            _cost(change.before_s, change.before),
            _cost(change.after_s, change.after),
            " → ".join(severities),
        )
    return table


def _cost(seconds: float | None, share: float | None) -> str:
    """Format a cost with its share: 73.2 ms (62%); a dash for a risk, which costs no time."""
    return f"{format.duration(seconds)} ({format.percent(share)})" if seconds is not None else format.NOTHING


def _share_alone(changes: tuple[FindingChange, ...]) -> str | None:
    """Say which findings only take a larger share of a shorter update; None if none does."""
    rules = [format.one_line(change.rule) for change in changes if change.only_the_share_grew]
    if not rules:
        return None
    cost, share = ("costs", "its share") if len(rules) == 1 else ("cost", "their shares")
    return f"{', '.join(rules)} {cost} no more time than before: {share} grew because updates are shorter."
