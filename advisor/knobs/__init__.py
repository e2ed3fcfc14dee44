"""The knobs, one a file; found by the instance `KNOB` that each file must hold. Read by both sides, without torch."""

from __future__ import annotations

import importlib

from ..discovery import entries
from ._base import TIERS, Knob, Values

__all__ = ["TIERS", "Knob", "Values", "all_knobs", "explain", "get"]

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
    lines = [("scope", f"{knob.scope}: {_SCOPES[knob.scope]}"), ("changes", knob.changes), ("by hand", knob.by_hand)]
    table = "\n".join(f"{name:9}{text}" for name, text in lines if text)
    return f"{knob.id}: {knob.title}\n\n{about}\n\n{table}"


def all_knobs() -> list[Knob]:
    """Return all knobs in the order of their ids. Raise TypeError with the path of a file that lacks its instance."""
    return entries(__name__, __path__, "KNOB", Knob)
