"""Changes that the recommended settings bring, in plain words: batch, rounding, draws, memory, start-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ... import knobs
from ...knobs import global_batch, num_workers
from ...knobs._loader import workers_with
from ...plural import plural
from ...repeated_draws import Workers, add_repeats
from ...spelling import parameter
from ...types import SettingValue, TuneResult
from .. import format
from ..profile.health import busy_machine
from ..trial_format import baseline_trial, change, effects, is_number, peaks, setting, trial_of

NOT_IN_THE_FIRST = "the first epoch is as fast as before: the gain begins with the second"
SHORT_LAST = 0.2
"""Fraction of a batch by which a short last one of each epoch may lower the mean; less has another reason."""
SAME = 0.02
"""Difference, as a fraction, below which the gain over the whole training is that of its updates."""


@dataclass(frozen=True, kw_only=True)
class Change:
    topic: str
    text: str


def changes(result: TuneResult) -> tuple[Change, ...]:
    """Return the changes of the recommended settings; empty if the baseline is recommended."""
    config = result.recommendation.config
    if not config.settings:
        return ()
    settings = config.as_dict()
    plain = [
        Change(topic=topic, text=text)
        for knob in knobs.all_knobs()
        if knob.noticed is not None and settings.get(knob.id)
        for topic, text in [knob.noticed(settings)]
    ]
    found = [
        _batch(result, settings),
        *_rounding(result, settings),
        *_draws(result, settings),
        _memory(result),
        *plain,
        *_start_up(result),
        *_whole_training(result),
        *_chosen_on_a_busy_machine(result, settings),
    ]
    to_know = [Change(topic="Note", text=format.one_line(note).rstrip(".")) for note in result.recommendation.notes]
    return _by_topic([*found, *_arguments(result), *to_know])


def _by_topic(found: list[Change]) -> tuple[Change, ...]:
    """Join the changes of each topic into one line, in the order in which the topics came up."""
    topics = dict.fromkeys(one.topic for one in found)
    return tuple(
        Change(topic=topic, text="; ".join(one.text for one in found if one.topic == topic)) for topic in topics
    )


def _batch(result: TuneResult, settings: dict[str, SettingValue]) -> Change:
    baseline = _baseline_samples(result)
    wanted = knobs.samples_per("update", settings)
    if isinstance(wanted, int) and wanted != baseline:
        times = f" ({format.times(wanted / baseline)})" if baseline else ""
        before = f", baseline {baseline:,}" if baseline else ""
        text = f"{wanted:,} samples per update{before}{times}"
        text += "; training changes, and the learning rate follows"
    else:
        text = f"unchanged, {baseline:,} samples per update" if baseline else "unchanged"
    parts = knobs.samples_per("backward", settings)
    if isinstance(parts, int):
        text += f", computed in parts of {parts:,} with accumulated gradients"
    return Change(topic="Effective batch", text=text)


def _arguments(result: TuneResult) -> list[Change]:
    """Return settings that the script takes by its own options and constants."""
    flags = [
        f"{format.one_line(flag)} {format.one_line(str(value))}"
        for options in result.recommendation.passed_as_arguments.values()
        for flag, value in options.items()
    ]
    constants = [
        f"{format.one_line(name)} = {format.one_line(repr(value))}"
        for values in result.recommendation.constants.values()
        for name, value in values.items()
    ]
    found = [Change(topic="Arguments", text=f"{' '.join(flags)} on the script's command line")] if flags else []
    if constants:
        found.append(Change(topic="Constants", text=f"{', '.join(constants)} in the script, which is not edited"))
    return found


def notes(result: TuneResult) -> tuple[str, ...]:
    """Return notes on the measurement; notes on the settings are shown with their changes, if there are any."""
    own = () if result.recommendation.config.settings else result.recommendation.notes
    busy = busy_machine(result.profile)
    return (
        *own,
        *result.profile.notes,
        *([] if busy is None else [f"the machine was busy during the profile: {busy}"]),
    )


def _chosen_on_a_busy_machine(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    """Warn of settings that depend on how many CPUs are free: threads that wait for each other on a busy machine may be
    the fastest on a quiet one."""
    names = [knob.id for knob in knobs.all_knobs() if knob.id in settings and "cpus" in knob.chosen_for]
    if not names or busy_machine(result.profile) is None:
        return []
    chosen = ", ".join(setting(name, settings[name]) for name in names)
    text = f"{chosen}: chosen beside other programs; search again on a quiet machine, if the training will have one"
    return [Change(topic="Busy machine", text=text)]


def _baseline_samples(result: TuneResult) -> int | None:
    """Return the samples of a whole update: the mean also counts the last of an epoch, which may be short."""
    steps, workload = result.profile.steps, result.profile.workload
    if steps is None or steps.samples_per_update is None or not is_number(steps.samples_per_update):
        return None
    seen = round(steps.samples_per_update)
    whole = global_batch.baseline_samples(workload) if workload is not None else None
    return whole if whole is not None and (1 - SHORT_LAST) * whole <= seen < whole else seen


def _rounding(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    """Return the changes of rounding.

    Effects are known for knobs tried alone; the effect of the whole configuration stands in for the others.
    """
    known = effects(result)
    chosen = trial_of(result, result.recommendation.config)
    described = {knob.id: text for knob in knobs.all_knobs() if (text := knob.rounding.get(settings.get(knob.id)))}
    found = list(described.values())
    others = [name for name in settings if name not in described and known.get(name) == "numerics"]
    if others:
        names = ", ".join(setting(name, settings[name]) for name in others)
        found.append(f"{names}: sums are computed in another order, so that losses differ in their last digits")
    if found:
        return [Change(topic="Rounding", text="; ".join(found))]
    if chosen is not None and chosen.effect in ("exact", "resampled"):
        return [Change(topic="Rounding", text="unchanged: the same arithmetic in the same order")]
    if chosen is not None and chosen.effect == "numerics":
        return [Change(topic="Rounding", text="losses differ in their last digits")]
    return []


def _draws(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    known = effects(result)
    names = [setting(name, value) for name, value in settings.items() if known.get(name) == "resampled"]
    if not names:
        return []
    text = f"{', '.join(names)}: different random numbers from the same distribution"
    return [Change(topic="Randomness", text=text + _seeds(result, settings))]


def _seeds(result: TuneResult, settings: dict[str, SettingValue]) -> str:
    """Describe the seeds of generators that the dataset holds, if there are workers that the script does not have."""
    workload = result.profile.workload
    if num_workers.KNOB.id in settings and num_workers.KNOB.id not in result.recommendation.by_agent:
        return (
            "; the script starts these workers itself: if its dataset holds a random generator, a worker_init_fn must "
            "seed it in each, or all give the same numbers"
        )
    loader = workload.train_loader if workload is not None else None
    held = workload.facts.dataset_generators if workload is not None else None
    if loader is None or not held:
        return ""
    baseline = Workers(loader.num_workers, bool(loader.persistent_workers))
    wanted = workers_with(settings, baseline)
    if wanted is None or not add_repeats(baseline, wanted):
        return ""
    return f"; in each epoch every worker has its own seeds for {format.one_line(', '.join(held))}"


def _memory(result: TuneResult) -> Change:
    before, after = peaks(result, result.recommendation.config)
    if before is None or after is None or not is_number(before, after):
        return Change(topic="Memory", text="its peak was not measured")
    text = f"peak {format.size(after)}, baseline {format.size(before)} ({change(before, after)})"
    return Change(topic="Memory", text=text)


def _whole_training(result: TuneResult) -> list[Change]:
    """Return the gain over the whole training where it differs from that of its later updates, or cannot be told."""
    found = result.recommendation
    settings = found.config.as_dict()
    later = any(knob.from_second_epoch and knob.id in settings for knob in knobs.all_knobs())
    if found.training is None:
        text = f"{NOT_IN_THE_FIRST}; {parameter('updates')} says how long the training is"
        return [Change(topic="Whole training", text=text)] if later else []
    whole, length = found.training.speedup, found.training.length
    if not is_number(whole) or abs(math.log(whole / found.verdict.speedup)) < math.log1p(SAME):
        return []
    extent = (
        plural(max(1, round(length.epochs)), "epoch")
        if length.epochs is not None
        else plural(max(1, round(length.updates)), "update")
    )
    text = f"{format.times(whole)} over {extent} ({format.one_line(length.source)})"
    return [Change(topic="Whole training", text=f"{text}; {NOT_IN_THE_FIRST}" if later else text)]


def _start_up(result: TuneResult) -> list[Change]:
    pays = _break_even(result)
    return [Change(topic="Start-up", text=pays)] if pays is not None else []


def _break_even(result: TuneResult) -> str | None:
    """Return the number of updates after which the one-off cost of the settings has paid for itself."""
    found = result.recommendation
    set_up_s = _set_up_s(result)
    if set_up_s is None or not is_number(set_up_s):
        return None
    settings = found.config.as_dict()
    slow = next((knob for knob in knobs.all_knobs() if knob.set_up and knob.id in settings), None)
    part = found.by_knob.get(slow.id) if slow is not None else None
    speedup = part.speedup if part is not None else found.verdict.speedup
    what = slow.set_up if slow is not None else "setting up"
    if not is_number(speedup) or speedup <= 1:
        return f"{what} takes {format.duration(set_up_s)} once, and does not pay off"
    # In the baseline's time T these settings need T / speedup: set_up = T − T / speedup.
    paid_s = set_up_s * speedup / (speedup - 1)
    steps = result.profile.steps
    when = format.duration(paid_s)
    if steps is not None and is_number(steps.mean_s) and is_number(paid_s / steps.mean_s):
        when = f"{plural(max(1, round(paid_s / steps.mean_s)), 'update')} ({when} of the baseline)"
    return f"{what} takes {format.duration(set_up_s)} once, and pays off after {when}"


def _set_up_s(result: TuneResult) -> float | None:
    chosen = trial_of(result, result.recommendation.config)
    if chosen is None or chosen.outcome.set_up_s is None:
        return None
    before = baseline_trial(result)
    baseline = before.outcome.set_up_s if before is not None else None
    return chosen.outcome.set_up_s - (baseline or 0.0)
