"""Modules of a project that its script imports, found by reading them: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

MOST_FILES = 200
MOST_BYTES = 2 * 2**20
"""Limit on one file's size: a larger one was not written by hand."""


def sources(target: str, *, is_module: bool, cwd: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the text and the imports of the script, then of the modules beside it that it imports, and so on.

    Imports are dotted names as seen from the project's folder; a file that cannot be parsed has none.
    """
    script, root = cwd / target, root_of(target, is_module=is_module, cwd=cwd)
    waiting = _files(root, target) if is_module else [script]
    seen: set[Path] = set()
    while waiting and len(seen) < MOST_FILES:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        try:
            if not file.is_file() or file.stat().st_size > MOST_BYTES:
                continue
            source = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        package = file.parent.relative_to(root).parts if file.is_relative_to(root) else ()
        names = list(_imports(source, package))
        yield source, names
        waiting += [beside for name in names for part in parents(name) for beside in _files(root, part)]


def root_of(target: str, *, is_module: bool, cwd: Path) -> Path:
    """Return the folder that Python looks for the project's modules in first."""
    return cwd if is_module else (cwd / target).parent


def is_own(module: str, root: Path) -> bool:
    """Return whether a module of this name is the project's own."""
    return bool(_files(root, module))


def parents(name: str) -> Iterator[str]:
    """Return a name and its parents: `google.cloud.storage`, `google.cloud`, `google`."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def _imports(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the names that a file of this package imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *([node.module] if node.module else []))
            yield from (".".join((*base, alias.name)) for alias in node.names)


def _files(root: Path, module: str) -> list[Path]:
    base = root.joinpath(*module.split("."))
    places = (Path(f"{base}.py"), base / "__init__.py", base / "__main__.py")
    return [place for place in places if place.is_file()]
