"""Contents of the tables in a search's report, in words, for all output formats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..plural import plural
from ..types import Alternative, Config, Finding, Ratio, Trial, TuneResult
from . import format
from .trial_format import EFFECT_DESCRIPTIONS, changes_training, describe, gain, interval_of, is_number, setting

MOST_TRIALS = 12
"""Rows of a table that is read at a glance; omitted rows are counted."""
MORE = 1.1
"""Factor by which a step must gain more than its limit's share to be explained: two windows differ by as much."""
LEAST_SHOWN_STEP = 0.01
"""Fraction by which a trial must beat the best before it to be named as a step: less looks the same in print."""
MOST_FAILED = 4
"""Rows reserved for trials without a result, if there are more than fit."""
KIND_WORDS = {
    "oom": "out of memory",
    "crash": "crashed",
    "hang": "hung",
    "nan": "non-finite loss",
    "refused": "refused",
    "stopped": "stopped",
}


IN_WINDOWS = ("unproven", "unverified")
"""Statuses of a gain that was seen in windows of one run only; the second is the name of 0.1.0."""

_STANDS = {
    "faster": "",
    "unproven": "not yet verified in fresh processes",
    "unverified": "not yet verified in fresh processes",
    "undecided": "which may be chance",
    "slower": "slower in fresh processes",
    "no significant gain": "no significant gain in fresh processes",
}
"""Remark on a gain with that status."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One of the two answers."""

    what: str
    settings: str
    speed: str
    note: str


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    number: str
    settings: str
    speed: str
    interval: str
    memory: str
    changes: str
    objective: str
    """Value of the objective, if that is not speed."""
    result: str
    """Reason for the trial, or its outcome."""
    measured: bool


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A finding's ceiling beside the gain of settings for it."""

    finding: Finding
    got: Ratio | None
    by: str
    """The settings that gave it, or the reason why there are none."""

    @property
    def ceiling(self) -> str:
        """Describe the ceiling: 2.4× (2.2–2.6), or about 1.22×, at most 1.55× if it follows from a time share."""
        ceiling = self.finding.ceiling
        if ceiling is None:
            return format.NOTHING
        if ceiling.basis == "share":
            return format.estimated(ceiling)
        return f"{format.times(ceiling.speedup)} ({format.interval(ceiling.low, ceiling.high)})"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Gain of one recommended setting: all settings against all without it."""

    setting: str
    ratio: Ratio

    @property
    def doubt(self) -> str:
        """Remark on a setting whose part in the gain the windows leave open; it is recommended for the others' sake."""
        return "(its own gain is not shown)" if self.ratio.low <= 1 <= self.ratio.high else ""


def two_answers(result: TuneResult) -> tuple[Line, ...]:
    """Return the best that keeps the training, and the best that also changes it; empty if they do not differ."""
    found = result.recommendation
    if not found.alternatives:
        return ()
    kept = Line(
        what="same training",
        settings=describe(found.config),
        speed=gain(found.verdict) if found.config.settings else format.times(1.0),
        note=f"quality {found.verdict.quality}" if found.config.settings else "",
    )
    changed = (
        Line(
            what="changed training",
            settings=describe(other.config),
            speed=gain(other.verdict),
            note="; ".join(
                text
                for text in (_STANDS[other.verdict.status], _checked(other), format.one_line(other.note).rstrip("."))
                if text
            ),
        )
        for other in found.alternatives
    )
    return kept, *changed


def _checked(other: Alternative) -> str:
    quality = other.verdict.quality
    return "" if quality == "not checked" else f"quality {quality}"


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """Limit of one configuration."""

    speed: str
    settings: str
    limit: str


def limits(result: TuneResult) -> tuple[LimitRow, ...]:
    """Return what limited the script, and the best settings after each step forward; empty if no step was made."""
    if not result.limits:
        return ()
    unsure = tuple(abstention.rule for abstention in result.profile.abstained)
    steps = [(1.0, Config(), result.recommendation.findings, unsure)]
    steps += [(step.ratio.speedup, step.config, step.findings, step.unsure) for step in result.limits]
    rows = []
    for place, (speedup, config, findings, rules) in enumerate(steps):
        following = steps[place + 1][0] if place + 1 < len(steps) else speedup
        limit = _limiting(findings, rules) + _more_than_its_share(findings, speedup, following)
        rows.append(LimitRow(speed=format.times(speedup), settings=describe(config), limit=limit))
    return tuple(rows)


def _more_than_its_share(findings: Sequence[Finding], before: float, after: float) -> str:
    """Explain a step that gained more than the share of the time that its limit was said to take."""
    first = format.worst(findings)
    if first is None or not 0 < first.share < 1 or not is_number(before, after):
        return ""
    if after / before <= MORE / (1 - first.share):
        return ""
    return "; the next step gained more than that share, as it made the rest of the update faster, too"


