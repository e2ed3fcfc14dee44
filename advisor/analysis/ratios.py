"""Comparison of neighbouring windows: what-ifs against the baseline's loop, hooks against bare steps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from .. import knobs, stats, whatif, wire
from ..runtime.session_result import SessionResult
from ..types import Config, Overhead, Ratio, WhatIf
from ..wire import WindowRole
from .loader_starts import apart, in_step_s, typical_s
from .stalls import without_stalls

NEIGHBOURS = 1
"""Neighbours on each side: the nearer in time, the more alike the machine was."""
LEAST_UPDATES = 2
"""Updates that a window needs: one has no spread."""
ENOUGH_ROUNDS = 3
QUARTILES_OF_SIGMA = 1.349
"""Distance between the quartiles of normal noise, in standard deviations."""
MEDIAN_ERROR = 1.2533
"""Ratio of a median's standard error to a mean's: the square root of half pi."""
WIDEST_OVERHEAD = 0.04
"""Width of the overhead's interval, as a fraction of an update, above which only its upper end says anything: hooks
cost up to 1%, and windows on a shared machine differ by more."""
T_QUANTILE_FEW = 2.6
"""Student's t at 97.5% for about five degrees of freedom: one or two rounds, each with its batches behind it. It is
larger where the windows have fewer updates behind them."""
T_OF_FIVE = stats.student_t_quantile(0.975, 4)
"""Student's t of five values: it does not hide the scatter of two or three behind their own uncertainty."""


@dataclass(frozen=True)
class Beside:
    """Windows that others are compared with."""

    role: WindowRole = WindowRole.BASELINE
    config: Config | None = None
    """Their configuration; None if the role says it."""

    def holds(self, window: wire.Window) -> bool:
        return window.role is self.role and (self.config is None or Config.of(window.config) == self.config)


BASELINE = Beside()


@dataclass(frozen=True)
class LogRate:
    """Logarithm of a rate over some windows."""

    value: float
    error: float
    """Its standard error."""
    degrees: int
    """Degrees of freedom of that error."""


@dataclass
class Rounds:
    """Log speed-ups of the rounds, one after the other."""

    logs: list[float]
    errors: list[float]
    """Their standard errors by the scatter within windows."""
    degrees: float = 0.0
    """Degrees of freedom behind these errors, over all rounds."""


Rate = Callable[[Sequence[wire.WindowDone]], LogRate]
"""Function of windows to a rate over all of them."""


def what_ifs(result: SessionResult) -> tuple[WhatIf, ...]:
    """Return every what-if that was run, with its windows' speed-up over their neighbours in the same script run."""
    found = []
    for what_if in whatif.all_what_ifs():
        measured = _drained(result, what_if.id) if what_if.drain is not None else _entered(result, what_if)
        if measured is not None:
            found.append(measured)
    return tuple(found)


def overhead(result: SessionResult) -> Overhead:
    """Compare hooked windows with the bare ones beside them, by their median updates.

    The cost of hooks is the same in every update, so medians show it. Means would show which window had the longer
    stall.
    """
    windows = _ordered(result)
    rounds = _log_ratios(result, lambda done: result.windows[done.id].role is WindowRole.BARE, rate=_log_median_rate)
    baselines = [done for done in windows if _is_baseline(done, result)]
    if not rounds.logs or not baselines:
        return Overhead(fraction=None)
    value, low, high = _interval(rounds)
    update_s = sum(sum(done.wall_s) for done in baselines) / sum(len(done.wall_s) for done in baselines)
    # A bare window is the faster one: its speed-up over its neighbours is the cost of the hooks.
    fraction, least, most = (1 - 1 / ratio for ratio in (value, low, high))
    known = most - least <= WIDEST_OVERHEAD
    return Overhead(
        fraction=max(0.0, fraction) if known else None,
        low=least,
        high=most,
        hooks_us_per_update=fraction * update_s * 1e6 if known and least > 0 else None,
    )


