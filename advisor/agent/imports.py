"""Callbacks for the moment after a module was imported.

A finder in front of `sys.meta_path` watches for a few names. It leaves the spec and its loader as they are (their
types are looked at by others) and puts one attribute on the loader, which is gone again once the module has run.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

from .pass_through import passes_on

Callback = Callable[[Any], None]

_waiting: dict[str, list[Callback]] = {}
_report: Callable[[str], None] | None = None


def when_imported(name: str, callback: Callback) -> None:
    """Calls `callback(module)` right after module `name` has run; at once where that has happened already.

    Only the first import counts, `importlib.reload` does not. What the callback raises is reported (`report_to`), never
    raised into the script's import.
    """
    module = sys.modules.get(name)
    if module is not None:
        _call(callback, module, name)
        return
    _waiting.setdefault(name, []).append(callback)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def report_to(report: Callable[[str], None]) -> None:
    """Where the text of a callback's failure goes."""
    global _report
    _report = report


class _Finder:
    """Finds nothing by itself: asks the finders behind it, and marks the loader of a module that is waited for."""

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _waiting or name in self._asking:
            return None
        self._asking.add(name)
        try:
            spec = _spec_from_others(name, path, target)
        finally:
            self._asking.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _marked(spec.loader)
        return spec

    def invalidate_caches(self) -> None:
        """There are none; importlib calls this on every finder."""


_FINDER = _Finder()


def _spec_from_others(name: str, path: Any, target: Any) -> Any:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        if finder is _FINDER or find_spec is None:
            continue
        spec = find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _marked(loader: Any) -> Any:
    """The loader, with an `exec_module` of its own; behind a stand-in where it takes no attribute (a class does, but
    a mark on it would be seen by every module that it loads)."""
    if isinstance(loader, type):
        return _StandIn(loader)
    run = loader.exec_module

    @passes_on
    def exec_module(module: Any) -> None:
        run(module)
        loader.__dict__.pop("exec_module", None)
        _imported(module)

    try:
        loader.__dict__["exec_module"] = exec_module
    except AttributeError:
        return _StandIn(loader)
    return loader


class _StandIn:
    """A loader that has no place for an attribute, and looks like itself otherwise."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    @passes_on
    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    @passes_on
    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _imported(module)


def _imported(module: Any) -> None:
    name = module.__spec__.name if getattr(module, "__spec__", None) else module.__name__
    # A module may have put something else in its place, as lazy packages do.
    module = sys.modules.get(name, module)
    for callback in _waiting.pop(name, ()):
        _call(callback, module, name)


def _call(callback: Callback, module: Any, name: str) -> None:
    try:
        callback(module)
    except Exception:
        if _report is not None:
            import traceback

            _report(f"after the import of {name}:\n{traceback.format_exc()}")
