"""Constants of the script and of its modules, set in the parsed file before it runs.

Line numbers, file names and `inspect.getsource` are those of the file, which is only read. Modules are found by the
script's own import system: a finder at the front of `sys.meta_path` gives the loader of an awaited module another
`get_code`, which neither reads nor writes the module's cached bytecode.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ...refused import Refused
from ...wire import Setting
from .imports import when_imported
from .pass_through import stands_for

ByModule = Mapping[str, Mapping[str, Setting]]
SCRIPT = ""
"""Name that stands for the script in a launch file."""


def compiled(source: bytes, path: str, values: Mapping[str, Any], *, is_main: bool) -> Any:
    """Compile a file with these constants; raise Refused, naming the file, if it no longer has one of them."""
    from ...script_constants import parse, with_constants

    try:
        tree = with_constants(parse(source), values, is_main=is_main)
    except Refused as error:
        raise Refused(f"constants of {path}: {error}") from None
    return compile(tree, path, "exec", dont_inherit=True)


def set_in_modules(values: ByModule, refuse: Callable[[str], object], *, main: Sequence[str] = ()) -> None:
    """Set constants in modules when they are imported; `refuse` is called with the reason if that is impossible.

    `main` are the names by which the interpreter may look for a script that is run as a module.
    """
    modules = {name: values[name] for name in values if name != SCRIPT}
    modules.update({name: values[SCRIPT] for name in main if SCRIPT in values})
    if modules:
        sys.meta_path.insert(0, _Finder(modules, main, refuse))


def tell_of_started_processes(values: ByModule, tell: Callable[[str], object]) -> None:
    """Call `tell` once a process is started anew (`spawn`, `forkserver`): it imports the files as they stand."""
    if not values:
        return
    names = ", ".join(name for constants in values.values() for name in constants)
    told: list[bool] = []

    def patch(spawn: Any) -> None:
        original = spawn.get_preparation_data

        @stands_for(original)
        def get_preparation_data(*args: object, **kwargs: object) -> object:
            if not told:
                told.append(True)
                tell(f"processes that are started by spawn or forkserver import the script with its own {names}")
            return original(*args, **kwargs)

        spawn.get_preparation_data = get_preparation_data

    when_imported("multiprocessing.spawn", patch)


class _Finder:
    """Finder that asks the finders behind it, and changes what the loader of an awaited module compiles."""

    def __init__(self, values: ByModule, main: Sequence[str], refuse: Callable[[str], object]) -> None:
        self._values = values
        self._main = main
        self._refuse = refuse

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name not in self._values:
            return None
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if finder is not self and find_spec is not None else None
            if spec is not None:
                if name in self._main and spec.submodule_search_locations is not None:
                    return spec  # a package is run by the `__main__` in it
                if spec.loader is None or not hasattr(spec.loader, "get_data"):
                    self._refuse(f"constants of {name} cannot be set: it is not loaded from a file")
                else:
                    self._change(spec.loader, name)
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Do nothing; importlib calls this on every finder."""

    def _change(self, loader: Any, name: str) -> None:
        values, is_main, refuse = self._values[name], name in self._main, self._refuse

        def get_code(fullname: str) -> Any:
            path = loader.get_filename(fullname)
            try:
                return compiled(loader.get_data(path), path, values, is_main=is_main)
            except Refused as error:
                refuse(str(error))
                raise ImportError(str(error)) from None

        loader.__dict__["get_code"] = get_code
