"""Storage of range tests, beside the other documents of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..redaction import Redactor
from ..types import RangeTest
from . import documents, run_store
from .run_store import RunFolder

FILE = "range_test.json"
KIND = documents.Kind(
    type=RangeTest,
    name="range test",
    version=run_store.FORMAT,
    again="test the rate again",
    upgraded=lambda content: content,
)


def is_there(folder: RunFolder) -> bool:
    """Return whether the run holds such a test."""
    return (folder.path / FILE).is_file()


def save(found: RangeTest, folder: RunFolder) -> Path:
    """Write the whole test into its run's folder; return the file."""
    path = folder.path / FILE
    run_store.write_atomic(path, documents.encoded(dataclasses.replace(found, run_folder=""), KIND))
    return path


def load(folder: RunFolder) -> RangeTest:
    """Load the test stored in the run's folder, checking it as a profile is checked."""
    file = folder.path / FILE
    data = run_store.read_capped(file, run_store.MOST_DOCUMENT_BYTES, KIND.again)
    found = documents.decoded(data, KIND, file)
    return dataclasses.replace(Redactor.of_words(found.command.args).of(found), run_folder=str(folder.path))