def speedup(
    result: SessionResult,
    ids: Collection[str],
    epoch_samples: int | None,
    *,
    across_script_runs: bool = False,
    beside: Beside = BASELINE,
) -> Ratio | None:
    """Return the ratio of these windows' samples/s to their neighbours' in the same script run.

    `beside` says which windows to compare with: the baseline's, unless it says otherwise.

    The cost of starting the loader's workers is charged once per epoch (`epoch_samples` long), however many epochs the
    windows saw: some window of each configuration's loader must have seen a start.
    `across_script_runs` is for settings that need their own script run: their neighbours are in those before and after.
    """
    rounds = _log_ratios(
        result,
        lambda done: done.id in ids,
        rate=_log_sample_rate,
        epoch_samples=epoch_samples,
        across_script_runs=across_script_runs,
        beside=beside,
    )
    if not rounds.logs:
        return None
    value, low, high = _interval(rounds)
    return Ratio(speedup=value, low=low, high=high, rounds=len(rounds.logs))


def chained(first: Ratio, then: Ratio) -> Ratio:
    """Return the ratio of two steps one after the other; its interval holds the errors of both."""
    value = math.log(first.speedup) + math.log(then.speedup)
    below = math.hypot(*(math.log(one.speedup / one.low) for one in (first, then)))
    above = math.hypot(*(math.log(one.high / one.speedup) for one in (first, then)))
    return Ratio(speedup=math.exp(value), low=math.exp(value - below), high=math.exp(value + above), rounds=then.rounds)


def _entered(result: SessionResult, what_if: whatif.WhatIf) -> WhatIf | None:
    names = {window.id for window in result.windows.values() if window.what_if == what_if.id}
    rate = _log_sample_rate if what_if.per_sample else _log_update_rate
    rounds = _log_ratios(result, lambda done: done.id in names, rate=rate, leaves_stalls_out=True)
    if not rounds.logs:
        return None
    value, low, high = _interval(rounds)
    return WhatIf(name=what_if.id, speedup=value, low=low, high=high, rounds=len(rounds.logs))


def _drained(result: SessionResult, name: str) -> WhatIf | None:
    """Compare the loader's own pace with the loop's, both in samples (or batches) per second."""
    drained = result.outcomes.get(name)
    baselines = [done for done in _ordered(result) if _is_baseline(done, result)]
    if not isinstance(drained, wire.WindowDone) or not baselines:
        return None
    batches, seconds = drained.extra.get("batches"), drained.extra.get("seconds")
    updates = sum(len(done.wall_s) for done in baselines)
    if updates < 2:  # a pace without an interval says nothing
        return None
    delivered = sum(done.loader.batches for done in baselines if done.loader is not None)
    per_update = (delivered or sum(sum(done.micro_steps) for done in baselines)) / updates
    if not batches or not seconds or not per_update:
        return None
    alone_s = seconds / batches * per_update
    loop = stats.rate_interval([1.0] * sum(len(d.wall_s) for d in baselines), [s for d in baselines for s in d.wall_s])
    return WhatIf(
        name=name,
        speedup=1 / (loop.value * alone_s),
        low=1 / (loop.high * alone_s),
        high=1 / (loop.low * alone_s) if loop.low > 0 else 1 / (loop.value * alone_s),
        rounds=1,
        note="the loop if its compute cost nothing",
    )


def _ordered(result: SessionResult) -> list[wire.WindowDone]:
    """Return the counted windows in the order they were run, one script run after the other."""
    done = [outcome for outcome in result.outcomes.values() if isinstance(outcome, wire.WindowDone) and outcome.wall_s]
    return sorted(done, key=lambda outcome: (result.script_run_of[outcome.id], outcome.start_s))


def _is_baseline(done: wire.WindowDone, result: SessionResult) -> bool:
    return result.windows[done.id].role is WindowRole.BASELINE


def _comparable(done: wire.WindowDone, result: SessionResult, script_run: int | None, beside: Beside) -> bool:
    """Return True if the window is one to compare with, of that script run (None: any), and has enough updates."""
    alike = script_run is None or result.script_run_of[done.id] == script_run
    return beside.holds(result.windows[done.id]) and alike and len(done.wall_s) >= LEAST_UPDATES


