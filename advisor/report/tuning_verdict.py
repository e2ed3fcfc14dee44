"""The verdict on a search in one sentence, what it rests on, and what to do next."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Literal

from ..types import Objective, TuneResult, Verdict
from ..types.comparison import FLOOR_PROCESSES
from . import words
from .tuning_words import gain, is_number, moved, peaks, span, told
from .verdict import function_call, what_failed

CONFIG_FILE = "advisor.yaml"
RUN_AS_WRITTEN = "the script as written is what to run"


@dataclass(frozen=True, kw_only=True)
class Next:
    command: str
    why: str


@dataclass(frozen=True, kw_only=True)
class TuneVerdict:
    """What a reader needs who reads one sentence, and the next."""

    sentence: str
    tone: Literal["good", "neutral", "warning", "critical", "failed"]
    evidence: str
    """What it rests on; for what is undecided, what would decide it."""
    next: tuple[Next, ...]


def verdict_of_tune(result: TuneResult) -> TuneVerdict:
    """The verdict on a search, from its recommendation."""
    if result.failure is not None:
        return _failed(result)
    sentence, tone = _nothing_tried(result) or _objective_sentence(result) or _of_speed(result)
    return TuneVerdict(sentence=sentence, tone=tone, evidence=_evidence(result), next=_next(result))


def _of_speed(result: TuneResult) -> tuple[str, Tone]:
    found = result.recommendation
    verdict, settings = found.verdict, told(found.config) if found.config.settings else None
    if settings is None and verdict.status == "unverified":
        return f"Not proven: {RUN_AS_WRITTEN}.", "warning"
    sentence, tone = sentence_of(verdict, settings)
    if verdict.quality != "failed":
        return sentence, tone
    rest = "" if settings else f"; {RUN_AS_WRITTEN}"
    return f"{sentence.rstrip('.')}, but its losses are not those of the script as written{rest}.", "critical"


Tone = Literal["good", "neutral", "warning", "critical", "failed"]


def sentence_of(verdict: Verdict, settings: str | None) -> tuple[str, Tone]:
    """The verdict in one sentence; `settings` is None where the script as written comes out."""
    times, rests = words.times(verdict.speedup), _rests_on(verdict)
    candidate = f"with {settings} your script" if settings else "the best of the search"
    match verdict.status:
        case "faster":
            return f"{_begin(candidate)} is {times} as fast ({rests}).", "good"
        case "slower":
            rest = "" if settings else f": {RUN_AS_WRITTEN}"
            return f"Slower: {candidate} is {times} as fast ({rests}){rest}.", "warning"
        case "undecided":
            return _undecided(verdict, candidate), "warning"
        case "unverified" if settings:
            sentence = f"With {settings} your script was {times} as fast ({rests})"
            return f"{sentence}; not yet proven in fresh processes.", "warning"
        case _:
            best = f" (the best was {times} as fast, {rests})" if verdict.rounds > 0 else ""
            return f"No significant gain: {RUN_AS_WRITTEN}{best}.", "neutral"


def _undecided(verdict: Verdict, candidate: str) -> str:
    """The interval and why it is so wide: an estimate that may be chance is none, and no one is to quote it."""
    rounds = f"{words.plural(verdict.rounds, 'round')} of fresh processes"
    why = f"; {known}" if (known := moved(verdict.own_spread)) else ""
    if not is_number(verdict.low, verdict.high):
        return f"Undecided: {candidate} was run in {rounds}, too few for an interval{why}."
    between = f"{span(verdict.low, verdict.high)} times as fast, which may be chance"
    return f"Undecided: {candidate} is {between} (95% interval, {rounds}{_floor(verdict)}{why})."


def _rests_on(verdict: Verdict) -> str:
    """95% interval 2.2–2.4, 5 rounds of fresh processes, noise floor 2%."""
    where = "windows in one run" if verdict.status == "unverified" else "fresh processes"
    rounds = f"{words.plural(verdict.rounds, 'round')} of {where}"
    known = is_number(verdict.low, verdict.high)
    interval = f"95% interval {words.interval(verdict.low, verdict.high)}" if known else "no interval yet"
    return f"{interval}, {rounds}{_floor(verdict)}"


def _floor(verdict: Verdict) -> str:
    """Nothing where too few processes were run to know it."""
    known = verdict.status == "unverified" or verdict.rounds >= FLOOR_PROCESSES
    return f", noise floor {words.percent(verdict.floor)}" if known else ""


def _begin(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _nothing_tried(result: TuneResult) -> tuple[str, Tone] | None:
    found = result.recommendation
    if found.verdict.status != "unverified" or found.config.settings or len(result.trials) > 1:
        return None
    knobs = words.plural(len(result.space), "knob")
    return f"Nothing was tried: {knobs} {'is' if len(result.space) == 1 else 'are'} open.", "neutral"


def _objective_sentence(result: TuneResult) -> tuple[str, Tone] | None:
    """Where something else than speed was looked for, that is told first."""
    found, objective = result.recommendation, result.objective
    before, after = objective.as_written, objective.best
    if objective.name == "memory":
        before, after = peaks(result, found.config) if after is None else (before, after)
    if objective.name == "throughput" or not found.config.settings or before is None or after is None:
        return None
    if not is_number(before, after) or found.verdict.quality == "failed":
        return None
    less = f"{words.percent(after / before)} of the {objective.name}"
    speed = f"{_speed(found.verdict)} the speed ({_rests_on(found.verdict)})"
    amounts = f"{_amount(objective, after)}, as written {_amount(objective, before)}"
    sentence = f"With {told(found.config)} your script takes {less} ({amounts}) at {speed}"
    if found.verdict.status == "unverified":
        return f"{sentence}; not yet proven in fresh processes.", "warning"
    return f"{sentence}.", "good"


def _speed(verdict: Verdict) -> str:
    """2.4×; where nothing is decided no estimate, but what it lies between."""
    if verdict.status != "undecided":
        return words.times(verdict.speedup)
    return f"{span(verdict.low, verdict.high)} times" if is_number(verdict.low, verdict.high) else "an unknown part of"


def _amount(objective: Objective, value: float) -> str:
    """31.0 GiB; 0.482 joules a sample."""
    if objective.name == "memory":
        return words.size(value)
    return f"{words.number(value)} {words.one_line(objective.unit)}"


def _evidence(result: TuneResult) -> str:
    """What the sentence leaves open: what would decide, what spoke against it, or how near the search came."""
    verdict, config = result.recommendation.verdict, result.recommendation.config
    if config.settings:
        return what_decides(verdict) if verdict.status == "undecided" else ""
    if verdict.quality_evidence and (verdict.quality == "failed" or verdict.status == "unverified"):
        return f"{_begin(words.one_line(verdict.quality_evidence).rstrip('.'))}."
    if verdict.status == "undecided":
        return f"{what_decides(verdict)} A search with a larger budget has room for them."
    return _how_near(result) if verdict.rounds == 0 and verdict.status != "unverified" else ""


def what_decides(verdict: Verdict) -> str:
    """About how many rounds would."""
    if not is_number(verdict.low, verdict.high):
        return "More rounds may decide it."
    if verdict.rounds_to_decide is None:
        return "The interval holds both a gain and none; more rounds may decide it."
    rounds = words.plural(verdict.rounds_to_decide, "round")
    return f"The interval holds both a gain and none; about {rounds} would decide it."


def _how_near(result: TuneResult) -> str:
    tried = [trial for trial in result.trials if trial.config.settings]
    measured = [trial.ratio for trial in tried if trial.ratio is not None and is_number(trial.ratio.speedup)]
    if not tried and result.space:
        return "Nothing was tried: the profile and the proof left no time for it; give a larger budget."
    if not tried:
        return (
            "Nothing was tried: no finding points to a setting that can be changed. --knobs A,B tries settings all the "
            "same; --dry-run shows which there are."
        )
    if not measured:
        return f"{len(tried):,} tried, and none could be measured."
    best = max(measured, key=lambda ratio: ratio.speedup)
    fastest = f"The fastest of {len(tried):,} tried was {gain(best)} as fast in the search"
    return f"{fastest}: too little to be told from chance, or not seen again."


def _next(result: TuneResult) -> tuple[Next, ...]:
    found = result.recommendation
    if found.command.function:
        return _next_of_function(result)
    command, verdict = words.one_line(found.command.display), found.verdict
    name = shlex.quote(words.one_line(config_file(result)))
    if verdict.status == "undecided":
        rounds = f"--rounds {verdict.rounds_to_decide} " if verdict.rounds_to_decide else ""
        decide = Next(command=f"advisor verify --config {name} {rounds}{command}", why="decides it in fresh processes")
        return (decide,) if found.config.settings else (_as_written(found.command.launcher, command),)
    if not found.config.settings or verdict.quality == "failed":
        return (_as_written(found.command.launcher, command),)
    train = Next(
        command=f"advisor run --config {name} {command}", why="trains with these settings; the script is not edited"
    )
    if verdict.status == "unverified":
        return train, Next(command=f"advisor verify --config {name} {command}", why="proves them in fresh processes")
    return (train,)


def _next_of_function(result: TuneResult) -> tuple[Next, ...]:
    """No command line can start it: all of it is said in Python."""
    found = result.recommendation
    command, verdict, name = found.command, found.verdict, words.one_line(config_file(result))
    function = words.one_line(command.function.partition("(")[0])
    as_written = Next(command=f"{function}()", why="as it is written")
    if not found.config.settings or verdict.quality == "failed":
        return (as_written,)
    save = Next(command=f"result.config.save({json.dumps(name)})", why="keeps these settings")
    decides = "decides it" if verdict.status == "undecided" else "proves them"
    prove = Next(command=function_call(command, "verify", name), why=f"{decides} in fresh processes")
    train = Next(
        command=f"advisor.apply({json.dumps(name)})",
        why=f"before {function}() is called: it trains with these settings",
    )
    written = () if result.files else (save,)
    if verdict.status == "undecided":
        return *written, prove
    return (*written, train, prove) if verdict.status == "unverified" else (*written, train)


def _as_written(launcher: str, command: str) -> Next:
    return Next(command=f"{words.one_line(launcher)} {command}", why="the script as written")


def config_file(result: TuneResult) -> str:
    """The file that the settings were written to, or will be."""
    return next((name for name in result.files if name.endswith((".yaml", ".yml"))), CONFIG_FILE)


def _failed(result: TuneResult) -> TuneVerdict:
    failure = result.failure
    assert failure is not None
    command = result.recommendation.command
    again = words.one_line(f"advisor tune {command.display}")
    if command.function:
        again = function_call(command, "tune")
    searched = "nothing was searched" if len(result.trials) <= 1 else "what was tried until then follows"
    return TuneVerdict(
        sentence=f"Your script {what_failed(failure)}; {searched}.",
        tone="failed",
        evidence="",
        next=(Next(command=again, why="again, once the script runs"),),
    )
