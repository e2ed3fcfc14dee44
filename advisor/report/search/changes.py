"""Changes that the recommended settings bring, in plain words: batch, rounding, draws, memory, start-up."""

from __future__ import annotations

from dataclasses import dataclass

from ... import knobs
from ...repeated_draws import Workers, add_repeats
from ...types import SettingValue, TuneResult
from .. import format
from ..trial_format import as_written, change, is_number, peaks, setting, tiers, trial_of

_PRECISIONS = {
    "bf16": "most of the forward pass runs in bf16, with two to three decimal digits; weights stay in float32",
    "fp16": "most of the forward pass runs in fp16, with three decimal digits; the loss is scaled, and an update with "
    "overflowing gradients is skipped",
    "tf32": "matrix products use factors in TF32, with three decimal digits, and sums in float32",
}


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
    found = [
        _batch(result, settings),
        *_rounding(result, settings),
        *_draws(result, settings),
        _memory(result),
        *_start_up(result, settings),
    ]
    plain = [
        Change(topic=knob.noticed[0], text=knob.noticed[1])
        for knob in knobs.all_knobs()
        if knob.noticed is not None and settings.get(knob.id)
    ]
    return _by_topic([*found, *plain, *_arguments(result), *_to_know(result)])


def _by_topic(found: list[Change]) -> tuple[Change, ...]:
    """Join the changes of each topic into one line, in the order in which the topics came up."""
    topics = dict.fromkeys(one.topic for one in found)
    return tuple(
        Change(topic=topic, text="; ".join(one.text for one in found if one.topic == topic)) for topic in topics
    )


def _batch(result: TuneResult, settings: dict[str, SettingValue]) -> Change:
    written = _samples_as_written(result)
    wanted = settings.get("global_batch")
    if isinstance(wanted, int) and wanted != written:
        times = f" ({format.times(wanted / written)})" if written else ""
        before = f", baseline {written:,}" if written else ""
        text = f"{wanted:,} samples per update{before}{times}"
        text += "; training changes, and the learning rate follows"
    else:
        text = f"unchanged, {written:,} samples per update" if written else "unchanged"
    parts = settings.get("micro_batch")
    if isinstance(parts, int):
        text += f", computed in parts of {parts:,} with accumulated gradients"
    return Change(topic="Effective batch", text=text)


def _arguments(result: TuneResult) -> list[Change]:
    """Return settings that the script takes as its own options."""
    flags = [
        f"{format.one_line(flag)} {format.one_line(str(value))}"
        for options in result.recommendation.carried.values()
        for flag, value in options.items()
    ]
    return [Change(topic="Arguments", text=f"{' '.join(flags)} on the script's command line")] if flags else []


def _to_know(result: TuneResult) -> list[Change]:
    return [Change(topic="Note", text=format.one_line(note).rstrip(".")) for note in result.recommendation.notes]


def notes(result: TuneResult) -> tuple[str, ...]:
    """Return notes on the measurement; notes on the settings are shown with their changes, if there are any."""
    own = () if result.recommendation.config.settings else result.recommendation.notes
    return (*own, *result.profile.notes)


def _samples_as_written(result: TuneResult) -> int | None:
    steps = result.profile.steps
    if steps is not None and steps.samples_per_update is not None and is_number(steps.samples_per_update):
        return round(steps.samples_per_update)
    return None