def _log_ratios(
    result: SessionResult,
    chosen: Callable[[wire.WindowDone], bool],
    *,
    rate: Rate,
    epoch_samples: int | None = None,
    across_script_runs: bool = False,
    beside: Beside = BASELINE,
    leaves_stalls_out: bool = False,
) -> Rounds:
    """Return log speed-ups, with standard errors, of the chosen windows over base windows beside them.

    The base windows are from the same script run, unless `across_script_runs` is set.
    """
    windows = [apart(done) if epoch_samples else done for done in _ordered(result)]
    if leaves_stalls_out:  # a setting's own stalls count; what a what-if takes away makes none
        windows = without_stalls(windows, result)
    found = Rounds([], [])
    for position, done in enumerate(windows):
        if not chosen(done) or len(done.wall_s) < LEAST_UPDATES:
            continue
        script_run = None if across_script_runs else result.script_run_of[done.id]
        baselines = [(at, other) for at, other in enumerate(windows) if _comparable(other, result, script_run, beside)]
        before = [baseline for at, baseline in baselines if at < position][-NEIGHBOURS:]
        after = [baseline for at, baseline in baselines if at > position][:NEIGHBOURS]
        neighbours = [*before, *after]
        if not neighbours:
            continue
        in_one_unit, neighbours = _in_one_unit(rate, done, neighbours)
        own, baseline = in_one_unit([done]), in_one_unit(neighbours)
        gain = own.value - baseline.value
        if epoch_samples:
            own_s, other_s = _beside_an_epoch_s(result, done, neighbours[0], epoch_samples)
            gain += _log_with(neighbours, epoch_samples, other_s) - _log_with([done], epoch_samples, own_s)
        found.logs.append(gain)
        found.errors.append(math.hypot(own.error, baseline.error))
        found.degrees += _joint_degrees(own, baseline)
    return found


def _in_one_unit(
    rate: Rate, done: wire.WindowDone, neighbours: list[wire.WindowDone]
) -> tuple[Rate, list[wire.WindowDone]]:
    """Return a rate that a window and those beside it share, and those of them that have it.

    A window whose samples could not be counted has a rate of updates only, which is no match for one of samples.
    """
    counted = [other for other in neighbours if _counts_samples(other)]
    if rate is not _log_sample_rate or (_counts_samples(done) and counted == neighbours):
        return rate, neighbours
    return (rate, counted) if _counts_samples(done) and counted else (_log_update_rate, neighbours)


def _counts_samples(window: wire.WindowDone) -> bool:
    return all(count is not None for count in window.samples)


def _joint_degrees(one: LogRate, other: LogRate) -> float:
    """Return the degrees of freedom of the difference of two rates (Welch 1947; Satterthwaite 1946)."""
    variances = [one.error**2, other.error**2]
    if not sum(variances) > 0:
        return float(one.degrees + other.degrees)
    parts = variances[0] ** 2 / one.degrees + variances[1] ** 2 / other.degrees
    return sum(variances) ** 2 / parts


def _log_sample_rate(windows: Sequence[wire.WindowDone]) -> LogRate:
    """Return the log of samples/s over the windows, whose samples are known, with its standard error."""
    return _log_rate(windows, [float(count or 0) for window in windows for count in window.samples])


def _log_update_rate(windows: Sequence[wire.WindowDone]) -> LogRate:
    return _log_rate(windows, [1.0 for window in windows for _wall in window.wall_s])


def _log_rate(windows: Sequence[wire.WindowDone], amounts: Sequence[float]) -> LogRate:
    """Return the log of a rate over the windows, with its standard error from batch means."""
    rate = stats.rate_interval(amounts, [wall for window in windows for wall in in_step_s(window)])
    half = (rate.high - rate.low) / 2
    degrees = stats.batch_count(len(amounts)) - 1
    error = half / rate.value / 2 if rate.value else 0.0
    # The quantile by which few values widen `half` is applied to the rounds: here it counts as for five values at most.
    return LogRate(
        math.log(rate.value), error * min(1.0, T_OF_FIVE / stats.student_t_quantile(0.975, degrees)), degrees
    )


