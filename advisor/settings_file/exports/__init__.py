"""Files for the user and for other tools, one format per module.

`advisor_yaml` is our own; the other modules convert it for another tool and are found by their instance `EMITTER`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...discovery import entries
from ...types import Artifact
from ...unknown_name import UnknownNameError
from ..advisor_yaml import Document, check
from ..hardware_words import hardware_words
from ._base import Batch, Draft, Emitter, batch_of, repeated_draws
from ._differences import differences

__all__ = [
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


def all_emitters() -> list[Emitter]:
    """Return all emitters in the order of their ids; raise TypeError, naming the file, if one lacks its instance."""
    return entries(__name__, __path__, "EMITTER", Emitter)


def get(name: str) -> Emitter:
    """Return the emitter with that id; raise UnknownNameError if there is none."""
    known = {emitter.id: emitter for emitter in all_emitters()}
    if name not in known:
        raise UnknownNameError(f"unknown target {name!r}", known, name=name)
    return known[name]


def artifacts(document: Document, targets: Iterable[str]) -> list[Artifact]:
    """Convert the document for each target, in their order; raise UsageError for an unknown target or setting."""
    check(document.config, "the settings cannot be exported")
    drafts = [Draft(document, get(name)) for name in dict.fromkeys(targets)]
    return [draft.artifact(draft.emitter.emit(draft)) for draft in drafts]
