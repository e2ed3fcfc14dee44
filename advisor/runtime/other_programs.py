"""Other programs on the machine, and the CPU time that each has used: who disturbs a measurement."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..types import OtherProgram

MOST_NAMED = 3
INIT = 1
"""Number of the process that inherits orphans: what they used in their whole life is none of its own."""
LEAST_CPUS = 0.05
"""CPUs below which a program disturbs nobody."""
INTERPRETERS = ("python", "bash", "sh", "perl", "ruby", "node", "java", "R", "julia")
"""Programs whose own name says nothing: the file that they run is named with them."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """One process at one moment."""

    parent: int
    started: str
    """Ticks since boot: a number of a process is used again."""
    cpu_s: float
    ended_children_s: float = 0.0
    """CPU time of all children that have ended, over their whole life."""


def running(proc: Path = Path("/proc")) -> dict[int, Running]:
    """Return all processes that this one can see; empty where the system has no such list."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[int, Running] = {}
    try:
        names = os.listdir(proc)  # noqa: PTH208
    except OSError:
        return found
    for name in names:
        if not name.isdecimal():
            continue
        try:
            fields = (proc / name / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        found[int(name)] = Running(
            parent=int(fields[1]),
            started=fields[19],
            cpu_s=(int(fields[11]) + int(fields[12])) / tick,
            ended_children_s=(int(fields[13]) + int(fields[14])) / tick,
        )
    return found


def busiest(
    before: Mapping[int, Running], after: Mapping[int, Running], seconds: float, proc: Path = Path("/proc")
) -> tuple[OtherProgram, ...]:
    """Return the programs that used most CPU time between two moments, without this one and what it started."""
    if not before or seconds <= 0:
        return ()
    ours = _descendants(os.getpid(), after)
    by_name: dict[str, float] = {}
    for pid, now in after.items():
        used_s = _used_s(pid, now, before, after)
        if pid not in ours and used_s >= LEAST_CPUS * seconds:
            name = _name(proc / str(pid))
            by_name[name] = by_name.get(name, 0.0) + used_s / seconds
    most = sorted(by_name.items(), key=lambda item: -item[1])[:MOST_NAMED]
    return tuple(OtherProgram(name=name, cpus=cpus) for name, cpus in most)


def _used_s(pid: int, now: Running, before: Mapping[int, Running], after: Mapping[int, Running]) -> float:
    """Return the CPU time that a process, and its children that have ended, used between two moments."""
    then = before.get(pid)
    if pid == INIT:
        return now.cpu_s - then.cpu_s if then is not None else 0.0
    if then is None or then.started != now.started:
        return now.cpu_s + now.ended_children_s
    # A child that has ended brings all of its time, and that of its own children; what they had used before the first
    # moment does not count.
    gone = [before[number] for number in _descendants(pid, before) if number != pid and number not in after]
    earlier_s = sum(one.cpu_s + one.ended_children_s for one in gone)
    return now.cpu_s - then.cpu_s + max(0.0, now.ended_children_s - then.ended_children_s - earlier_s)


def _descendants(root: int, processes: Mapping[int, Running]) -> set[int]:
    ours = {root}
    while more := {pid for pid, one in processes.items() if one.parent in ours and pid not in ours}:
        ours |= more
    return ours


def _name(folder: Path) -> str:
    """Return the program's name, with the file or module that an interpreter runs; never its other arguments."""
    try:
        words = [word for word in (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0") if word]
        title = (folder / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program that has ended"
    name = PurePath(words[0]).name if words else title
    if not name.startswith(INTERPRETERS):
        return name or title
    rest = words[1:]
    if "-m" in rest[:-1]:
        return f"{name} -m {rest[rest.index('-m') + 1]}"
    file = next((word for word in rest if not word.startswith("-") and not word.isdecimal()), None)
    # A program given as text (`python -c`) may hold anything, and an open descriptor (`bash /dev/fd/3`) has no name.
    nameless = file is None or "-c" in rest or file.startswith(("/dev/", "/proc/"))
    return name if file is None or nameless else f"{name} {PurePath(file).name}"
