"""The verdict on a search in one sentence, and its basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...plural import plural
from ...spelling import parameter
from ...types import Objective, Ratio, TuneResult, Verdict
from ...types.comparison import FLOOR_PROCESSES
from .. import format
from ..profile.failures import once_mended, what_failed
from ..profile.headline import function_call, options, verdict_of
from ..trial_format import describe, is_number, moved, peaks, span
from ..trial_rows import IN_WINDOWS
from .by_hand import ONLY_THE_SCRIPT, beside_settings, instead_of_settings
from .next_steps import Next, next_steps

RUN_BASELINE = "keep the unmodified script"
LESS_OF = ("memory", "energy")
"""Objectives of which less is better, whatever happens to the speed."""

Tone = Literal["good", "neutral", "warning", "critical", "failed"]


@dataclass(frozen=True, kw_only=True)
class TuneVerdict:
    """Summary for a reader of one sentence, and of the next step."""

    sentence: str
    tone: Tone
    evidence: str
    """Basis of the verdict; for an undecided one, what would decide it. And what only the script can change."""
    next: tuple[Next, ...]


def verdict_of_tune(result: TuneResult) -> TuneVerdict:
    """Return the verdict on a search, from its recommendation."""
    if result.failure is not None:
        return _failed(result)
    sentence, tone = _nothing_compared(result) or _objective_sentence(result) or _of_speed(result)
    broken = result.profile.failure
    if broken is not None and broken.kind in ("nan", "no_steps"):
        sentence, tone = f"Your script {what_failed(broken)}. {sentence}", "failed"
    evidence = [_evidence(result)]
    if result.tried:  # a search that tried nothing has named the finding in its sentence
        by_hand = instead_of_settings(result)
        evidence = [sentence, *evidence] if by_hand else [*evidence, beside_settings(result)]
        sentence, tone = (by_hand, "warning") if by_hand else (sentence, tone)
    return TuneVerdict(sentence=sentence, tone=tone, evidence=" ".join(filter(None, evidence)), next=next_steps(result))


def _of_speed(result: TuneResult) -> tuple[str, Tone]:
    found = result.recommendation
    verdict, settings = found.verdict, describe(found.config) if found.config.settings else None
    if settings is None and verdict.status == "unverified":
        return f"Not verified: {RUN_BASELINE}.", "warning"
    sentence, tone = sentence_of(verdict, settings)
    if verdict.quality != "failed":
        return sentence, tone
    rest = "" if settings else f"; {RUN_BASELINE}"
    return f"{sentence.rstrip('.')}, but its losses differ from the baseline's{rest}.", "critical"


def sentence_of(verdict: Verdict, settings: str | None) -> tuple[str, Tone]:
    """Return the verdict in one sentence; `settings` is None if the baseline is recommended."""
    times, rests = format.times(verdict.speedup), _rests_on(verdict)
    candidate = f"with {settings} your script" if settings else "the best of the search"
    match verdict.status:
        case "faster":
            return f"{_begin(candidate)} is {times} as fast ({rests}).", "good"
        case "slower":
            rest = "" if settings else f": {RUN_BASELINE}"
            return f"Slower: {candidate} is {times} as fast ({rests}){rest}.", "warning"
        case "undecided":
            return _undecided(verdict, candidate), "warning"
        case "unproven" | "unverified" if settings:
            sentence = f"With {settings} your script was {times} as fast ({rests})"
            return f"{sentence}; unproven: fresh processes have not decided yet.", "warning"
        case _:
            best = f" (the best was {times} as fast, {rests})" if verdict.rounds > 0 else ""
            return f"No significant gain: {RUN_BASELINE}{best}.", "neutral"


def _undecided(verdict: Verdict, candidate: str) -> str:
    """Describe the interval and why it is so wide; an estimate that may be chance must not be quoted."""
    rounds = f"{plural(verdict.rounds, 'round')} of fresh processes"
    why = f"; {known}" if (known := moved(verdict.own_spread)) else ""
    if not is_number(verdict.low, verdict.high):
        return f"Undecided: {candidate} was run in {rounds}, too few for an interval{why}."
    between = f"{span(verdict.low, verdict.high)} times as fast, which may be chance"
    return f"Undecided: {candidate} is {between} (95% interval, {rounds}{_floor(verdict)}{why})."


def _rests_on(verdict: Verdict) -> str:
    """Describe the basis: 95% interval 2.2–2.4, 5 rounds of fresh processes, noise floor 2%."""
    where = "windows in one run" if verdict.status in IN_WINDOWS else "fresh processes"
    rounds = f"{plural(verdict.rounds, 'round')} of {where}"
    known = is_number(verdict.low, verdict.high)
    interval = f"95% interval {format.interval(verdict.low, verdict.high)}" if known else "no interval yet"
    return f"{interval}, {rounds}{_floor(verdict)}"


def _floor(verdict: Verdict) -> str:
    """Describe the noise floor; empty if too few processes were run to know it."""
    known = verdict.status in IN_WINDOWS or verdict.rounds >= FLOOR_PROCESSES
    return f", noise floor {format.percent(verdict.floor)}" if known else ""


def _begin(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _nothing_compared(result: TuneResult) -> tuple[str, Tone] | None:
    """Return the verdict if no fresh process was run and nothing is recommended, for lack of anything to decide by."""
    found = result.recommendation
    if found.verdict.status != "undecided" or found.config.settings or found.verdict.rounds:
        return None
    ratios = _compared(result)
    if ratios and result.objective.name in LESS_OF:
        return f"Undecided: {_least_of(result)}.", "warning"
    if not ratios:
        if not result.tried:
            return _nothing_tried(result)
        return "Undecided: nothing could be compared with the baseline.", "warning"
    best = max(ratios, key=lambda ratio: ratio.speedup)
    between = f"{span(best.low, best.high)} times as fast (95% interval, windows in one run)"
    return f"Undecided: the best of {len(ratios):,} compared is {between}.", "warning"


def _nothing_tried(result: TuneResult) -> tuple[str, Tone]:
    profile, first = verdict_of(result.profile), format.worst(result.profile.findings)
    if result.space:
        several = len(result.space) > 1
        knobs = plural(len(result.space), "knob")
        return f"Undecided: nothing was tried; {knobs} {'are' if several else 'is'} open.", "warning"
    if profile.tone == "good":
        return f"{profile.sentence.rstrip('.')}; no setting is worth a trial.", "good"
    if first is None:
        return f"Undecided: nothing was tried; no knob is open. {profile.sentence}", "warning"
    rest = "no setting that could help is open here" if first.knobs else ONLY_THE_SCRIPT
    return f"{profile.sentence.rstrip('.')}; {rest}.", "warning"


def _untried(result: TuneResult) -> list[str]:
    """Return open knobs of which nothing is known: no value was compared or broke the script."""
    tried = {name for trial in result.tried if trial.is_conclusive for name, _value in trial.config.settings}
    return [format.one_line(knob.id) for knob in result.space if knob.id not in tried]


def _compared(result: TuneResult) -> list[Ratio]:
    """Return each configuration's final ratio; those that change the training count only if there are no others."""
    tried = [trial for trial in result.tried if trial.ratio is not None and is_number(trial.ratio.speedup)]
    kept = [trial for trial in tried if trial.effect != "training"] or tried
    return [ratio for trial in kept if (ratio := trial.measured_again or trial.ratio) is not None]


