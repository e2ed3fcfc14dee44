"""Code that stands in for advisor's own, and for a library's: a frame belongs to whoever its file belongs to."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import advisor

AGENT = Path(advisor.__file__).parent / "agent"
_PLACES = itertools.count()


def of_advisor(source: str, **names: Any) -> dict[str, Any]:
    """The names that this source defines, as a file of the agent would define them."""
    namespace = {"__name__": "advisor.agent.a_hook", **names}
    # On lines of its own: code objects that agree in all but their names are equal, and so would be their marks.
    exec(compile("\n" * next(_PLACES) + source, str(AGENT / "a_hook.py"), "exec"), namespace)
    return namespace


def library(folder: Path, patch: pytest.MonkeyPatch, name: str, source: str) -> ModuleType:
    """An installed package of this name."""
    package = folder / "site-packages" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    patch.syspath_prepend(str(package.parent))
    patch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return importlib.import_module(name)
