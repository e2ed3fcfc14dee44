"""Results of whole commands, each in a file beside the profile of its run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from ..types import LearningResult, RangeTest
from . import documents, run_store, safe_files
from .documents import Value
from .run_store import RunFolder


@dataclass(frozen=True, kw_only=True)
class ResultFile(Generic[Value]):
    """One kind of result, and the name of its file."""

    name: str
    kind: documents.Kind[Value]

    def is_there(self, folder: RunFolder) -> bool:
        """Return whether the run holds such a result."""
        return (folder.path / self.name).is_file()

    def save(self, result: Value, folder: RunFolder) -> Path:
        """Write the whole result into its run's folder; return the file."""
        path = folder.path / self.name
        safe_files.write_atomic(path, documents.encoded_result(result, self.kind))
        return path

    def load(self, folder: RunFolder) -> Value:
        """Load the result stored in the run's folder, checking it as a profile is checked."""
        file = folder.path / self.name
        data = safe_files.read_capped(file, safe_files.MOST_DOCUMENT_BYTES, self.kind.again)
        return documents.decoded_result(data, self.kind, file)


LEARNING = ResultFile(
    name="learning.json",
    kind=documents.Kind(
        type=LearningResult,
        name="search by losses",
        version=run_store.FORMAT,
        again="tune again",
    ),
)
RANGE_TEST = ResultFile(
    name="range_test.json",
    kind=documents.Kind(
        type=RangeTest,
        name="range test",
        version=run_store.FORMAT,
        again="test the rate again",
    ),
)
