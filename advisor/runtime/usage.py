"""Resource usage of the script's processes, cheap enough to read four times a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

BUSY_FIELDS = (1, 2, 3, 6, 7)
"""Fields in the lines of /proc/stat: user (includes guests), nice, system, interrupts."""


@dataclass(frozen=True, kw_only=True)
class TreeUsage:
    """Usage of all the script's processes at one moment, including ended ones that a parent has collected."""

    cpu_s: float
    rss_bytes: int
    """Memory in use; shared memory and files count once, as the largest share of one process."""
    processes: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class SystemUsage:
    """Counters of the machine since it started; only their differences matter."""

    swapped_in_bytes: int
    busy_s: float
    """CPU time of all programs, summed over the CPUs that this process may run on."""


def tree_usage(root: int) -> TreeUsage:
    """Sum over the processes below `root` (the keeper, which is not counted itself)."""
    return _linux_usage(root) if Path("/proc/self/statm").exists() else _portable_usage(root)


def system_usage() -> SystemUsage | None:
    """Return the machine's counters; None if the system does not report them."""
    try:
        cpus = _lines_of_usable_cpus(Path("/proc/stat").read_text())
        fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return SystemUsage(
        swapped_in_bytes=int(fields.get("pswpin", 0)) * os.sysconf("SC_PAGE_SIZE"),
        busy_s=sum(int(cpu[index]) for cpu in cpus for index in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK"),
    )


def _lines_of_usable_cpus(text: str) -> list[list[str]]:
    """Return the fields of each CPU on which this process may run: what others do elsewhere disturbs nobody here."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    return [line for line in lines if line[0] in usable] or lines[:1]


def _linux_usage(root: int) -> TreeUsage:
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    ticks = threads = private = shared = processes = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            memory = Path(f"/proc/{pid}/statm").read_text().split()
        except OSError:
            continue  # ended since the tree was read
        processes += 1
        ticks += sum(int(value) for value in fields[11:15])
        threads += int(fields[17])
        private += int(memory[1]) - int(memory[2])
        shared = max(shared, int(memory[2]))
    return TreeUsage(
        cpu_s=ticks / tick,
        rss_bytes=(private + shared) * page,
        processes=processes,
        threads=threads,
    )


def tree(root: int) -> Iterator[int]:
    """Yield the processes below `root` from the kernel's lists of children, without walking all processes."""
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for child in _children(parent):
            yield child
            waiting.append(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return found if Path("/proc/self/task").exists() else _portable_children(pid)
    for task in tasks:
        try:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
        except FileNotFoundError:
            if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
                return _portable_children(pid)  # a kernel without the lists
        except OSError:
            continue
    return found


def _portable_children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _portable_usage(root: int) -> TreeUsage:
    cpu_s, rss_bytes, processes, threads = 0.0, 0, 0, 0
    try:
        family = psutil.Process(root).children(recursive=True)
    except psutil.Error:
        family = []
    for process in family:
        try:
            times, memory, count = process.cpu_times(), process.memory_info(), process.num_threads()
        except psutil.Error:
            continue
        cpu_s += times.user + times.system
        rss_bytes += memory.rss
        processes, threads = processes + 1, threads + count
    return TreeUsage(cpu_s=cpu_s, rss_bytes=rss_bytes, processes=processes, threads=threads)
