"""Registry of the what-ifs, one per file; each file must define `WHAT_IF`."""

from __future__ import annotations

from ..discovery import entries
from ._base import WhatIf

__all__ = ["WhatIf", "all_what_ifs", "get"]


def get(name: str) -> WhatIf:
    """Return the what-if with that id; raise KeyError if there is no such file."""
    for what_if in all_what_ifs():
        if what_if.id == name:
            return what_if
    raise KeyError(f"no what-if is called {name!r}; there are {[known.id for known in all_what_ifs()]}")


def all_what_ifs() -> list[WhatIf]:
    """Return all what-ifs in the order of their ids. Raise TypeError with the path of a file without its instance."""
    return entries(__name__, __path__, "WHAT_IF", WhatIf)
