"""CPUs and threads that this process may use, and who has limited them: a line of the script, an import, or nobody.

What the environment set before the script's first line has no entry.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType, ModuleType
from typing import Any, Callable

from ..base import imports
from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..loop.frames import Frames

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables from which torch takes its threads, on import."""
OWN_THREADS = "advisor"
"""Beginning of the names of all threads of ours."""


class CpuLimitWatch:
    """Watch on calls that limit CPUs or threads, one per process; installed before the script's first line."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._at_start = allowed_cpus()
        self._setters: dict[str, dict[str, Any]] = {}
        self._patches = Patches()

    def install(self) -> None:
        """Patch the few functions that set a limit; none is called in a loop."""
        self._patches.replace(os, "putenv", self._variable_set)  # where every change of `os.environ` ends
        if hasattr(os, "sched_setaffinity"):
            self._patches.replace(os, "sched_setaffinity", self._affinity_set)
        imports.when_imported("psutil._psutil_linux", self._patch_psutil)
        imports.when_imported("torch", self._patch_torch)

    def remove(self) -> None:
        self._patches.restore()

    def describe(self) -> dict[str, Any]:
        """Return the fields of `types.CpuLimits`."""
        return {"allowed": len(allowed_cpus()), "at_start": len(self._at_start), "setters": [*self._setters.values()]}

    def _patch_psutil(self, module: ModuleType) -> None:
        if hasattr(module, "proc_cpu_affinity_set"):
            self._patches.replace(module, "proc_cpu_affinity_set", self._affinity_set)

    def _patch_torch(self, torch: ModuleType) -> None:
        self._patches.replace(torch, "set_num_threads", self._threads_set)

    def _variable_set(self, original: Callable[..., Any]) -> object:
        @stands_for(original, in_c=True)
        def putenv(name: Any, value: Any) -> None:
            original(name, value)
            known = os.fsdecode(name)
            if known in THREAD_VARIABLES:
                self._note(known, os.fsdecode(value), sys._getframe(1))

        return putenv

    def _affinity_set(self, original: Callable[..., Any]) -> object:
        @stands_for(original, in_c=True)
        def sched_setaffinity(pid: int, mask: Any) -> None:
            cpus = list(mask)  # it may be an iterator
            original(pid, cpus)
            if pid in (0, os.getpid()):
                self._note("affinity", str(len(set(cpus))), sys._getframe(1))

        return sched_setaffinity

    def _threads_set(self, original: Callable[..., Any]) -> object:
        @stands_for(original, in_c=True)
        def set_num_threads(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            self._note("torch.set_num_threads", str(next(iter((*args, *kwargs.values())), "")), sys._getframe(1))

        return set_num_threads

    def _note(self, what: str, value: str, frame: FrameType) -> None:
        if self._frames.is_own(frame):
            return
        file, line, function = self._frames.line(frame)
        library = self._frames.library(frame)
        self._setters.pop(what, None)  # the last one counts
        self._setters[what] = {
            "what": what,
            "value": value,
            "file": file,
            "line": line,
            "function": function,
            "library": library,
        }


def allowed_cpus() -> set[int]:
    """Return the CPUs on which some thread of this process may run; empty where the system does not say.

    OpenMP may bind each of its threads, the main one too, to a CPU of its own: together they still use all of them.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set()
    found: set[int] = set(os.sched_getaffinity(0))
    try:
        threads = set(os.listdir("/proc/self/task")) - _own_threads()
    except OSError:
        return found
    for thread in threads:
        try:
            found |= os.sched_getaffinity(int(thread))
        except OSError:
            continue  # it has ended
    return found


def _own_threads() -> set[str]:
    """Return the numbers of advisor's threads, which began before the script could limit anything."""
    return {str(thread.native_id) for thread in threading.enumerate() if thread.name.startswith(OWN_THREADS)}
