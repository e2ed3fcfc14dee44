"""The contract of an isolation tier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...errors import UsageError
from . import scratch as scratch_folder


@dataclass(kw_only=True)
class View:
    """The file system as one life of the script will see it; made by `Tier.prepare`."""

    cwd: Path
    """Where the script starts; the same path as outside unless the tier works on a copy."""
    keeper: Mapping[str, Any]
    """What the keeper is told besides the command."""
    scratch: Path
    """Holds everything that the script writes; removed at the end."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Set on top of the user's variables; empty on tiers with the same paths."""
    moved: tuple[Path, Path] | None = None
    """(project folder, its copy) on tiers that work on a copy."""
    changed_files: tuple[str, ...] = ()
    """After the end, on tiers that only detect: `modified train.log`."""
    notes: tuple[str, ...] = ()
    """What the report should say about this view, such as a folder that is read-only in it."""

    def path(self, outside: Path) -> Path:
        """Where a file of the user is in the view."""
        if self.moved and outside.is_relative_to(self.moved[0]):
            return self.moved[1] / outside.relative_to(self.moved[0])
        return outside

    def used_bytes(self) -> int:
        """What the script's changes take on the disk so far."""
        return scratch_folder.used_bytes(self.scratch)


class Tier(ABC):
    """One way to keep the user's files as they are, found to work here before it is handed out."""

    name: ClassVar[str]
    protects: ClassVar[bool]
    """Whether files outside the view cannot change, rather than being compared afterwards."""
    promise: str
    """One sentence for the report."""

    def __init__(self, *, project: Path, scratch: Path) -> None:
        self.project = project
        self.scratch = scratch

    @contextmanager
    def prepare(self, cwd: Path, writable: Sequence[Path] = ()) -> Iterator[View]:
        """A fresh view for one life. `writable` folders are advisor's own: what is written there is truly written."""
        for path in writable:
            if self.project.is_relative_to(path.resolve()):
                raise UsageError(
                    f"advisor's own folder {path} holds the project folder {self.project}, which could then change; "
                    "choose another --runs"
                )
        folder = scratch_folder.make(self.scratch)
        try:
            yield from self._prepare(folder, cwd.resolve(), [path.resolve() for path in writable])
        finally:
            try:
                scratch_folder.remove(folder)
            except BaseException:  # Ctrl-C just now: the folder goes all the same
                scratch_folder.remove(folder)
                raise

    @abstractmethod
    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        """Yields the view once; `folder` is its scratch folder."""