def _log_median_rate(windows: Sequence[wire.WindowDone]) -> LogRate:
    """Return the log rate of the median update; its standard error assumes normal noise with the same quartiles."""
    seconds = [wall for window in windows for wall in in_step_s(window)]
    middle = statistics.median(seconds)
    spread = (stats.percentile(seconds, 75) - stats.percentile(seconds, 25)) / QUARTILES_OF_SIGMA
    error = MEDIAN_ERROR * spread / middle / math.sqrt(len(seconds))
    return LogRate(-math.log(middle), error, len(seconds) - 1)


def _log_with(windows: Sequence[wire.WindowDone], epoch_samples: int, beside_s: float) -> float:
    """Return the log of how much longer an epoch takes with what is beside it; 0 if the samples are not known."""
    samples = sum(count or 0 for window in windows for count in window.samples)
    if not samples:
        return 0.0
    epoch_s = sum(sum(in_step_s(window)) for window in windows) * epoch_samples / samples
    return math.log1p(beside_s / epoch_s)


def _beside_an_epoch_s(
    result: SessionResult, done: wire.WindowDone, other: wire.WindowDone, epoch_samples: int
) -> tuple[float, float]:
    """Return what an epoch of each window has beside its updates: the start of its loader, and an evaluation that the
    settings change. What was not seen for both is charged to neither: it may be the same."""
    found = [(typical_s(result, done), typical_s(result, other))]
    if _of_the_evaluation(result.windows[done.id]) != _of_the_evaluation(result.windows[other.id]):
        found.append((_evaluation_s(result, done, epoch_samples), _evaluation_s(result, other, epoch_samples)))
    seen = [(own_s, other_s) for own_s, other_s in found if own_s is not None and other_s is not None]
    return sum(own_s for own_s, _ in seen), sum(other_s for _, other_s in seen)


def _evaluation_s(result: SessionResult, done: wire.WindowDone, epoch_samples: int) -> float | None:
    """Return the seconds of evaluation for an epoch, from all windows that evaluate alike; None if none has seen any.

    An epoch evaluates at its end, or every few updates.
    """
    wanted = _of_the_evaluation(result.windows[done.id])
    at_ends_s: list[float] = []
    inside_s, samples = 0.0, 0
    for name, outcome in result.outcomes.items():
        window = result.windows[name]
        if not isinstance(outcome, wire.WindowDone) or _of_the_evaluation(window) != wanted:
            continue
        spent_s = outcome.off_step_s.get("evaluation", ())
        if window.kind == "epoch_end":
            at_ends_s.append(max(spent_s, default=0.0))
        else:
            inside_s += sum(spent_s)
            samples += sum(count or 0 for count in outcome.samples)
    if any(at_ends_s):
        return statistics.median(at_ends_s)
    return inside_s * epoch_samples / samples if inside_s and samples else None


def _of_the_evaluation(window: wire.Window) -> Config:
    """Return the settings that change the evaluation itself."""
    return Config.of({name: value for name, value in window.config.items() if knobs.get(name).shortens_evaluation})


def _interval(rounds: Rounds) -> tuple[float, float, float]:
    """Return the speed-up with its interval by Student's t over the rounds.

    With fewer than three rounds, the spread within windows counts instead if it is larger.
    """
    logs = rounds.logs
    mean = math.fsum(logs) / len(logs)
    between = math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1) if len(logs) > 1 else 0.0
    if len(logs) >= ENOUGH_ROUNDS:
        # Batches that workers deliver in bursts scatter within a window, but not the window's overall rate.
        half = stats.student_t_quantile(0.975, len(logs) - 1) * math.sqrt(between / len(logs))
    else:
        within = math.fsum(error * error for error in rounds.errors) / len(logs)
        quantile = max(T_QUANTILE_FEW, stats.student_t_quantile(0.975, max(1, math.floor(rounds.degrees))))
        half = quantile * math.sqrt(max(within, between) / len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
