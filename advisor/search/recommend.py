"""Recommendation of a search: the best that keeps the training, and the best that also changes it."""

from __future__ import annotations

import math

from ..knobs import global_batch
from ..target.script_options import describe_rate
from ..types import Alternative, Command, Config, Finding, Hardware, Recommendation, Skipped, Verdict, Workload
from .final_result import FinalResult
from .goals import Goal
from .knowledge import WORDS, Knowledge
from .preset import SearchSettings
from .space import KEEPS_TRAINING

BATCH_KNOB = global_batch.KNOB.id
BOUND_FLOORS = 2.0
"""Multiple of the least gain worth a setting: if nothing tried can be faster by more, that is an answer. A closer bound
takes windows that a search of this length has no time for."""


def recommend(
    known: Knowledge,
    settings: SearchSettings,
    *,
    command: Command,
    hardware: Hardware,
    workload: Workload | None,
    findings: tuple[Finding, ...],
    allow_training: bool = False,
) -> Recommendation:
    """Recommend what the windows of the search show beyond doubt; fresh processes prove it, or something less clear.

    With `allow_training`, a configuration that changes the training is recommended if it is better.
    """
    final_results = known.final_results()
    kept = {config: found for config, found in final_results.items() if known.space.effect(config) in KEEPS_TRAINING}
    changed = {config: found for config, found in final_results.items() if config not in kept}
    config, found = _best(kept, known.goal, settings.floor)
    other, beyond = _best(changed, known.goal, settings.floor)
    if beyond is not None and found is not None and beyond.score <= found.score * (1 + settings.floor):
        other, beyond = Config(), None
    notes: list[str] = []
    if allow_training and beyond is not None:
        notes.append(_of_training(other, workload, known))
        config, found, beyond = other, beyond, None
    alternatives = () if beyond is None else (_alternative(other, beyond, settings.floor, workload, known),)
    return Recommendation(
        command=command,
        hardware=hardware,
        config=config,
        verdict=_no_clear_gain(known, settings.floor, allow_training)
        if found is None
        else _unproven(found, settings.floor),
        findings=findings,
        by_knob=known.by_knob(config) if config == known.winner() else {},
        skipped=(*known.closed, *_failed(known)),
        alternatives=alternatives,
        notes=(*notes, *_notes(found, known.goal)),
        passed_as_arguments=known.space.command_line.arguments(config),
        constants=known.space.command_line.constants(config),
    )


def _best(candidates: dict[Config, FinalResult], goal: Goal, floor: float) -> tuple[Config, FinalResult | None]:
    """Return the best candidate that is clearly a gain; without one, the baseline."""
    for config, found in candidates.items():
        if is_clear(found, goal, floor):
            return config, found
    return Config(), None


def is_clear(found: FinalResult, goal: Goal, floor: float) -> bool:
    """Return whether its windows leave no doubt of a gain: the whole interval lies above the floor."""
    if goal.name in ("throughput", "cost"):
        return found.ratio.low > 1 + floor and found.score >= 1 + floor
    return found.score >= 1 + floor and goal.admits(found.ratio)


def _unproven(found: FinalResult, floor: float) -> Verdict:
    return Verdict(
        status="unproven",
        speedup=found.ratio.speedup,
        low=found.ratio.low,
        high=found.ratio.high,
        rounds=found.ratio.rounds,
        floor=floor,
    )


def _no_clear_gain(known: Knowledge, floor: float, allow_training: bool) -> Verdict:
    """Return the verdict if nothing tried is clearly better: bounded by all intervals if no knob is left untried.

    Configurations that change the training say nothing about the settings that keep it.
    """
    effects = {knob.id: knob.effect for knob in known.space.knobs}
    counts = [t for t in known.trials if t.config.settings and (allow_training or t.effect in KEEPS_TRAINING)]
    untried = [name for name in known.untried() if allow_training or effects[name] in KEEPS_TRAINING]
    tried = {trial.config: known.finals.get(trial.config, trial.ratio) for trial in counts}
    ratios = [ratio for ratio in tried.values() if ratio is not None]
    highest = max((ratio.high for ratio in ratios), default=math.inf)
    if known.goal.name in ("throughput", "cost"):
        bounded = highest <= 1 + BOUND_FLOORS * floor
    else:
        scores = [trial.score for trial in counts if trial.score is not None]
        bounded = bool(scores) and max(scores) < 1 + floor
    return Verdict(
        status="no significant gain" if bounded and not untried else "undecided",
        speedup=1.0,
        low=min((ratio.low for ratio in ratios if ratio.high == highest), default=0.0),
        high=highest,
        rounds=0,
        floor=floor,
    )


def _notes(found: FinalResult | None, goal: Goal) -> tuple[str, ...]:
    if found is None:
        return ()
    notes = []
    if not found.fresh:
        notes.append("chosen on its first measurement: the search ended before it could be measured again")
    if goal.name in ("memory", "energy"):
        notes.append(f"{found.score:.2f} times {WORDS[goal.name]}, at {found.ratio.speedup:.2f} times the speed")
    return tuple(notes)


def _alternative(
    config: Config, found: FinalResult, floor: float, workload: Workload | None, known: Knowledge
) -> Alternative:
    note = _of_training(config, workload, known)
    return Alternative(changes="training", config=config, verdict=_unproven(found, floor), note=note)


def _of_training(config: Config, workload: Workload | None, known: Knowledge) -> str:
    note = "training changes, and the time to the same loss was not checked"
    rate = describe_rate(known.space.command_line, config)
    if rate is not None:
        return f"{note}; {rate}"
    baseline = global_batch.baseline_samples(workload) if workload is not None else None
    size = config.as_dict().get(BATCH_KNOB)
    if workload is not None and baseline and isinstance(size, int):
        note += f"; with k = {size / baseline:g} times the batch {global_batch.rate_rule(workload)}"
    return note


def _failed(known: Knowledge) -> tuple[Skipped, ...]:
    """Return settings that could not be measured, with the reason."""
    return tuple(
        Skipped(what=str(trial.config), why=f"{trial.outcome.kind}: {trial.outcome.message}")
        for trial in known.trials
        if trial.ratio is None and trial.config.settings
    )
