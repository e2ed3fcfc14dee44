"""Callbacks that run right after a module was imported.

A finder at the front of `sys.meta_path` watches for a few names. It keeps the spec and its loader, whose types others
inspect. It only sets one attribute on the loader, and removes it once the module has run.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Callable

from .pass_through import passes_on

Callback = Callable[[Any], None]

_waiting: dict[str, list[Callback]] = {}
_report: Callable[[str], None] | None = None


def when_imported(name: str, callback: Callback) -> None:
    """Call `callback(module)` right after module `name` has run, or at once if it already has.

    Only the first import counts; `importlib.reload` does not. Exceptions of the callback are reported (`report_to`),
    never raised into the script's import.
    """
    module = sys.modules.get(name)
    if module is not None:
        _call(callback, module, name)
        return
    _waiting.setdefault(name, []).append(callback)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def report_to(report: Callable[[str], None]) -> None:
    """Set the receiver of a callback's failure text."""
    global _report
    _report = report


class _Finder:
    """Finder that asks the finders behind it and marks the loader of an awaited module."""

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
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
        """Do nothing; importlib calls this on every finder."""


_FINDER = _Finder()


def _spec_from_others(name: str, path: object, target: object) -> Any:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        if finder is _FINDER or find_spec is None:
            continue
        spec = find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _marked(loader: Any) -> Any:
    """Return the loader with its own `exec_module`, or a stand-in if it takes no attribute.

    A class also gets a stand-in, because every module that it loads would see the mark.
    """
    if isinstance(loader, type):
        return _StandIn(loader)
    run = loader.exec_module

    @passes_on
    def exec_module(module: object) -> None:
        run(module)
        loader.__dict__.pop("exec_module", None)
        _imported(module)

    try:
        loader.__dict__["exec_module"] = exec_module
    except AttributeError:
        return _StandIn(loader)
    return loader


class _StandIn:
    """Stand-in for a loader that takes no attribute; in all else it behaves like that loader."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    @passes_on
    def create_module(self, spec: object) -> Any:
        return self._loader.create_module(spec)

    @passes_on
    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _imported(module)


def _imported(module: Any) -> None:
    name = module.__spec__.name if getattr(module, "__spec__", None) else module.__name__
    # A module may have replaced itself, as lazy packages do.
    module = sys.modules.get(name, module)
    for callback in _waiting.pop(name, ()):
        _call(callback, module, name)


def _call(callback: Callback, module: ModuleType, name: str) -> None:
    try:
        callback(module)
    except Exception:
        if _report is not None:
            import traceback

            _report(f"after the import of {name}:\n{traceback.format_exc()}")