def _limiting(findings: Sequence[Finding], unsure: Sequence[str]) -> str:
    first = format.worst(findings)
    if first is None and unsure:
        others = f" and {plural(len(unsure) - 1, 'other rule')}" if len(unsure) > 1 else ""
        return f"not known: {format.one_line(unsure[0])}{others} could not judge"
    if first is None:
        return "nothing found that can be avoided"
    return format.headline(first) or format.one_line(first.evidence).rstrip(".")


def gains(result: TuneResult) -> tuple[Gain, ...]:
    """Return the gains, the greatest first; a single setting's is the whole gain."""
    found = result.recommendation
    settings = found.config.as_dict()
    split = [
        Gain(setting=setting(name, settings.get(name)), ratio=ratio)
        for name, ratio in found.by_knob.items()
        if name in settings and is_number(ratio.speedup, ratio.low, ratio.high)
    ]
    return tuple(sorted(split, key=lambda one: -one.ratio.speedup))


def trial_rows(result: TuneResult, most: int | None = MOST_TRIALS) -> tuple[tuple[TrialRow, ...], str]:
    """Return the rows and a note of those omitted: in order if all fit, otherwise the baseline, then the best first."""
    trials, name = result.trials, result.objective.name
    if most is None or len(trials) <= most:
        return tuple(_row(trial, name) for trial in trials), ""
    first = [trial for trial in trials[:1] if not trial.config.settings]
    rest = trials[len(first) :]
    measured = sorted((trial for trial in rest if _speed(trial) > 0), key=_speed, reverse=True)
    failed = [trial for trial in rest if _speed(trial) <= 0]
    for_failed = min(len(failed), max(MOST_FAILED, most - len(first) - len(measured)))
    shown = [*first, *measured[: most - len(first) - for_failed], *failed[:for_failed]]
    numbers = {id(trial) for trial in shown}
    left = Counter(_counted_as(one) for one in trials if id(one) not in numbers)
    counted = ", ".join(f"{count:,} {kind}" for kind, count in left.most_common())
    return tuple(_row(trial, name) for trial in shown), f"{left.total():,} more: {counted}"


def basis(result: TuneResult) -> str:
    """Describe what the speeds of the trials were measured in, if the verdict rests on something else."""
    own = "Speeds of the trials are those of their first windows, in one run of the script"
    chosen = next((trial for trial in result.trials if trial.config == result.recommendation.config), None)
    if result.recommendation.verdict.rounds and result.recommendation.verdict.status not in IN_WINDOWS:
        return f"{own}; the verdict counts fresh processes."
    again = chosen.measured_again if chosen is not None and chosen.config.settings else None
    return f"{own}; the verdict counts windows that were run after the choice." if again is not None else f"{own}."


def _counted_as(trial: Trial) -> str:
    return "measured" if trial.ratio is not None else KIND_WORDS.get(trial.outcome.kind, "not measured")


def _speed(trial: Trial) -> float:
    return trial.ratio.speedup if trial.ratio is not None and is_number(trial.ratio.speedup) else 0.0


def _row(trial: Trial, objective: str) -> TrialRow:
    kind = KIND_WORDS.get(trial.outcome.kind, format.one_line(trial.outcome.kind))
    message = format.one_line(trial.outcome.message)
    came = f"{kind}: {message}" if message else kind
    return TrialRow(
        number=str(trial.number),
        settings=describe(trial.config),
        speed=format.times(trial.ratio.speedup) if trial.ratio is not None else format.NOTHING,
        interval=interval_of(trial.ratio),
        memory=format.size(trial.outcome.peak_bytes),
        changes=EFFECT_DESCRIPTIONS.get(trial.effect, format.one_line(trial.effect)),
        objective=_objective_text(trial, objective),
        result="; ".join(text for text in (format.one_line(trial.reason), message) if text)
        if trial.outcome.kind == "measured"
        else came,
        measured=trial.ratio is not None,
    )


def _objective_text(trial: Trial, objective: str) -> str:
    if objective == "memory":
        return format.size(trial.outcome.peak_bytes)
    return f"{format.number(trial.outcome.joules_per_sample)} J" if objective == "energy" else ""


