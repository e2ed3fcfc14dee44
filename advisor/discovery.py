"""One file, one entry: the instances that the modules of a package hold under a common name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

Entry = TypeVar("Entry")


def entries(package: str, folders: Iterable[str], name: str, kind: type[Entry]) -> list[Entry]:
    """Return the instance `name` of every module in the package, in the order of their ids.

    Modules whose names begin with an underscore are left out. Raises TypeError with the path of a file whose instance
    is missing, of another kind, or has an id that is not the module's name.
    """
    found = []
    for module_info in pkgutil.iter_modules(list(folders)):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{module_info.name}")
        entry = getattr(module, name, None)
        if not isinstance(entry, kind) or getattr(entry, "id", None) != module_info.name:
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            raise TypeError(
                f"{module.__file__}: needs {name}, {article} {kind.__name__} whose id is {module_info.name!r}"
            )
        found.append(entry)
    return found
