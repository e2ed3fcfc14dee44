"""From a search to what is recommended: the best that keeps the training, and the best that also changes it."""

from __future__ import annotations

from ..knobs import global_batch
from ..types import Alternative, Command, Config, Finding, Hardware, Ratio, Recommendation, Skipped, Verdict, Workload
from .settings import SearchSettings
from .space import KEEPS_TRAINING
from .study import Study

BATCH_KNOB = global_batch.KNOB.id


def recommend(
    study: Study,
    settings: SearchSettings,
    *,
    command: Command,
    hardware: Hardware,
    workload: Workload | None,
    findings: tuple[Finding, ...],
) -> Recommendation:
    """A gain below the floor, or whose interval holds 1, is none: then the script as written is what to run."""
    kept = {config: ratio for config, ratio in study.finals.items() if study.space.tier(config) in KEEPS_TRAINING}
    changed = {config: ratio for config, ratio in study.finals.items() if config not in kept}
    config, ratio = _best(kept, settings.floor)
    return Recommendation(
        command=command,
        hardware=hardware,
        config=config,
        verdict=_verdict(config, ratio, settings.floor),
        findings=findings,
        skipped=(*study.space.closed, *_failed(study)),
        alternatives=_alternatives(changed, ratio, settings.floor, workload),
    )


def _best(candidates: dict[Config, Ratio], floor: float) -> tuple[Config, Ratio | None]:
    """The fastest candidate that is a gain; without one the script as written, with what the fastest would give."""
    ranked = sorted(candidates.items(), key=lambda entry: -entry[1].speedup)
    for config, ratio in ranked:
        if _is_gain(ratio, floor):
            return config, ratio
    return Config(), None


def _is_gain(ratio: Ratio, floor: float) -> bool:
    return ratio.speedup >= 1 + floor and ratio.low > 1.0


def _verdict(config: Config, ratio: Ratio | None, floor: float) -> Verdict:
    if not config.settings or ratio is None:
        return Verdict(status="no significant gain", speedup=1.0, low=1.0, high=1.0, rounds=0, floor=floor)
    return Verdict(
        status="unverified",
        speedup=ratio.speedup,
        low=ratio.low,
        high=ratio.high,
        rounds=ratio.rounds,
        floor=floor,
    )


def _alternatives(
    changed: dict[Config, Ratio], kept: Ratio | None, floor: float, workload: Workload | None
) -> tuple[Alternative, ...]:
    config, ratio = _best(changed, floor)
    if ratio is None or (kept is not None and ratio.speedup <= kept.speedup * (1 + floor)):
        return ()
    note = "the training takes another course, and its time to the same loss was not checked"
    written = global_batch.written_samples(workload) if workload is not None else None
    size = config.as_dict().get(BATCH_KNOB)
    if workload is not None and written and isinstance(size, int):
        note += f"; with k = {size / written:g} times the batch {global_batch.rate_rule(workload)}"
    return (Alternative(changes="training", config=config, verdict=_verdict(config, ratio, floor), note=note),)


def _failed(study: Study) -> tuple[Skipped, ...]:
    """Settings that could not be measured, with what stood against them."""
    return tuple(
        Skipped(
            what=", ".join(f"{name}={value}" for name, value in trial.config.settings),
            why=f"{trial.outcome.kind}: {trial.outcome.message}",
        )
        for trial in study.trials
        if trial.ratio is None and trial.config.settings
    )
