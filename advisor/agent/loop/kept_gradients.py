"""Gradients of one backward that are still there, untouched, when the next one begins."""

from __future__ import annotations

import weakref
from typing import Any

LOOKED_AT = 64
"""Parameters in which a gradient is looked for: those of a frozen part come first in many optimizers."""


class KeptGradients:
    """Notes one parameter's gradient; methods such as PCGrad clear it, since they need that of each loss apart."""

    def __init__(self) -> None:
        self._noted: tuple[weakref.ref[Any], tuple[int, int]] | None = None
        self._stepped = False

    def note(self, optimizer: Any) -> None:
        """Note a gradient of this optimizer's parameters, right after a backward."""
        self._noted, self._stepped = None, False
        groups = getattr(optimizer, "param_groups", ())
        parameters = (parameter for group in groups for parameter in group["params"])
        for parameter, _number in zip(parameters, range(LOOKED_AT)):
            found = _identity(parameter.grad)
            if found is not None:
                self._noted = weakref.ref(parameter), found
                return

    def stepped(self) -> None:
        """Note that an optimizer has stepped: the next backward's gradients are for another step."""
        self._stepped = True

    @property
    def added_to(self) -> bool:
        """Return whether a backward that begins now adds to the gradients noted; True if none could be noted."""
        if self._noted is None or self._stepped:
            return not self._stepped
        parameter, found = self._noted
        alive = parameter()
        return alive is not None and _identity(alive.grad) == found


def _identity(gradient: Any) -> tuple[int, int] | None:
    """Return where a gradient lies, and how often it was written; None if there is none, or if it is sparse."""
    try:
        return None if gradient is None else (gradient.data_ptr(), gradient._version)
    except RuntimeError:  # a sparse tensor, or one without storage
        return None
