"""Worker processes that the script starts: they identify a parent that trains nothing itself."""

from __future__ import annotations

import functools
from typing import Any

from ..base.channel import AgentChannel
from ..base.imports import when_imported
from ..base.pass_through import stands_for

MOST_NOTES = 10
_LOADER_WORKERS = "torch.utils.data."
"""Prefix of loader workers, which the loader counts."""


def watch(channel: AgentChannel) -> None:
    """Report the processes that `multiprocessing` starts, once per function. The children run without an agent."""
    when_imported("multiprocessing.process", lambda module: _patch(module.BaseProcess, channel))


def _patch(base: Any, channel: AgentChannel) -> None:
    noted: set[str] = set()
    start = base.start

    @stands_for(start)
    def noticed_start(self: object) -> object:
        name = _work_of(self)
        if name not in noted and len(noted) < MOST_NOTES and not name.startswith(_LOADER_WORKERS):
            noted.add(name)
            channel.note("child_process", f"{name} ({getattr(self, '_start_method', None) or 'fork'})")
        return start(self)

    base.start = noticed_start


def _work_of(process: Any) -> str:
    target = getattr(process, "_target", None)
    if target is None:
        target = type(process).run
    if getattr(target, "__module__", None) == "torch.multiprocessing.spawn":
        target = process._args[0]  # the function that the script gave to torch.multiprocessing.spawn
    while isinstance(target, functools.partial):
        target = target.func
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    module = getattr(target, "__module__", None)
    return f"{module}.{name}" if module else str(name)
