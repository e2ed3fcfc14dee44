"""Formatting shared by all parts of a search's report: settings, gains, memory, and a configuration's trial."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..types import Config, Ratio, SettingValue, Trial, TuneResult, Verdict
from . import format

BASELINE_LABEL = "baseline"
LONGEST_VALUE = 60
"""Most characters shown of one setting; no knob has a value that long."""
EFFECT_DESCRIPTIONS = {
    "exact": "nothing",
    "resampled": "random numbers",
    "numerics": "rounding",
    "training": "training",
}
EFFECTS = tuple(EFFECT_DESCRIPTIONS)
"""Effects on training, the mildest first."""


def setting(name: str, value: SettingValue) -> str:
    """Format a setting: num_workers=4."""
    text = f"{format.one_line(name)}={format.one_line(str(value))}"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def describe(config: Config) -> str:
    """Describe a configuration: num_workers=4, precision=bf16; "baseline" if nothing is set."""
    return ", ".join(setting(name, value) for name, value in config.settings) or BASELINE_LABEL


GREATEST = 1e18
"""Upper bound of every measured ratio, count, time or memory; a larger value is shown as it is, but not used."""


def is_number(*values: float | None) -> bool:
    """Return whether all values are above zero and of a usable size, as measured values are."""
    return all(value is not None and 1 / GREATEST < value < GREATEST for value in values)


def gain(ratio: Ratio | Verdict) -> str:
    """Describe a gain: 2.4× (2.2–2.6); without an interval that says nothing, and the interval alone if undecided."""
    if isinstance(ratio, Verdict) and ratio.status == "undecided":
        return f"{span(ratio.low, ratio.high)}×" if is_number(ratio.low, ratio.high) else format.NOTHING
    if ratio.low == ratio.high or not is_number(ratio.low, ratio.high):
        return format.times(ratio.speedup)
    return f"{format.times(ratio.speedup)} ({format.interval(ratio.low, ratio.high)})"


LEAST_SHOWN, MOST_SHOWN = 0.01, 100.0
"""Bounds beyond which an end of an interval says only that nothing is known there."""


def span(low: float, high: float) -> str:
    """Format an interval: 0.97–1.4; less than 0.01 to more than 100 if it hardly bounds anything."""
    if low >= LEAST_SHOWN and high <= MOST_SHOWN:
        return format.interval(low, high)
    begin = format.times(low)[:-1] if low >= LEAST_SHOWN else f"less than {LEAST_SHOWN:g}"
    end = format.times(high)[:-1] if high <= MOST_SHOWN else f"more than {MOST_SHOWN:g}"
    return f"{begin} to {end}"


def moved(own_spread: float | None) -> str | None:
    """Describe in a clause how much baseline processes differed; None if that is not known."""
    if own_spread is None or not math.isfinite(own_spread):
        return None
    by = format.percent(own_spread) if own_spread < 1 else f"a factor of {format.times(1 + own_spread)[:-1]}"
    return f"the baseline's own speed varied by {by} between processes"


def interval_of(ratio: Ratio | None) -> str:
    return "" if ratio is None or ratio.low == ratio.high else format.interval(ratio.low, ratio.high)


def change(before: float | None, after: float | None) -> str:
    """Format a change: +16%, −8%; empty if one of the values was not measured."""
    if before is None or after is None or not is_number(before, after):
        return ""
    return f"{after / before - 1:+.0%}".replace("+0%", "±0%").replace("-0%", "±0%").replace("-", "−")


def changes_training(trial: Trial) -> bool:
    return trial.effect == "training"


def baseline_trial(result: TuneResult) -> Trial | None:
    """Return trial 0, the baseline."""
    return result.trials[0] if result.trials and not result.trials[0].config.settings else None


def trial_of(result: TuneResult, config: Config) -> Trial | None:
    """Return the trial in which the search measured this configuration."""
    return next((trial for trial in result.trials if trial.config == config and trial.outcome.kind == "measured"), None)


def effects(result: TuneResult) -> Mapping[str, str]:
    """Return knob → its effect on training here, as far as it was open or tried alone."""
    tried = {trial.config.settings[0][0]: trial.effect for trial in result.trials if len(trial.config.settings) == 1}
    return tried | {knob.id: knob.effect for knob in result.space}


def peaks(result: TuneResult, config: Config) -> tuple[int | None, int | None]:
    """Return the peak bytes of the baseline and of a configuration."""
    before, after = baseline_trial(result), trial_of(result, config)
    return before.outcome.peak_bytes if before else None, after.outcome.peak_bytes if after else None
