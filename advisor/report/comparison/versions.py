"""Comparison of two versions of a script, as text and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...plural import plural
from ...spelling import parameter
from ...types.comparison import FLOOR_PROCESSES, SpeedRatio, VersionComparison, own_spread
from .. import format
from ..json_contract import json_safe
from ..trial_format import moved, span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COMMIT_DIGITS = 12
_GATES = {
    "passed": "passed: at least {threshold:g} times the earlier speed",
    "failed": "FAILED: the whole interval is below {threshold:g} times the earlier speed",
    "undecided": "undecided: the interval contains {threshold:g}, so this is neither a failure nor a proof",
}
_STYLES = {
    "faster": "bold green",
    "slower": "bold red",
    "passed": "green",
    "failed": "bold red",
    "undecided": "yellow",
}


def versions_json(found: VersionComparison) -> dict[str, Any]:
    """Return a versioned dict that is safe for `json.dumps(…, allow_nan=False)`."""
    document = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    safe: dict[str, Any] = json_safe({**document, "verdict": verdict(found)})
    return safe


def verdict(found: VersionComparison) -> str:
    """Return the verdict in one sentence."""
    names = f"the working tree is {{}} {format.one_line(found.against)} ({found.commit[:COMMIT_DIGITS]})"
    ratio = found.ratio
    if ratio is None:
        return f"Undecided: no pair of processes was measured; {names.format('not compared with')}."
    if found.status == "faster":
        sentence = names.format(f"{format.times(ratio.value)} as fast as")
    elif found.status == "slower":
        sentence = names.format(f"slower, {format.times(ratio.value)} as fast as")
    elif found.status == "no difference":
        sentence = names.format("as fast as")
    else:
        return f"Undecided: {_undecided(found, ratio, names)}."
    return f"{sentence[0].upper()}{sentence[1:]}."


def _undecided(found: VersionComparison, ratio: SpeedRatio, names: str) -> str:
    """Describe the interval and why it is so wide; an estimate that may be chance must not be quoted."""
    known = moved(own_spread(found.runs, by_samples=ratio.unit == "samples/s"))
    why = f"; {known}" if known else ""
    if ratio.low is None or ratio.high is None:
        rounds = plural(found.rounds, "round")
        return f"{rounds}, too few for an interval: {names.format('not compared with')}{why}"
    return f"{names.format(f'{span(ratio.low, ratio.high)} times as fast as')}, which may be chance{why}"


def render_versions(found: VersionComparison, console: Console) -> None:
    """Print the verdict first, then its basis."""
    from ..terminal import print_safely

    print_safely([*_parts(found)], console)


def _parts(found: VersionComparison) -> Iterator[Text]:
    from rich.text import Text

    yield Text(verdict(found), style=_STYLES.get(found.status, "bold"))
    if found.gate is not None:
        yield Text(f"gate {_GATES[found.gate].format(threshold=found.threshold)}", style=_STYLES[found.gate])
    if found.ratio is not None:
        yield Text(_evidence(found, found.ratio), style="dim")
    if found.rounds_to_decide is not None:
        advice = f"About {found.rounds_to_decide} rounds would decide it: {parameter('rounds', found.rounds_to_decide)}"
        yield Text(advice, style="yellow")
    yield Text()
    yield Text(f"isolation  {format.one_line(found.isolation)}", style="dim")
    if found.changed_files:
        yield Text(f"changed    {format.one_line(', '.join(found.changed_files))}", style="bold red")
    for note in found.notes:
        yield Text(f"note       {format.one_line(note)}", style="dim")


def _evidence(found: VersionComparison, ratio: SpeedRatio) -> str:
    rounds = f"{plural(found.rounds, 'round')} of fresh processes, alternately"
    if ratio.low is None or ratio.high is None or ratio.confidence is None:
        return f"Compared in {ratio.unit}; {rounds}: too few for an interval."
    between = span(ratio.low, ratio.high)
    own = sum(run.side == "before" for run in found.runs)
    floor = f", noise floor {ratio.floor:.1%}" if own >= FLOOR_PROCESSES else ""
    return f"Compared in {ratio.unit}: interval {between} at {ratio.confidence:.1%}{floor}; {rounds}."
