"""One file, one entry: the instances that the modules of a package hold under a common name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

Entry = TypeVar("Entry")


def ids(folders: Iterable[str]) -> list[str]:
    """Return the ids of the entries in these folders, without importing any."""
    found = [module_info.name for module_info in pkgutil.iter_modules(list(folders))]
    return [name for name in found if not name.startswith("_")]


def entries(package: str, folders: Iterable[str], name: str, kind: type[Entry]) -> list[Entry]:
    """Return the instance `name` of every module in the package, in the order of their ids.

    Modules whose names begin with an underscore are left out. Raises TypeError with the path of a file whose instance
    is missing, of another kind, or has an id that is not the module's name.
    """
    found = []
    for entry_id in ids(folders):
        module = importlib.import_module(f"{package}.{entry_id}")
        entry = getattr(module, name, None)
        if not isinstance(entry, kind) or getattr(entry, "id", None) != entry_id:
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            raise TypeError(f"{module.__file__}: needs {name}, {article} {kind.__name__} whose id is {entry_id!r}")
        found.append(entry)
    return found
