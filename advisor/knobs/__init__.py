"""The knobs, one a file; found by the instance `KNOB` that each file must hold. Read by both sides, without torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..discovery import entries
from ._base import EFFECTS, Knob, PlainObjects, Unable, Values

__all__ = [
    "EFFECTS",
    "Knob",
    "PlainObjects",
    "Unable",
    "Values",
    "all_knobs",
    "environment",
    "explain",
    "get",
    "made_optimizer",
    "peak_rate",
    "ranks",
    "refusal",
    "samples_per",
]

_SCOPES = {
    "live": "set between two updates of a running script",
    "launch": "set at the start of a new process",
}


def get(name: str) -> Knob:
    """Return the knob with that id; raise KeyError naming the known ones if there is no such file."""
    for knob in all_knobs():
        if knob.id == name:
            return knob
    raise KeyError(f"unknown knob {name!r}: expected one of {', '.join(known.id for known in all_knobs())}")


def explain(knob: Knob) -> str:
    """Describe for a person what a knob changes and how."""
    about = (importlib.import_module(f"{__name__}.{knob.id}").__doc__ or "").strip()
    lines = [
        ("scope", f"{knob.scope}: {_SCOPES[knob.scope]}"),
        ("changes", knob.changes),
        ("by hand", knob.described_by_hand("VALUE")),
    ]
    table = "\n".join(f"{name:9}{text}" for name, text in lines if text)
    return f"{knob.id}: {knob.title}\n\n{about}\n\n{table}"


@lru_cache(maxsize=1)
def all_knobs() -> tuple[Knob, ...]:
    """Return all knobs in the order of their ids. Raise TypeError with the path of a file that lacks its instance."""
    return tuple(entries(__name__, __path__, "KNOB", Knob))


def refusal(settings: Mapping[str, Any]) -> str | None:
    """Return why the first setting that no knob can have is refused, and what to do; None if all are known."""
    known = {knob.id: knob for knob in all_knobs()}
    for name, value in settings.items():
        if name not in known:
            return (
                f"unknown knob {name!r}{_meant(name, known)}; remove it, or upgrade advisor if a newer version wrote it"
            )
        why = known[name].wrong(value)
        if why is not None:
            return f"{name}: {why}; correct or remove it"
    return None


def _meant(name: str, known: Iterable[str]) -> str:
    """Return the names that are like this one, in parentheses; where none is, say where all of them are listed."""
    import difflib

    near = difflib.get_close_matches(str(name), known)
    return f" (did you mean {' or '.join(near)}?)" if near else " (`advisor explain` lists those of this version)"


def environment(settings: Mapping[str, Any], present: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, beside or in place of the present ones, that a process with these settings starts with."""
    found: dict[str, str] = {}
    for knob in all_knobs():
        if knob.environment is not None and knob.id in settings:
            found.update(knob.environment(settings[knob.id], {**present, **found}))
    return found


def ranks(settings: Mapping[str, Any]) -> int:
    """Return the number of processes which a training with these settings is started as."""
    asked = [knob.ranks(settings[knob.id]) for knob in all_knobs() if knob.ranks is not None and knob.id in settings]
    return max(asked, default=1)


def samples_per(what: str, settings: Mapping[str, Any]) -> Any:
    """Return the samples per `backward` or `update` by these settings; None if they do not say."""
    return next((settings[knob.id] for knob in all_knobs() if knob.samples_per == what and knob.id in settings), None)


def made_optimizer(settings: Mapping[str, Any], own: str | None) -> str | None:
    """Return the class of the main optimizer with these settings; None if it is unknown, or no single one."""
    for knob in all_knobs():
        if knob.makes and knob.id in settings:
            return knob.makes.get(settings[knob.id])
    return own


def peak_rate(
    settings: Mapping[str, Any], own: float | None, samples_per_update: int | None, optimizer: str | None
) -> float | None:
    """Return the peak learning rate that these settings ask for; None if it is unknown.

    `own` is the script's. A larger batch than its `samples_per_update` multiplies it by the rule of its optimizer.
    """
    from . import global_batch, learning_rate

    rate: float | None = settings.get(learning_rate.KNOB.id, own)
    batch = settings.get(global_batch.KNOB.id)
    if rate is None or batch is None or batch == samples_per_update:
        return rate
    if not samples_per_update or optimizer is None:
        return None
    factor = global_batch.rate_factor(batch / samples_per_update, optimizer, global_batch.WARM_UP_UPDATES)
    return float(f"{rate * factor:.6g}")
