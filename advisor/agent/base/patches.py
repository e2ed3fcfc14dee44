"""Attributes that are replaced for a while and then restored exactly."""

from __future__ import annotations

import sys
from typing import Any, Callable

_ABSENT = object()


class Patches:
    """Stack of replaced attributes; `restore` undoes them in reverse order.

    An attribute from the owner's own dictionary is restored as the identical object; an inherited one is deleted. If
    somebody else has replaced ours meanwhile, theirs stays, and ours becomes harmless: every replacement checks `on`
    first.
    """

    def __init__(self) -> None:
        self._saved: list[tuple[object, str, object, object]] = []
        self.on = False

    def replace(self, owner: object, name: str, make: Callable[[Any], object]) -> Any:
        """Put `make(original)` at `owner.name` and return the original; raise AttributeError if there is none."""
        original = getattr(owner, name)
        own = vars(owner).get(name, _ABSENT)
        replacement = make(own.__func__ if isinstance(own, staticmethod) else original)
        setattr(owner, name, replacement)
        self._saved.append((owner, name, own, replacement))
        self.on = True
        return original

    def replace_copies(self, original: object, replacement: object, is_user_file: Callable[[str], bool]) -> None:
        """Also replace the original where a user's module holds it by name (`from copy import deepcopy`)."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not is_user_file(file):
                continue
            for name, value in list(vars(module).items()):
                if value is original:
                    self.replace(module, name, lambda _original: replacement)

    def pause(self) -> None:
        """Put the originals back until `resume`; the stack is kept."""
        for owner, name, own, replacement in reversed(self._saved):
            if vars(owner).get(name) is replacement:
                _put(owner, name, own)

    def resume(self) -> None:
        """Undo `pause`, except where somebody else has replaced the attribute meanwhile."""
        for owner, name, own, replacement in self._saved:
            if vars(owner).get(name, _ABSENT) is own:
                setattr(owner, name, replacement)

    def restore(self) -> None:
        self.on = False
        while self._saved:
            owner, name, own, replacement = self._saved.pop()
            if vars(owner).get(name) is replacement:
                _put(owner, name, own)


def _put(owner: object, name: str, own: object) -> None:
    if own is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, own)
