"""A search by losses in the terminal and as JSON: the verdict first, the pairs of trainings, then the candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ...plural import plural
from ...types import LearningPair, LearningResult, LearningTrial, SettingValue
from ...types.learning import recommends
from .. import format
from ..json_contract import FAILURE, chosen, command_json, json_safe
from ..profile.circumstances import hardware_line
from ..terminal import TONES, grid, print_safely, stderr_lines, table
from ..trial_format import setting

Tone = Literal["good", "neutral", "warning", "critical", "failed"]
KEEP = "keep the unmodified script"
MOST_TRIALS = 30
_FAILED = {
    "diverged": "diverged",
    "nan": "not finite",
    "oom": "out of memory",
    "crash": "crashed",
    "hang": "hung",
    "refused": "refused",
    "stopped": "ended early",
}


@dataclass(frozen=True, kw_only=True)
class LearningSentence:
    sentence: str
    tone: Tone
    evidence: str = ""


def render_learning(result: LearningResult, console: Console) -> None:
    """Print the search, without any character that the terminal's encoding lacks."""
    print_safely(list(_parts(result)), console)


def sentence_of_learning(result: LearningResult) -> LearningSentence:
    """Return the verdict in one sentence, its tone, and its basis."""
    if result.failure is not None:
        why = format.one_line(result.failure.message)
        if result.failure.kind == "refused":
            return LearningSentence(sentence=f"Your script cannot be judged by a loss: {why}.", tone="failed")
        return LearningSentence(sentence=f"Your script failed: {why}.", tone="failed")
    if not result.best:
        what = "lowers the loss" if result.objective == "loss_at_time" else "reaches the loss sooner"
        return LearningSentence(
            sentence=f"Nothing was found that {what}: {KEEP}.", tone="neutral", evidence=_ended(result)
        )
    sentence, tone = _of_verdict(result)
    return LearningSentence(sentence=sentence, tone=tone, evidence=_evidence(result))


def _of_verdict(result: LearningResult) -> tuple[str, Tone]:
    verdict, settings = result.verdict, described(result.best)
    if recommends(verdict):
        return f"With {settings} {_gain(result)}.", "good"
    match verdict.status:
        case "loses at the end":
            how = "does not get as low" if result.judged_by == "lowest" else "loses at the end"
            return f"{settings} learns sooner and {how}: {KEEP}.", "critical"
        case "slower" | "worse":
            return f"The best of the search, {settings}, is no better with other seeds: {KEEP}.", "neutral"
        case "no significant gain":
            return f"The best of the search, {settings}, gains nothing worth having: {KEEP}.", "neutral"
        case "undecided":
            return f"Undecided: {settings} was the best of the search, and other seeds do not prove it.", "warning"
        case _:
            return f"Not verified: {settings} was the best of the search.", "warning"


def _gain(result: LearningResult) -> str:
    verdict = result.verdict
    seeds = plural(len(verdict.pairs), "seed")
    if verdict.status == "faster":
        interval = format.interval(verdict.low, verdict.high)
        times = format.times(verdict.speedup)
        which = f"lowest {result.loss}" if result.judged_by == "lowest" else f"{result.loss} at the horizon's end"
        return f"your script reaches its {which} {times} as soon ({interval}, {seeds})"
    before, after = _ends(verdict.pairs)
    which = f"lowest {result.loss} within" if result.judged_by == "lowest" else f"{result.loss} after"
    return f"the {which} {result.horizon} is {_loss(after)} instead of {_loss(before)} ({seeds})"


def _evidence(result: LearningResult) -> str:
    verdict = result.verdict
    why = format.one_line(verdict.why)
    return f"{why[:1].upper()}{why[1:]}." if why else ""


def _ended(result: LearningResult) -> str:
    return f"{plural(len(result.trials), 'training')} tried; {result.ended}." if result.ended else ""


def render_learning_verdict(result: LearningResult, console: Console) -> None:
    """Print the verdict and the next command alone, for a reader who has the rest as a page."""
    print_safely([*_verdict(result, sentence_of_learning(result)), _next(result)], console)


def _verdict(result: LearningResult, verdict: LearningSentence) -> Iterator[RenderableType]:
    if result.failure is not None and result.failure.stderr_tail.strip():
        yield from stderr_lines(result.failure)
    yield Text(verdict.sentence, style=TONES[verdict.tone])
    if verdict.evidence:
        yield Text(verdict.evidence)


def _parts(result: LearningResult) -> Iterator[RenderableType]:
    verdict = sentence_of_learning(result)
    yield from _verdict(result, verdict)
    for part in (_pairs(result), _trials(result), _skipped(result)):
        if part is not None:
            yield Text()
            yield part
    yield Text()
    for name, text in facts(result):
        yield Text(f"{name}: {text}", style="dim")
    yield Text(hardware_line(result.profile.hardware), style="dim")
    yield Text()
    yield _next(result)


def facts(result: LearningResult) -> list[tuple[str, str]]:
    """Return what the numbers stand on, as names and texts."""
    found = []
    if result.horizon_updates:
        took = format.duration(result.horizon_s)
        updates = plural(result.horizon_updates, "update")
        found.append(
            ("Horizon", f"{updates} of the baseline, in {took}; settings begin with the second update of each training")
        )
        found.append(("Loss", f"{result.loss}{_caveat(result)}"))
    tested = result.range_test
    if tested is not None and tested.suggestion is not None:
        rate, low, high = tested.suggestion.rate, tested.suggestion.low, tested.suggestion.high
        found.append(("Range test", f"suggests a rate of {rate:.2g} ({low:.2g} to {high:.2g})"))
    if result.always:
        found.append(("Set in all trainings", described(result.always)))
    found += [("Note", format.one_line(note)) for note in result.notes]
    found += [("Wrote", format.one_line(name)) for name in result.files]
    return found