def _rounding(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    """Return the changes of rounding.

    Effects are known for knobs tried alone; the effect of the whole configuration stands in for the others.
    """
    known = tiers(result)
    chosen = trial_of(result, result.recommendation.config)
    found = []
    precision = str(settings.get("precision", ""))
    if precision in _PRECISIONS:
        found.append(_PRECISIONS[precision])
    others = [name for name in settings if name != "precision" and known.get(name) == "numerics"]
    if others:
        names = ", ".join(setting(name, settings[name]) for name in others)
        found.append(f"{names}: sums are computed in another order, so that losses differ in their last digits")
    if found:
        return [Change(topic="Rounding", text="; ".join(found))]
    if chosen is not None and chosen.tier in ("exact", "resampled"):
        return [Change(topic="Rounding", text="unchanged: the same arithmetic in the same order")]
    if chosen is not None and chosen.tier == "numerics":
        return [Change(topic="Rounding", text="losses differ in their last digits")]
    return []


def _draws(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    known = tiers(result)
    names = [setting(name, value) for name, value in settings.items() if known.get(name) == "resampled"]
    if not names:
        return []
    text = f"{', '.join(names)}: different random numbers from the same distribution"
    return [Change(topic="Randomness", text=text + _seeds(result, settings))]


def _seeds(result: TuneResult, settings: dict[str, SettingValue]) -> str:
    """Describe the seeds of generators that the dataset holds, if there are workers that the script does not have."""
    workload = result.profile.workload
    if "num_workers" in result.recommendation.carried:
        return (
            "; the script starts these workers itself: if its dataset holds a random generator, a worker_init_fn must "
            "seed it in each, or all give the same numbers"
        )
    loader = workload.train_loader if workload is not None else None
    held = workload.facts.dataset_generators if workload is not None else None
    if loader is None or not held:
        return ""
    written = Workers(loader.num_workers, bool(loader.persistent_workers))
    number = settings.get("num_workers", written.number)
    stay = bool(settings.get("persistent_workers", written.stay))
    if not isinstance(number, int) or not add_repeats(written, Workers(number, stay)):
        return ""
    return f"; in each epoch every worker has its own seeds for {format.one_line(', '.join(held))}"


def _memory(result: TuneResult) -> Change:
    before, after = peaks(result, result.recommendation.config)
    if before is None or after is None or not is_number(before, after):
        return Change(topic="Memory", text="its peak was not measured")
    text = f"peak {format.size(after)}, baseline {format.size(before)} ({change(before, after)})"
    return Change(topic="Memory", text=text)


def _start_up(result: TuneResult, settings: dict[str, SettingValue]) -> list[Change]:
    found = []
    workers = settings.get("num_workers")
    if isinstance(workers, int) and workers > 0:
        when = "once" if settings.get("persistent_workers") else "at the start of each epoch"
        processes = "1 worker process starts" if workers == 1 else f"{workers:,} worker processes start"
        found.append(f"{processes} {when}")
    pays = _break_even(result)
    if pays is not None:
        found.append(pays)
    return [Change(topic="Start-up", text="; ".join(found))] if found else []


def _break_even(result: TuneResult) -> str | None:
    """Return the number of updates after which the one-off cost of the settings has paid for itself."""
    found = result.recommendation
    set_up_s = _set_up_s(result)
    if set_up_s is None or not is_number(set_up_s):
        return None
    part = found.by_knob.get("compile")
    speedup = part.speedup if part is not None else found.verdict.speedup
    what = "compiling" if "compile" in found.config.as_dict() else "setting up"
    if not is_number(speedup) or speedup <= 1:
        return f"{what} takes {format.duration(set_up_s)} once, and does not pay off"
    # In the baseline's time T these settings need T / speedup: set_up = T − T / speedup.
    paid_s = set_up_s * speedup / (speedup - 1)
    steps = result.profile.steps
    when = format.duration(paid_s)
    if steps is not None and is_number(steps.mean_s) and is_number(paid_s / steps.mean_s):
        when = f"{format.plural(max(1, round(paid_s / steps.mean_s)), 'update')} ({when} of the baseline)"
    return f"{what} takes {format.duration(set_up_s)} once, and pays off after {when}"


def _set_up_s(result: TuneResult) -> float | None:
    chosen = trial_of(result, result.recommendation.config)
    if chosen is None or chosen.outcome.set_up_s is None:
        return None
    before = as_written(result)
    written = before.outcome.set_up_s if before is not None else None
    return chosen.outcome.set_up_s - (written or 0.0)
