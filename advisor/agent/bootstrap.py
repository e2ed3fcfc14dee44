"""Entry point of the script's process: `INTERPRETER bootstrap.py SPEC.json`.

It loads this package under a private name from its own location, without touching `sys.path`. The script finds exactly
the modules that it would find alone, even one called `advisor`.
"""

import os
import sys

# Do this before importing anything else. Python puts our folder first (except with -P), but the names in it
# (`imports`, `network`) belong to the script.
_here = os.path.dirname(os.path.abspath(__file__))
_folder_first = bool(sys.path) and os.path.abspath(sys.path[0]) == _here
if _folder_first:
    del sys.path[0]
_python_made = {name: value for name, value in globals().items() if name.startswith("__")}
_loaded_before = frozenset(sys.modules)

PACKAGE = "_advisor"


def _load_package() -> None:
    import _frozen_importlib_external as external  # importlib.util costs milliseconds

    root = os.path.dirname(_here)
    spec = external.spec_from_file_location(
        PACKAGE, os.path.join(root, "__init__.py"), submodule_search_locations=[root]
    )
    assert spec is not None
    assert spec.loader is not None
    package = type(sys)(PACKAGE)
    package.__spec__, package.__loader__, package.__package__ = spec, spec.loader, PACKAGE
    package.__file__, package.__path__ = spec.origin, [root]
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _load_package()
    from _advisor.safe_path import users_folders_last  # type: ignore[import-not-found]

    _path = users_folders_last()
    from _advisor.agent.runner import start  # type: ignore[import-not-found]

    start(sys.argv[1:], python_made=_python_made, loaded_before=_loaded_before, path=_path, folder_first=_folder_first)