def _caveat(result: LearningResult) -> str:
    if result.judged_by == "lowest":
        return ", the lowest within the horizon: that of the baseline rises again"
    if result.loss == "training loss":
        return ", over batches that were seen before: overfitting does not show"
    return ", of batches not seen before" if result.loss == "training loss of the first epoch" else ""


def _next(result: LearningResult) -> RenderableType:
    return Text.assemble(("Next: ", "dim"), (next_command(result), "bold"))


def next_command(result: LearningResult) -> str:
    """Return the command that a reader would type next."""
    if result.files and recommends(result.verdict):
        return f"advisor run --config {result.files[0]} {result.profile.command.display}"
    return f"advisor report --html {result.profile.run_id}"


def _pairs(result: LearningResult) -> RenderableType | None:
    pairs = result.verdict.pairs
    if not pairs:
        return None
    rows = table("seed", "baseline, to the target", "with settings", f"baseline, {judged(result)}", "with settings")
    for column in rows.columns:
        column.justify = "right"
    for row in pair_rows(pairs):
        rows.add_row(*row)
    return _under("Verified in fresh processes, with other seeds than the search's", rows)


def judged(result: LearningResult) -> str:
    """Return the loss of a training that counts, in words."""
    return "lowest loss" if result.judged_by == "lowest" else "loss at the end"


def pair_rows(pairs: Sequence[LearningPair]) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the table of pairs."""
    return [
        (
            str(pair.seed),
            _reached(pair.baseline_s),
            _failed(pair.message) or _reached(pair.candidate_s),
            _loss(pair.baseline_loss),
            _loss(pair.candidate_loss),
        )
        for pair in pairs
    ]


def _failed(message: str) -> str:
    kind = message.partition(":")[0]
    return _FAILED.get(kind, "failed") if message else ""


def _reached(seconds: float | None) -> str:
    return "not reached" if seconds is None else format.duration(seconds)


def _trials(result: LearningResult) -> RenderableType | None:
    if not result.trials:
        return None
    rows = table("updates", "loss", "baseline", "settings", "reason")
    for column in rows.columns[:3]:
        column.justify = "right"
    for row in trial_rows(result)[:MOST_TRIALS]:
        rows.add_row(*row)
    return _under("Candidates, by the length of their training", rows)


def trial_rows(result: LearningResult) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the table of candidates: the longest trainings first, and the lowest losses among them."""
    ordered = sorted(result.trials, key=lambda one: (-one.rung, one.end_loss is None, one.end_loss or 0.0))
    return [
        (
            f"{one.updates:,}",
            _outcome(one),
            _loss(one.baseline_loss),
            described(one.settings),
            format.one_line(one.message or one.reason),
        )
        for one in ordered
    ]


def _outcome(trial: LearningTrial) -> str:
    return _loss(trial.end_loss) if trial.end == "measured" else _FAILED.get(trial.end, trial.end)


def _skipped(result: LearningResult) -> RenderableType | None:
    if not result.skipped:
        return None
    rows = grid("", "fold")
    for one in result.skipped:
        rows.add_row(format.one_line(one.what), Text(format.one_line(one.why), style="dim"))
    return _under("Not tried", rows)


def _under(title: str, content: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), Padding(content, (0, 0, 0, 2)))


def described(settings: Mapping[str, SettingValue]) -> str:
    """Return settings in words."""
    return ", ".join(setting(name, value) for name, value in settings.items()) or "the unmodified script"


def _ends(pairs: Sequence[LearningPair]) -> tuple[float | None, float | None]:
    before = [pair.baseline_loss for pair in pairs if pair.baseline_loss is not None]
    after = [pair.candidate_loss for pair in pairs if pair.candidate_loss is not None]
    return (sum(before) / len(before) if before else None), (sum(after) / len(after) if after else None)


def _loss(value: float | None) -> str:
    return format.NOTHING if value is None else f"{value:.4g}"


_TRIAL = (
    "number",
    "settings",
    "reason",
    "rung",
    "updates",
    "end",
    "message",
    "end_loss",
    "baseline_loss",
    "to_target_s",
    "seconds",
)


def learning_json(result: LearningResult) -> dict[str, Any]:
    """Return the search as a dict for `json.dumps(…, allow_nan=False)`; `failure` is present only if there was one."""
    document: dict[str, Any] = {
        "version": result.version,
        "command": command_json(result.profile.command),
        "objective": result.objective,
        "horizon": {"asked": result.horizon, "updates": result.horizon_updates, "seconds": result.horizon_s},
        "loss": result.loss,
        "target": result.target,
        "judged_by": result.judged_by,
        "verdict": result.verdict,
        "settings": result.recommendation.config.as_dict(),
        "best": {"settings": result.best, "updates": result.best_updates},
        "always": result.always,
        "baseline": result.baseline,
        "trials": [chosen(trial, _TRIAL) for trial in result.trials],
        "range_test": chosen(result.range_test, ("script_rate", "bracket", "suggestion", "abstained", "updates")),
        "skipped": [{"what": one.what, "why": one.why} for one in result.skipped],
        "notes": result.notes,
        "files": result.files,
        "ended": result.ended,
    }
    if result.failure is not None:
        document["failure"] = chosen(result.failure, FAILURE)
    safe: dict[str, Any] = json_safe(document)
    return safe
