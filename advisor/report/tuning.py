"""A search, shown: its findings in brief, what was tried, what it recommends; in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..types import Config, Finding, Ratio, Trial, TuneResult, Verdict
from . import words
from .json_contract import json_safe, profile_json
from .terminal import print_safely

AS_WRITTEN = "the script as written"
MOST_SKIPPED = 8


def render_tune(result: TuneResult, console: Console) -> None:
    """Prints the search; never a character that the terminal's encoding lacks."""
    print_safely(list(_parts(result)), console)


def tune_json(result: TuneResult) -> dict[str, Any]:
    """What `advisor tune --json` prints: stable and versioned."""
    found, profile = result.recommendation, profile_json(result.profile)
    first = result.trials[0].outcome if result.trials else None
    document: dict[str, Any] = {
        "version": result.version,
        "command": profile["command"],
        "hardware": profile["hardware"],
        "config": found.config.as_dict(),
        "baseline": {
            "samples_per_s": first.samples_per_s if first else None,
            "peak_bytes": first.peak_bytes if first else None,
        },
        "objective": {"name": "throughput", "unit": "samples/s over the script as written"},
        "verdict": found.verdict,
        "by_knob": found.by_knob,
        "findings": profile["findings"],
        "alternatives": [
            {
                "changes": other.changes,
                "config": other.config.as_dict(),
                "verdict": other.verdict,
                "note": other.note,
            }
            for other in found.alternatives
        ],
        "trials": [_trial_json(trial) for trial in result.trials],
        "files": result.files,
        "skipped": found.skipped,
    }
    if result.failure is not None:
        failure = result.failure
        document["failure"] = {"kind": failure.kind, "message": failure.message, "stderr_tail": failure.stderr_tail}
    safe: dict[str, Any] = json_safe(document)
    return safe


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "config": trial.config.as_dict(),
        "reason": trial.reason,
        "tier": trial.tier,
        "outcome": trial.outcome,
        "ratio": trial.ratio,
    }


def _parts(result: TuneResult) -> Iterator[RenderableType]:
    if result.failure is not None:
        yield Text(words.one_line(result.failure.message), style="bold red")
        return
    yield Text(_sentence(result), style="bold green" if result.recommendation.config.settings else "bold")
    if result.profile.findings:
        yield Text()
        yield Text("What holds it back", style="bold")
        for finding in result.profile.findings:
            yield _finding(finding)
    if len(result.trials) > 1:
        yield Text()
        yield _trials(result.trials)
    yield from _alternatives(result)
    yield from _skipped(result)
    for name in result.files:
        yield Text()
        yield Text(f"Wrote {words.one_line(name)}. Train with it:")
        command = words.one_line(result.recommendation.command.display)
        yield Text(f"  advisor run --config {words.one_line(name)} {command}", style="bold")


def _sentence(result: TuneResult) -> str:
    found = result.recommendation
    if found.config.settings:
        return f"{_told(found.config)}: {_gain(found.verdict)}, not yet verified in fresh runs."
    if len(result.trials) <= 1:
        return "Nothing was tried: no finding points to a setting that can be changed, or the budget was too short."
    return "No setting was found that is clearly faster: keep the script as it is."


def _gain(verdict: Verdict) -> str:
    times = words.times(verdict.speedup)
    return f"{times} as fast ({words.interval(verdict.low, verdict.high)} in {verdict.rounds} rounds)"


def _finding(finding: Finding) -> Text:
    line = Text("  ")
    line.append(f"{finding.rule}: ", style="bold")
    line.append(words.one_line(finding.evidence))
    return line


def _trials(trials: tuple[Trial, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    table.add_column("tried", overflow="fold")
    table.add_column("speed", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("changes", no_wrap=True)
    table.add_column("why, or what came of it", overflow="fold", style="dim")
    for trial in trials:
        why = trial.reason if trial.ratio is not None else f"{trial.outcome.kind}: {trial.outcome.message}"
        table.add_row(_told(trial.config), *_speed(trial.ratio), _changes(trial), words.one_line(why))
    return table


def _speed(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return words.times(None), ""
    return words.times(ratio.speedup), "" if ratio.low == ratio.high else words.interval(ratio.low, ratio.high)


def _changes(trial: Trial) -> str:
    names = {"exact": "nothing", "resampled": "other random draws", "numerics": "rounding", "training": "the training"}
    return names.get(trial.tier, trial.tier)


def _alternatives(result: TuneResult) -> Iterator[RenderableType]:
    for other in result.recommendation.alternatives:
        yield Text()
        line = Text()
        line.append(f"Also: {_told(other.config)}", style="bold")
        line.append(f": {_gain(other.verdict)}, but {words.one_line(other.note)}.")
        yield line


def _skipped(result: TuneResult) -> Iterator[RenderableType]:
    skipped = result.recommendation.skipped
    if skipped:
        yield Text()
    for one in skipped[:MOST_SKIPPED]:
        yield Text(f"Not used: {one.what} ({words.one_line(one.why)})", style="dim")
    if len(skipped) > MOST_SKIPPED:
        yield Text(f"Not used: {len(skipped) - MOST_SKIPPED} more, see --json", style="dim")


def _told(config: Config) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.settings) or AS_WRITTEN
