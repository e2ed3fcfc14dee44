"""Schedules of the learning rate in the words of other tools; each begins at the first update, and counts updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Union

from .. import rate_schedule
from ._base import Form, Unable

Made = Union[Mapping[str, Any], Unable]
NO_LENGTH = "it needs the training's length, which the file does not say; write it there as updates: N"
WARM_UP = "warm_up_fraction"
LEAST_WARM_UP = 2
"""Updates of the shortest warm-up that DeepSpeed makes."""
IN_TRANSFORMERS = {
    rate_schedule.CONSTANT: "constant_with_warmup",
    rate_schedule.LINEAR: "linear",
    rate_schedule.COSINE: "cosine",
    rate_schedule.WSD: "warmup_stable_decay",
    rate_schedule.INVERSE_SQRT: "inverse_sqrt",
    rate_schedule.PLATEAU: "reduce_lr_on_plateau",
}
FACTORS = {
    rate_schedule.CONSTANT: "1.0",
    rate_schedule.LINEAR: "left",
    rate_schedule.COSINE: "(1 - math.cos(math.pi * left)) / 2",
    rate_schedule.WSD: f"min(1.0, left / {rate_schedule.DECAY_FRACTION})",
    rate_schedule.INVERSE_SQRT: "math.sqrt(max(1.0, rising) / max(1.0, rising, done + 1))",
}
"""Factor of the peak after the warm-up, as `rate_schedule.factor` has it; `left` is the fraction still to come."""


def warm_up_updates(value: Any, training: Any) -> float:
    """Return the updates in which the rate rises, with these settings."""
    fraction = training.settings.get(WARM_UP)
    return rate_schedule.warm_up_of(value, fraction) * (training.updates or 0)


def in_deepspeed(value: Any, training: Any) -> Made:
    """Return DeepSpeed's section `scheduler`, which is stepped after each update."""
    if value not in IN_DEEPSPEED:
        return Unable(f"the section scheduler has no {value}")
    if training.rate is None:
        return Unable("the section scheduler needs the peak rate, and the file does not say the script's")
    if training.updates is None and rate_schedule.needs_length(value, training.settings.get(WARM_UP)):
        return Unable(f"the section scheduler: {NO_LENGTH}")
    params = IN_DEEPSPEED[value](training.rate, training.updates, round(warm_up_updates(value, training)))
    section = {"scheduler": params}
    if value == rate_schedule.ONE_CYCLE:
        return Unable(
            "its OneCycle, which is written, goes in straight lines, and ends where it began", content=section
        )
    return section


def _warm_up_lr(rate: float, _updates: int | None, rising: int) -> dict[str, Any]:
    return _params("WarmupLR", warmup_min_lr=0.0 if rising else rate, warmup_max_lr=rate, **_rise(rising))


def _warm_up_decay_lr(rate: float, updates: int, rising: int) -> dict[str, Any]:
    rates = {"warmup_min_lr": 0.0, "warmup_max_lr": rate}
    return _params("WarmupDecayLR", total_num_steps=updates, **rates, **_rise(rising))


def _warm_up_cosine_lr(_rate: float, updates: int, rising: int) -> dict[str, Any]:
    ends = {"warmup_min_ratio": 0.0 if rising else 1.0, "cos_min_ratio": 0.0}
    return _params("WarmupCosineLR", total_num_steps=updates, **ends, **_rise(rising))


def _one_cycle(rate: float, updates: int, rising: int) -> dict[str, Any]:
    rates = {"cycle_min_lr": rate / rate_schedule.ONE_CYCLE_START, "cycle_max_lr": rate, "cycle_momentum": False}
    parts = {"cycle_first_step_size": max(1, rising), "cycle_second_step_size": max(1, updates - rising)}
    return _params("OneCycle", **rates, **parts)


def _rise(updates: int) -> dict[str, Any]:
    return {"warmup_num_steps": max(LEAST_WARM_UP, updates), "warmup_type": "linear"}


