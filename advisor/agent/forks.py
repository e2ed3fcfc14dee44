"""Processes that the script forks: nothing of ours acts in them, and nothing of ours is freed there.

Loader workers, pools and daemons inherit every hook and every object of the agent. A module that is called in a worker
(a transform, a model inside a dataset) must not be taken for the training. An event, a stream or a tensor on a device
must not lose its last reference there: its destructor calls a driver that a fork has cut off, which ends the process.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Protocol


class Forked(Protocol):
    """What has hooks in the script's process, or holds something that belongs to a device."""

    def forked(self) -> None:
        """Called in the child, first thing: from now on every hook does what torch's own function does."""


_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_kept: list[Any] = []
"""In a child: what must outlive everything else in it. Never emptied."""
_installed = False


def watch(owner: Forked) -> None:
    """Call `owner.forked()` in every child forked from now on, and free nothing that it holds there."""
    global _installed
    _watched.add(owner)
    if not _installed and hasattr(os, "register_at_fork"):
        _installed = True
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    owners = list(_watched)
    _kept.extend(owners)
    _never_free(_kept)
    for owner in owners:
        owner.forked()


def _never_free(held: Any) -> None:
    """One reference more than anybody will give back: a child that ends as a script does clears its modules, too."""
    ctypes: Any = sys.modules.get("ctypes")  # torch has imported it; without torch nothing here has a destructor
    if ctypes is not None and hasattr(ctypes, "pythonapi"):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