def _least_of(result: TuneResult) -> str:
    """Describe the least memory or energy of those compared, relative to the baseline."""
    scores = [trial.score for trial in result.tried if trial.score is not None and is_number(trial.score)]
    name = result.objective.name
    if not scores:
        return f"of none was the {name} measured"
    return f"the best of {len(scores):,} compared takes {format.percent(1 / max(scores))} of the {name}"


def _objective_sentence(result: TuneResult) -> tuple[str, Tone] | None:
    """Return the sentence for an objective other than speed, which comes first."""
    found, objective = result.recommendation, result.objective
    before, after = objective.baseline, objective.best
    if objective.name == "memory":
        before, after = peaks(result, found.config) if after is None else (before, after)
    if objective.name == "throughput" or not found.config.settings or before is None or after is None:
        return None
    if not is_number(before, after) or found.verdict.quality == "failed":
        return None
    less = f"{format.percent(after / before)} of the {objective.name}"
    speed = f"{_speed(found.verdict)} the speed ({_rests_on(found.verdict)})"
    amounts = f"{_amount(objective, after)}, baseline {_amount(objective, before)}"
    sentence = f"With {describe(found.config)} your script takes {less} ({amounts}) at {speed}"
    if found.verdict.status in IN_WINDOWS:
        return f"{sentence}; unproven: fresh processes have not decided yet.", "warning"
    return f"{sentence}.", "good"


