"""Storage of searches by losses, beside the other documents of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..redaction import Redactor
from ..types import LearningResult
from . import documents, run_store
from .run_store import RunFolder

FILE = "learning.json"
KIND = documents.Kind(
    type=LearningResult,
    name="search by losses",
    version=run_store.FORMAT,
    again="tune again",
    upgraded=lambda content: content,
)


def is_there(folder: RunFolder) -> bool:
    """Return whether the run holds such a search."""
    return (folder.path / FILE).is_file()


def save(result: LearningResult, folder: RunFolder) -> Path:
    """Write the whole search into its run's folder; return the file."""
    profile = dataclasses.replace(result.profile, run_folder="")
    stored = dataclasses.replace(result, profile=profile, run_folder="")
    path = folder.path / FILE
    run_store.write_atomic(path, documents.encoded(stored, KIND))
    return path


def load(folder: RunFolder) -> LearningResult:
    """Load the search stored in the run's folder, checking it as a profile is checked."""
    file = folder.path / FILE
    data = run_store.read_capped(file, run_store.MOST_DOCUMENT_BYTES, KIND.again)
    result = documents.decoded(data, KIND, file)
    result = Redactor.of_words(result.profile.command.args).of(result)
    run = str(folder.path)
    return dataclasses.replace(result, profile=dataclasses.replace(result.profile, run_folder=run), run_folder=run)
