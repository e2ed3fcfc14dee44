"""Momentum of SGD, and the first beta of Adam and similar optimizers.

A number is the momentum; `nesterov 0.9` is Nesterov's form of it, which only SGD has. The learning rate stays: SGD with
a momentum of 0.9 takes steps that are up to ten times as long in the end, so its rate is often divided by as much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from ._base import NO_OPTIMIZER, Form, Knob, PlainObjects, Unable, Values, always
from ._optimizer_section import in_deepspeed, in_lightning

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

NESTEROV = re.compile(r"nesterov (0?\.\d+)")
VALUES = (0.9, "nesterov 0.9")
OF_ADAM = (0.8, 0.95)
NO_PLACE = "{} has no momentum"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    if optimizer.momentum is None:
        return Values(why_closed=NO_PLACE.format(optimizer.class_name))
    values = [value for value in (VALUES if "SGD" in optimizer.class_name else OF_ADAM) if value != optimizer.momentum]
    return Values(values=tuple(values), why=f"the momentum of {optimizer.class_name} is {optimizer.momentum:g}")


def wrong(value: Any) -> str | None:
    """Check a value: a number from 0 to below 1, or "nesterov" with one above 0."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1:
        return None
    if isinstance(value, str) and (match := NESTEROV.fullmatch(value)) and float(match[1]) > 0:
        return None
    return f"{value!r} is neither a number from 0 to below 1 nor one such as 'nesterov 0.9'"


def _parsed(value: Any) -> tuple[float, bool]:
    match = NESTEROV.fullmatch(value) if isinstance(value, str) else None
    return (float(match[1]), True) if match else (float(value), False)


def entries(group: dict[str, Any], value: Any) -> dict[str, Any] | None:
    """Return the entries of an optimizer's group with this momentum; None if it has no place for it."""
    momentum, nesterov = _parsed(value)
    if "dampening" in group:  # SGD
        return {"momentum": momentum, "nesterov": nesterov, **({"dampening": 0} if nesterov else {})}
    betas = group.get("betas")
    if nesterov or not isinstance(betas, tuple) or not betas:
        return None
    return {"betas": (momentum, *betas[1:])}


def _apply(controls: Controls, value: Any) -> None:
    none = "{} has no momentum in Nesterov's form" if _parsed(value)[1] else NO_PLACE
    controls.optimizer_values.set(
        "momentum", lambda group, _groups: entries(group, value), none, state="momentum_buffer"
    )


def _plain(objects: PlainObjects, value: Any) -> str | None:
    optimizer = objects.optimizer
    if optimizer is None:
        return NO_OPTIMIZER
    found = [(group, entries(group, value)) for group in (*optimizer.param_groups, optimizer.defaults)]
    if any(changed is None for _group, changed in found):
        return NO_PLACE.format(type(optimizer).__name__)
    for group, changed in found:
        group.update(changed)
    return None


def _keywords(value: Any, training: Any) -> dict[str, Any] | Unable:
    """Return the keywords of torch's SGD; other optimizers have a pair of betas."""
    momentum, nesterov = _parsed(value)
    if training.optimizer == "SGD":
        return {"momentum": momentum, **({"nesterov": True} if nesterov else {})}
    return Unable(f"the betas of {training.optimizer or 'the optimizer'} are a pair, and only one is set")


def _in(section: Callable[[Mapping[str, Any], Any], Mapping[str, Any] | Unable]) -> Form:
    """Return the form of a format whose section holds the optimizer's keywords."""

    def form(value: Any, training: Any) -> Mapping[str, Any] | Unable:
        keywords = _keywords(value, training)
        return keywords if isinstance(keywords, Unable) else section(keywords, training)

    return form


def _in_transformers(value: Any, training: Any) -> dict[str, Any] | Unable:
    if "Adam" in (training.optimizer or "") and not _parsed(value)[1]:
        return {"adam_beta1": value}
    return Unable("only the first beta of Adam has a key")


KNOB = Knob(
    id="momentum",
    title="momentum of the optimizer",
    values=_values,
    example=0.8,
    effect=always("training"),
    apply=_apply,
    restore=lambda controls: controls.optimizer_values.restore("momentum"),
    wrong=wrong,
    judged_by_loss=True,
    keeps_pace=True,
    by_hand="create SGD with momentum={value}, or Adam with that as its first beta",
    by_hand_of={"nesterov 0.9": "create SGD with momentum=0.9, nesterov=True"},
    plain=_plain,
    formats={
        "deepspeed": _in(in_deepspeed),
        "lightning": _in(in_lightning),
        "python": _in(lambda keywords, _training: {"optimizer": keywords}),
        "transformers": _in_transformers,
    },
    changes="Training changes: steps keep more or less of their direction, and with it of their length.",
    hooks=(),
    set_on=("optimizer",),
)
