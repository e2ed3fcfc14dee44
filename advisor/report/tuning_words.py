"""What all parts of a search's report say alike: settings, gains, memory, and where a configuration was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..types import Config, Ratio, SettingValue, Trial, TuneResult, Verdict
from . import words

AS_WRITTEN = "the script as written"
LONGEST_VALUE = 60
"""Characters of one setting; no knob has a value so long."""
TIER_WORDS = {
    "exact": "nothing",
    "resampled": "random draws",
    "numerics": "rounding",
    "training": "the training",
}
TIERS = tuple(TIER_WORDS)
"""Mildest first."""


def setting(name: str, value: SettingValue) -> str:
    """num_workers=4."""
    told = f"{words.one_line(name)}={words.one_line(str(value))}"
    return told if len(told) <= LONGEST_VALUE else f"{told[:LONGEST_VALUE]}…"


def told(config: Config) -> str:
    """num_workers=4, precision=bf16; "the script as written" where nothing is set."""
    return ", ".join(setting(name, value) for name, value in config.settings) or AS_WRITTEN


GREATEST = 1e18
"""No ratio, count, time or memory that was measured lies above; what does is shown as it is, and not reckoned with."""


def is_number(*values: float | None) -> bool:
    """Whether all are above zero and of a size to reckon with, as what was measured is."""
    return all(value is not None and 1 / GREATEST < value < GREATEST for value in values)


def gain(ratio: Ratio | Verdict) -> str:
    """2.4× (2.2–2.6); the interval is left out where it says nothing, and all but it where nothing is decided."""
    if isinstance(ratio, Verdict) and ratio.status == "undecided":
        return f"{span(ratio.low, ratio.high)}×" if is_number(ratio.low, ratio.high) else words.NOTHING
    if ratio.low == ratio.high or not is_number(ratio.low, ratio.high):
        return words.times(ratio.speedup)
    return f"{words.times(ratio.speedup)} ({words.interval(ratio.low, ratio.high)})"


LEAST_TOLD, MOST_TOLD = 0.01, 100.0
"""An end of an interval beyond these says only that nothing is known there."""


def span(low: float, high: float) -> str:
    """0.97–1.4; less than 0.01 to more than 100, of an interval that hardly bounds anything."""
    if low >= LEAST_TOLD and high <= MOST_TOLD:
        return words.interval(low, high)
    begin = words.times(low)[:-1] if low >= LEAST_TOLD else f"less than {LEAST_TOLD:g}"
    end = words.times(high)[:-1] if high <= MOST_TOLD else f"more than {MOST_TOLD:g}"
    return f"{begin} to {end}"


def moved(own_spread: float | None) -> str | None:
    """How much processes of the script as written differed, as a clause; None where that is not known."""
    if own_spread is None or not math.isfinite(own_spread):
        return None
    by = words.percent(own_spread) if own_spread < 1 else f"a factor of {words.times(1 + own_spread)[:-1]}"
    return f"the script's own speed moved by {by} between processes"


def interval_of(ratio: Ratio | None) -> str:
    return "" if ratio is None or ratio.low == ratio.high else words.interval(ratio.low, ratio.high)


def change(before: float | None, after: float | None) -> str:
    """+16%, −8%; empty where one of them was not measured."""
    if before is None or after is None or not is_number(before, after):
        return ""
    return f"{after / before - 1:+.0%}".replace("+0%", "±0%").replace("-0%", "±0%").replace("-", "−")


def changes_training(trial: Trial) -> bool:
    return trial.tier == "training"


def as_written(result: TuneResult) -> Trial | None:
    """Trial 0."""
    return result.trials[0] if result.trials and not result.trials[0].config.settings else None


def trial_of(result: TuneResult, config: Config) -> Trial | None:
    """Where this configuration was measured in the search."""
    return next((trial for trial in result.trials if trial.config == config and trial.outcome.kind == "measured"), None)


def tiers(result: TuneResult) -> Mapping[str, str]:
    """Knob → its tier on this workload, as far as it was open or tried alone."""
    tried = {trial.config.settings[0][0]: trial.tier for trial in result.trials if len(trial.config.settings) == 1}
    return tried | {knob.id: knob.tier for knob in result.space}


def peaks(result: TuneResult, config: Config) -> tuple[int | None, int | None]:
    """Peak bytes of the script as written, and of a configuration."""
    before, after = as_written(result), trial_of(result, config)
    return before.outcome.peak_bytes if before else None, after.outcome.peak_bytes if after else None
