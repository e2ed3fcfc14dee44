"""Contract of an isolation tier."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...errors import UsageError
from ...spelling import parameter
from . import scratch as scratch_folder
from .promises import Level, sentence


@dataclass(kw_only=True)
class View:
    """File system as one script run will see it; made by `Isolation.prepare`."""

    cwd: Path
    """Folder in which the script starts; the same path as outside unless the tier works on a copy."""
    keeper: Mapping[str, Any]
    """Instructions for the keeper, besides the command."""
    scratch: Path
    """Folder for everything that the script writes; removed at the end."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables added to the user's; empty on tiers with the same paths."""
    moved: tuple[Path, Path] | None = None
    """(project folder, its copy) on tiers that work on a copy."""
    changed_files: tuple[str, ...] = ()
    """Changes found after the end on tiers that only detect: `modified train.log`."""
    notes: tuple[str, ...] = ()
    """Remarks on this view for the report, such as a folder that is read-only in it."""

    def path(self, outside: Path) -> Path:
        """Return the place of a user's file in the view."""
        if self.moved and outside.is_relative_to(self.moved[0]):
            return self.moved[1] / outside.relative_to(self.moved[0])
        return outside


def _remove_own(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child has the object, too
        scratch_folder.remove(folder)


class Isolation(ABC):
    """Kind of isolation for the user's files, proven to work here before it is used."""

    name: ClassVar[str]
    protects: ClassVar[bool]
    """True if files outside the view cannot change; False if they are only compared afterwards."""

    @property
    @abstractmethod
    def level(self) -> Level:
        """Level of the table of promises."""

    @property
    def promise(self) -> str:
        """Sentence for the report."""
        return sentence(self.level)

    def __init__(self, *, project: Path, scratch: Path) -> None:
        self.project = project
        self.scratch = scratch

    @cached_property
    def shared(self) -> Path:
        """Folder of advisor's own in which all views may write, until this object is gone."""
        folder = scratch_folder.make(self.scratch)
        weakref.finalize(self, _remove_own, folder, os.getpid())
        return folder

    @contextmanager
    def prepare(self, cwd: Path, writable: Sequence[Path] = ()) -> Iterator[View]:
        """Provide a fresh view for one script run. Writes to the `writable` folders, advisor's own, are real."""
        for path in writable:
            if self.project.is_relative_to(path.resolve()):
                raise UsageError(
                    f"advisor's own folder {path} contains the project folder {self.project}, which could then change; "
                    f"choose another folder with {parameter('runs')}"
                )
        with scratch_folder.lent(self.scratch) as folder:
            yield from self._prepare(folder, cwd.resolve(), [path.resolve() for path in writable])

    def for_ranks(self) -> Isolation:
        """Return the same isolation for processes that pass gradients to each other, without a namespace of each."""
        return self

    @abstractmethod
    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        """Yield the view once; `folder` is its scratch folder."""