def best_so_far(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return trials that keep the training and beat all before them when they ran."""
    found: list[Trial] = []
    for trial in trials:
        better = not found or (not trial.is_doubtful and _speed(trial) > (1 + LEAST_SHOWN_STEP) * _speed(found[-1]))
        if not changes_training(trial) and better:
            found.append(trial)
    return tuple(found)


def front(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return trials that no other beats in both speed and memory, the smallest first, of those whose speed is clear."""
    clear = [trial for trial in trials if _speed(trial) > 0 and not trial.is_doubtful]
    known = [(peak, trial) for trial in clear if (peak := trial.outcome.peak_bytes) is not None]
    found: list[Trial] = []
    for _, trial in sorted(((peak, one) for peak, one in known if is_number(peak)), key=_smallest_first):
        if not found or _speed(trial) > _speed(found[-1]):
            found.append(trial)
    return tuple(found)


def _smallest_first(one: tuple[int, Trial]) -> tuple[int, float]:
    """Return a sort key: the smallest first, and of equals the faster."""
    return one[0], -_speed(one[1])


def predicted(result: TuneResult) -> tuple[Predicted, ...]:
    """Return every finding that promised a gain, or for which a gain was measured."""
    rows = (_predicted(finding, result) for finding in result.profile.findings)
    return tuple(row for row in rows if row.finding.ceiling is not None or row.got is not None)


def _predicted(finding: Finding, result: TuneResult) -> Predicted:
    """Return the best trial whose settings are all for this finding, else those settings' part of the whole gain."""
    fit = [
        (trial.ratio, describe(trial.config))
        for trial in result.trials
        if trial.ratio is not None
        and is_number(trial.ratio.speedup, trial.ratio.low, trial.ratio.high)
        and trial.config.settings
        and _names(trial) <= set(finding.knobs)
    ]
    if fit:
        got, by = max(fit, key=lambda one: one[0].speedup)
        return Predicted(finding=finding, got=got, by=by)
    parts = {name: one for name, one in result.recommendation.by_knob.items() if name in finding.knobs}
    parts = {name: one for name, one in parts.items() if is_number(one.speedup, one.low, one.high)}
    if parts:
        by = ", ".join(setting(name, result.recommendation.config.as_dict().get(name)) for name in parts)
        return Predicted(finding=finding, got=_together(parts), by=f"{by}, from the ablation")
    return Predicted(finding=finding, got=None, by=_why_no_gain(finding, result))


def _why_no_gain(finding: Finding, result: TuneResult) -> str:
    if not finding.knobs:
        return "no setting addresses it"
    beside = [
        trial for trial in result.trials if trial.ratio is not None and not _names(trial).isdisjoint(finding.knobs)
    ]
    if not beside:
        return "none of its settings was measured"
    best = max(beside, key=_speed)
    own = ", ".join(setting(name, value) for name, value in best.config.settings if name in finding.knobs)
    return f"{own} was only tried beside other settings: trial {best.number}, {format.times(_speed(best))}"


def _names(trial: Trial) -> set[str]:
    return {name for name, _ in trial.config.settings}


def _together(parts: Mapping[str, Ratio]) -> Ratio:
    """Multiply the gains; their independent errors add up by their squares, on the scale of the logarithm."""
    middle = sum(math.log(one.speedup) for one in parts.values())
    below = math.sqrt(sum(math.log(one.speedup / one.low) ** 2 for one in parts.values()))
    above = math.sqrt(sum(math.log(one.high / one.speedup) ** 2 for one in parts.values()))
    return Ratio(
        speedup=math.exp(middle),
        low=math.exp(middle - below),
        high=math.exp(middle + above),
        rounds=min(one.rounds for one in parts.values()),
    )


def importances(result: TuneResult) -> tuple[tuple[str, float], ...]:
    """Return knobs with their shares of the spread between trials, the greatest first."""
    shares = [
        (format.one_line(name), share)
        for name, share in result.importances.items()
        if math.isfinite(share) and 0 <= share <= 1
    ]
    return tuple(sorted(shares, key=lambda one: -one[1]))


def quality(result: TuneResult) -> str:
    """Describe the quality: passed: losses stay within …; empty if nothing is recommended."""
    found = result.recommendation
    if not found.config.settings:
        return ""
    evidence = format.one_line(found.verdict.quality_evidence).rstrip(".")
    return f"{found.verdict.quality}: {evidence}" if evidence else found.verdict.quality


def closed(result: TuneResult, most: int | None) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return unused settings grouped by reason, and the number of omitted reasons.

    Failed trials are listed among the trials.
    """
    failed_trials = [trial for trial in result.trials if trial.ratio is None]
    tried = {str(trial.config) for trial in failed_trials}
    by_reason: dict[str, list[str]] = {}
    for one in result.recommendation.skipped:
        if one.what not in tried:
            by_reason.setdefault(format.one_line(one.why), []).append(format.one_line(one.what))
    reasons = [(", ".join(names), why) for why, names in by_reason.items()]
    shown = reasons if most is None else reasons[:most]
    return tuple(shown), len(reasons) - len(shown)


@dataclass(frozen=True, kw_only=True)
class OpenKnob:
    name: str
    values: str
    changes: str
    when: str
    opened_by: str


def space(result: TuneResult) -> tuple[OpenKnob, ...]:
    """Return the knobs that could be tried."""
    return tuple(
        OpenKnob(
            name=format.one_line(knob.id),
            values=", ".join(format.one_line(str(value)) for value in knob.values),
            changes=EFFECT_DESCRIPTIONS.get(knob.effect, format.one_line(knob.effect)),
            when="a new process each" if knob.scope == "launch" else "live",
            opened_by=format.one_line(knob.opened_by),
        )
        for knob in result.space
    )


def failed(result: TuneResult) -> int:
    """Return the number of trials that gave nothing to compare."""
    return sum(trial.ratio is None for trial in result.trials)