def _params(kind: str, **params: Any) -> dict[str, Any]:
    return {"type": kind, "params": params}


IN_DEEPSPEED: Mapping[str, Callable[[float, Any, int], dict[str, Any]]] = {
    rate_schedule.CONSTANT: _warm_up_lr,
    rate_schedule.LINEAR: _warm_up_decay_lr,
    rate_schedule.COSINE: _warm_up_cosine_lr,
    rate_schedule.ONE_CYCLE: _one_cycle,
}
"""Schedule → callable (peak rate, updates, those of the warm-up) that returns the section."""


def in_transformers(value: Any, training: Any) -> Made:
    """Return the keywords of `TrainingArguments`; its schedules are as long as its training."""
    name = IN_TRANSFORMERS.get(value)
    if name is None:
        return Unable(f"lr_scheduler_type has no {value}")
    content: dict[str, Any] = {"lr_scheduler_type": name}
    if value in rate_schedule.USUAL_WARM_UP:
        content["warmup_steps"] = rate_schedule.USUAL_WARM_UP[value]
    if value == rate_schedule.WSD:
        if training.updates is None:
            return Unable(f"{name} wants the updates of its decay: {NO_LENGTH}")
        rest = training.updates - warm_up_updates(value, training)
        kwargs = {"num_decay_steps": round(rate_schedule.DECAY_FRACTION * rest), "decay_type": "linear"}
        content["lr_scheduler_kwargs"] = kwargs
    elif value == rate_schedule.PLATEAU:
        kwargs = {"factor": rate_schedule.PLATEAU_FACTOR, "patience": rate_schedule.PLATEAU_PATIENCE}
        return Unable(
            "reduce_lr_on_plateau, which is written, reads the Trainer's evaluations, and not the losses of updates",
            content={**content, "lr_scheduler_kwargs": kwargs},
        )
    return content


def in_python(value: Any, training: Any) -> Made:
    """Return the body of a function (optimizer, updates) that makes torch's scheduler, for steps after each update."""
    if value == rate_schedule.PLATEAU:
        return Unable("a plateau's schedule is stepped with the loss")
    if training.updates is None and rate_schedule.needs_length(value, training.settings.get(WARM_UP)):
        return Unable(NO_LENGTH)
    warm_up = rate_schedule.warm_up_of(value, training.settings.get(WARM_UP))
    if value == rate_schedule.CONSTANT and not warm_up:
        return Unable("a constant rate needs no code")
    length = {"schedule_updates": training.updates or 0}
    if value == rate_schedule.ONE_CYCLE:
        peaks = '[group["lr"] for group in optimizer.param_groups]'
        rise = f"(max(1, {warm_up} * updates) + 1) / updates"  # torch reaches the peak one update before its pct_start
        made = f"OneCycleLR(optimizer, {peaks}, total_steps=updates, pct_start={rise}, cycle_momentum=False)"
        return {"schedule": [f"return torch.optim.lr_scheduler.{made}"], **length}
    lines = [
        f"rising = {warm_up} * updates",
        "",
        "def factor(done):",
        "    if done < rising:",
        "        return (done + 1) / (rising + 1)",
        "    left = min(1.0, max(0.0, (updates - done) / max(1.0, updates - rising)))",
        f"    return {FACTORS[value]}",
        "",
        "return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)",
    ]
    if "left" not in FACTORS[value]:
        lines = [line for line in lines if not line.startswith("    left =")]
    imports = {"imports": ["import math"]} if "math." in FACTORS[value] else {}
    return {"schedule": lines, **length, **imports}


def of_warm_up(schedule: Form, *keys: str) -> Form:
    """Return the form of a warm-up, where `schedule` is the form of its schedule; the value stands below these keys."""

    def form(value: Any, training: Any) -> Made:
        name = training.settings.get("lr_schedule")
        made = Unable() if name is None else schedule(name, training)
        if isinstance(made, Unable) and not made.content:
            return Unable("it has no place for the schedule that rises so")
        return dict.fromkeys(keys, value)

    return form
