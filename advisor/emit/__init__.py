"""Files for the user and for other tools, one format a file.

`advisor_yaml` is our own; the others turn it into the form of another tool and are found by their instance `EMITTER`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from ..errors import UsageError
from ..types import Artifact
from ._base import BY_HAND, Batch, Draft, Emitter, batch_of, repeated_draws
from ._differences import differences
from .advisor_yaml import Document, hardware_words

__all__ = [
    "BY_HAND",
    "Batch",
    "Document",
    "Draft",
    "Emitter",
    "all_emitters",
    "artifacts",
    "batch_of",
    "differences",
    "get",
    "hardware_words",
    "repeated_draws",
]

OWN = "advisor_yaml"


def all_emitters() -> list[Emitter]:
    """All of them, in the order of their ids. A file without its instance raises with its path."""
    found = []
    for entry in pkgutil.iter_modules(__path__):
        if entry.name.startswith("_") or entry.name == OWN:
            continue
        module = importlib.import_module(f"{__name__}.{entry.name}")
        emitter = getattr(module, "EMITTER", None)
        if not isinstance(emitter, Emitter) or emitter.id != entry.name:
            raise TypeError(f"{module.__file__}: needs EMITTER, an Emitter whose id is {entry.name!r}")
        found.append(emitter)
    return found


def get(name: str) -> Emitter:
    """The emitter of that id. Raises UsageError that names those that there are."""
    known = {emitter.id: emitter for emitter in all_emitters()}
    if name not in known:
        raise UsageError(f"nothing can be written for {name!r}: there are {', '.join(known)}")
    return known[name]


def artifacts(document: Document, targets: Iterable[str]) -> list[Artifact]:
    """The document in the form of each target, in their order; UsageError for one that there is none for."""
    drafts = [Draft(document, get(name)) for name in dict.fromkeys(targets)]
    return [draft.artifact(draft.emitter.emit(draft)) for draft in drafts]
