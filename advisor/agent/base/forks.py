"""Handling of processes that the script forks: none of our code acts in them, and none of our objects is freed there.

Loader workers, pools and daemons inherit every hook and object of the agent. A module called in a worker (a transform,
a model inside a dataset) must not be mistaken for the training. A device event, stream or tensor must not lose its last
reference there: its destructor calls a driver that does not survive a fork, which ends the process.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Protocol


class Forked(Protocol):
    """Owner of hooks in the script's process or of device objects."""

    def forked(self) -> None:
        """Make every hook behave like torch's own function; called first thing in the child."""


_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_kept: list[object] = []
"""Objects that must outlive everything else in a child. Never emptied."""
_installed = False


def watch(owner: Forked) -> None:
    """Call `owner.forked()` in every child forked from now on, and never free its objects there."""
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


def _never_free(held: object) -> None:
    """Add a reference that is never released, because a child that ends like a script clears its modules, too."""
    ctypes: Any = sys.modules.get("ctypes")  # torch imports it; without torch no object here has a destructor
    if ctypes is not None and hasattr(ctypes, "pythonapi"):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
