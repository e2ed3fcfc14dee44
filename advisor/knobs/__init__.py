"""The knobs, one a file; found by the instance `KNOB` that each file must hold. Read by both sides, without torch."""

from __future__ import annotations

import importlib
import pkgutil

from ._base import TIERS, Knob, Values

__all__ = ["TIERS", "Knob", "Values", "all_knobs", "explain", "get"]

_SCOPES = {
    "live": "switched between two updates of a running script",
    "launch": "needs a new process of the script",
}


def get(name: str) -> Knob:
    """The knob of that id; KeyError naming the known ones where there is no such file."""
    for knob in all_knobs():
        if knob.id == name:
            return knob
    raise KeyError(f"no knob is called {name!r}; there are {', '.join(known.id for known in all_knobs())}")


def explain(knob: Knob) -> str:
    """What a knob changes and how, for a person."""
    about = (importlib.import_module(f"{__name__}.{knob.id}").__doc__ or "").strip()
    return f"{knob.id}: {knob.title}\n\n{about}\n\nscope  {knob.scope}: {_SCOPES[knob.scope]}"


def all_knobs() -> list[Knob]:
    """All of them, in the order of their ids. A file without its instance raises with its path."""
    found = []
    for entry in pkgutil.iter_modules(__path__):
        if entry.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{entry.name}")
        knob = getattr(module, "KNOB", None)
        if not isinstance(knob, Knob) or knob.id != entry.name:
            raise TypeError(f"{module.__file__}: needs KNOB, a Knob whose id is {entry.name!r}")
        found.append(knob)
    return found