def _speed(verdict: Verdict) -> str:
    """Format the speed: 2.4×; if nothing is decided, the interval and no estimate."""
    if verdict.status != "undecided":
        return format.times(verdict.speedup)
    return (
        f"{span(verdict.low, verdict.high)} times" if is_number(verdict.low, verdict.high) else "an unknown fraction of"
    )


def _amount(objective: Objective, value: float) -> str:
    """Format an amount: 31.0 GiB; 0.482 joules per sample."""
    if objective.name == "memory":
        return format.size(value)
    return f"{format.number(value)} {format.one_line(objective.unit)}"


def _evidence(result: TuneResult) -> str:
    """Describe what the sentence leaves open: what would decide, what spoke against it, or how near the search came."""
    verdict, config = result.recommendation.verdict, result.recommendation.config
    if config.settings:
        return what_decides(verdict) if verdict.status == "undecided" else ""
    if verdict.quality_evidence and (verdict.quality == "failed" or verdict.status == "unverified"):
        return f"{_begin(format.one_line(verdict.quality_evidence).rstrip('.'))}."
    if verdict.rounds:
        larger = " A search with a larger budget has time for them."
        return f"{what_decides(verdict)}{larger}" if verdict.status == "undecided" else ""
    return _what_it_takes(result) if verdict.status != "unverified" else ""


def what_decides(verdict: Verdict) -> str:
    """Describe what is open, and about how many rounds would decide it."""
    rounds = plural(verdict.rounds_to_decide, "round") if verdict.rounds_to_decide is not None else ""
    decides = f"about {rounds} would decide it" if rounds else "more rounds may decide it"
    if not is_number(verdict.low, verdict.high):
        return f"{_begin(decides)}."
    if verdict.low > 1 + verdict.floor:
        few = f"{plural(verdict.rounds, 'round')} do not show how much processes of the script differ"
        return f"The whole interval is a gain, but {few}; {decides}."
    if verdict.low > 1:
        floor = (
            f"part of it is within the differences between processes of the script ({format.percent(verdict.floor)})"
        )
        return f"The whole interval lies above 1, but {floor}; {decides}."
    if verdict.high < 1:
        return f"No part of the interval is a gain; {decides}."
    return f"The interval contains both a gain and a loss; {decides}."


def _what_it_takes(result: TuneResult) -> str:
    """Describe the result of a search without a clear gain or a fresh process, and what would decide."""
    tried, ratios = result.tried, _compared(result)
    if not tried and result.space:
        why = format.one_line(result.ended).rstrip(".")
        return f"No trial was begun: {why}." if why else "No trial was begun."
    if not tried:
        return f"{_by_hand(result)} {parameter('knobs')} tries knobs anyway; {parameter('dry_run', True)} lists them."
    if not ratios:
        return f"{len(tried):,} tried, and none could be measured."
    return _of_compared(result, ratios)


def _by_hand(result: TuneResult) -> str:
    if format.worst(result.profile.findings) is None:
        return "No finding suggests a setting that can be changed."
    return "The findings below say what to change in the script."


def _of_compared(result: TuneResult, ratios: list[Ratio]) -> str:
    """Describe how near the best came, and what would decide."""
    if result.objective.name in LESS_OF:
        return f"{_begin(_least_of(result))}; a larger budget tries more."
    highest = max(ratios, key=lambda ratio: ratio.high)
    if result.recommendation.verdict.status == "no significant gain":
        return f"Of {len(ratios):,} compared none can be more than {format.times(highest.high)} as fast."
    if untried := _untried(result):
        most = f"Of {len(ratios):,} compared none can be more than {format.times(highest.high)} as fast"
        return f"{most}; a larger budget also tries {', '.join(untried)}."
    best = max(ratios, key=lambda ratio: ratio.speedup)
    if best.high <= 1:
        return "No part of it is a gain; a larger budget tries more."
    both = "It contains both a gain and a loss" if best.low <= 1 else "No fresh process has confirmed it"
    return f"{both}; a larger budget has longer windows and time for verification."


def _failed(result: TuneResult) -> TuneVerdict:
    failure = result.failure
    assert failure is not None
    command = result.recommendation.command
    given = options((*result.search_options, *result.profile.run_options))
    again = format.one_line(f"advisor tune {given}{command.display}")
    if command.function:
        again = function_call(command, "tune")
    searched = "nothing was searched" if len(result.trials) <= 1 else "the trials so far are below"
    return TuneVerdict(
        sentence=f"Your script {what_failed(failure)}; {searched}.",
        tone="failed",
        evidence="",
        next=(Next(command=again, why=f"searches again, {once_mended(failure, result.profile)}"),),
    )
