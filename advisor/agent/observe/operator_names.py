"""Names of operators, and whether they draw random numbers."""

from __future__ import annotations

from typing import Any


class OperatorNames:
    """Cache of both, which take longer to find than many an operator runs."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[str, bool]] = {}

    @property
    def seen(self) -> set[str]:
        """Names of the operators so far."""
        return {name for name, _draws in self._known.values()}

    def of(self, func: Any) -> tuple[str, bool]:
        """Return the operator's name without its overload, and whether it draws random numbers."""
        found = self._known.get(func)
        if found is None:
            import torch

            packet = getattr(func, "_overloadpacket", None)
            draws = torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
            found = self._known[func] = (str(getattr(packet, "__name__", func)), draws)
        return found
