"""Attributes put in place of others for a while, and put back exactly."""

from __future__ import annotations

import sys
from typing import Any, Callable

_ABSENT = object()


class Patches:
    """A pile of replaced attributes; `restore` takes them back in reverse order.

    What stood in the owner's own dictionary is put back as the identical object, what was inherited is deleted. Where
    somebody else has put a third object over ours meanwhile, theirs stays, and ours becomes harmless: every
    replacement asks `on` first.
    """

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any, Any]] = []
        self.on = False

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
        """Put `make(original)` at `owner.name`; returns the original. AttributeError where there is none."""
        original = getattr(owner, name)
        own = vars(owner).get(name, _ABSENT)
        replacement = make(own.__func__ if isinstance(own, staticmethod) else original)
        setattr(owner, name, replacement)
        self._saved.append((owner, name, own, replacement))
        self.on = True
        return original

    def replace_copies(self, original: Any, replacement: Any, is_user_file: Callable[[str], bool]) -> None:
        """Also where a user's module holds the original under a name of its own (`from copy import deepcopy`)."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not is_user_file(file):
                continue
            for name, value in list(vars(module).items()):
                if value is original:
                    self.replace(module, name, lambda _original: replacement)

    def pause(self) -> None:
        """Put the originals back until `resume`; the pile is kept."""
        for owner, name, own, replacement in reversed(self._saved):
            if vars(owner).get(name) is replacement:
                _put(owner, name, own)

    def resume(self) -> None:
        """Undo `pause`; where somebody else has put something there meanwhile, theirs stays."""
        for owner, name, own, replacement in self._saved:
            if vars(owner).get(name, _ABSENT) is own:
                setattr(owner, name, replacement)

    def restore(self) -> None:
        self.on = False
        while self._saved:
            owner, name, own, replacement = self._saved.pop()
            if vars(owner).get(name) is replacement:
                _put(owner, name, own)


def _put(owner: Any, name: str, own: Any) -> None:
    if own is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, own)
