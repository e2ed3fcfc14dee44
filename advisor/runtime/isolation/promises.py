"""Promises of each level of isolation; the report, SECURITY.md and the tests take them from this table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class Subject(StrEnum):
    """Thing that a script could change outside its own process."""

    RELATIVE = "project files, by relative paths"
    PROJECT = "project files, by absolute paths or links"
    PROJECT_METADATA = "modes, owners, times and attributes of project files"
    ELSEWHERE = "other files"
    METADATA = "modes, owners, times and attributes of other files"
    SHARED_MEMORY = "files in /dev/shm"
    SYSTEM_V = "System V shared memory, semaphores and queues"
    QUEUES = "POSIX message queues"
    DEVICES = "files in /dev"
    HOST_NAME = "the host name"
    PROCESSES = "processes that the script leaves running"
    NETWORK = "what is sent to other machines and services"


class Kept(StrEnum):
    """Way in which a level keeps something as it was."""

    VIEW = "changes go to a copy that is thrown away"
    REFUSED = "the kernel refuses changes"
    ENDED = "ended with the script"
    COMPARED = "compared before and after, changes are reported"
    REPORTED = "connections are reported, not undone"
    OPEN = "not protected"


class Level(Enum):
    """Level of isolation as it works on this machine; `landlock` has two, with and without a mount namespace."""

    OVERLAY = "overlay"
    LANDLOCK = "landlock, with a mount namespace"
    LANDLOCK_ALONE = "landlock, without a mount namespace"
    COPY = "copy"
    NONE = "none"


_HOW = {
    Level.OVERLAY: "the script ran in a copy-on-write view of the file system",
    Level.LANDLOCK: "the script ran in a copy of the project folder, and everything else was read-only",
    Level.LANDLOCK_ALONE: "the script ran in a copy of the project folder, and the kernel denied writes elsewhere",
    Level.COPY: "UNPROTECTED: the script ran in a copy of the project folder",
    Level.NONE: "UNPROTECTED: the script ran on your files",
}
_COLUMNS = (Level.OVERLAY, Level.LANDLOCK, Level.LANDLOCK_ALONE, Level.COPY, Level.NONE)
_ROWS = {
    Subject.RELATIVE: (Kept.VIEW, Kept.VIEW, Kept.VIEW, Kept.VIEW, Kept.COMPARED),
    Subject.PROJECT: (Kept.VIEW, Kept.REFUSED, Kept.REFUSED, Kept.COMPARED, Kept.COMPARED),
    Subject.PROJECT_METADATA: (Kept.VIEW, Kept.REFUSED, Kept.COMPARED, Kept.COMPARED, Kept.COMPARED),
    Subject.ELSEWHERE: (Kept.VIEW, Kept.REFUSED, Kept.REFUSED, Kept.OPEN, Kept.OPEN),
    Subject.METADATA: (Kept.VIEW, Kept.REFUSED, Kept.OPEN, Kept.OPEN, Kept.OPEN),
    Subject.SHARED_MEMORY: (Kept.VIEW, Kept.VIEW, Kept.COMPARED, Kept.OPEN, Kept.OPEN),
    Subject.SYSTEM_V: (Kept.VIEW, Kept.VIEW, Kept.OPEN, Kept.OPEN, Kept.OPEN),
    Subject.QUEUES: (Kept.VIEW, Kept.REFUSED, Kept.OPEN, Kept.OPEN, Kept.OPEN),  # Landlock alone: made, then refused
    Subject.DEVICES: (Kept.REFUSED, Kept.REFUSED, Kept.REFUSED, Kept.OPEN, Kept.OPEN),
    Subject.HOST_NAME: (Kept.VIEW, Kept.VIEW, Kept.OPEN, Kept.OPEN, Kept.OPEN),
    Subject.PROCESSES: (Kept.ENDED,) * 5,
    Subject.NETWORK: (Kept.REPORTED,) * 5,
}
PROMISES: Mapping[Level, Mapping[Subject, Kept]] = MappingProxyType(
    {level: {subject: row[number] for subject, row in _ROWS.items()} for number, level in enumerate(_COLUMNS)}
)


def sentence(level: Level) -> str:
    """Describe for the report how a level isolates, and what it does not keep from changing."""
    parts = [_HOW[level]]
    for kept, words in ((Kept.COMPARED, "compared before and after"), (Kept.OPEN, "not protected")):
        subjects = dict.fromkeys(_briefly(subject, level) for subject, how in PROMISES[level].items() if how is kept)
        if subjects:
            parts.append(f"{words}: {', '.join(subjects)}")
    if len(parts) == 1:
        parts.append("it could change none of your files")
    return "; ".join(parts)


def _briefly(subject: Subject, level: Level) -> str:
    if subject in (Subject.RELATIVE, Subject.PROJECT, Subject.PROJECT_METADATA):
        return "the project folder"
    promises = PROMISES[level]
    if subject is Subject.METADATA and promises[subject] is promises[Subject.ELSEWHERE]:
        return str(Subject.ELSEWHERE)
    return str(subject)


def table() -> str:
    """Return the table in Markdown, for SECURITY.md."""
    lines = ["| | " + " | ".join(f"`{name}`{comma}{rest}" for name, comma, rest in _titles()) + " |"]
    lines.append("|---" * (len(_COLUMNS) + 1) + "|")
    for subject in Subject:
        lines.append(f"| {subject} | " + " | ".join(PROMISES[level][subject] for level in _COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def _titles() -> list[tuple[str, str, str]]:
    return [level.value.partition(",") for level in _COLUMNS]
