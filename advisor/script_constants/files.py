"""Files of a training whose constants can be set: the script, and modules beside it that it imports by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..refused import Refused
from .bindings import FieldChanges, changes_of_fields
from .syntax import Constant, Found, Plain, Unsettable, constants_of, parse, read_in

MOST_BYTES = 2**20
"""Largest file that is read: a script with a megabyte of text is generated."""
ByModule = Mapping[str, Mapping[str, Plain]]
"""Module ("" is the script) → constant in it → value."""


@dataclass(frozen=True)
class SourceFile:
    """A file, and the constants in it that the training uses."""

    module: str
    """Full name by which it is imported; "" is the script itself."""
    path: Path
    source: bytes
    found: Found

    @property
    def is_main(self) -> bool:
        return not self.module

    def shown(self, name: str) -> str:
        """Return the constant's name as users write it: with its module, if it is not the script's own."""
        return f"{self.module}.{name}" if self.module else name


def script_path(target: str, *, is_module: bool, cwd: str) -> Path:
    """Return the path of the script's file; raise Refused if it is not a file of Python text in reach."""
    path = Path(cwd).joinpath(*target.split(".")) if is_module else Path(cwd) / target
    if path.is_dir():
        path /= "__main__.py"
    elif is_module:
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        raise Refused(f"there is no file {path}")
    return path


def source_files(target: str, *, is_module: bool, cwd: str) -> tuple[SourceFile, ...]:
    """Read the script and the modules beside it from which it takes constants; raise Refused if that is impossible."""
    path = script_path(target, is_module=is_module, cwd=cwd)
    source = _read(path)
    tree = parse(source)
    found = {name: one for name, one in constants_of(tree).items() if read_in(tree, name)}
    script = SourceFile("", path, source, found)
    if not is_module:
        return (script, *_modules(tree, path.resolve().parent, ""))
    package = target if path.name == "__main__.py" else target.rpartition(".")[0]
    return (script, *_modules(tree, Path(cwd), package))


def constants_by_name(files: tuple[SourceFile, ...]) -> dict[str, tuple[SourceFile, Constant | Unsettable]]:
    """Return the name as users write it → its file and what was found there."""
    return {file.shown(name): (file, one) for file in files for name, one in file.found.items()}


def by_module(values: Mapping[str, Plain], target: str, *, is_module: bool, cwd: str) -> ByModule:
    """Sort constants, named as users write them, by the modules that hold them.

    Raise Refused, naming the constant and its file, if one is missing or can no longer be set to its value.
    """
    if not values:
        return {}
    try:
        files = source_files(target, is_module=is_module, cwd=cwd)
    except Refused as error:
        raise Refused(f"the constant {next(iter(values))} cannot be set: {error}") from None
    known = constants_by_name(files)
    sorted_values: dict[str, dict[str, Plain]] = {}
    for name, value in values.items():
        if name not in known:
            raise Refused(f"{files[0].path.name} has no constant {name} that it uses")
        file, one = known[name]
        if isinstance(one, Unsettable):
            raise Refused(f"{name} of {file.path.name} {one.why}")
        one.check(value, file.path.name)
        sorted_values.setdefault(file.module, {})[one.name] = value
    return sorted_values


# --- modules ----------------------------------------------------------------------------------------------------------


@dataclass
class _Use:
    """Names that a script takes from a module."""

    names: set[str]
    every: bool = False


def _modules(script: ast.Module, root: Path, package: str) -> Iterator[SourceFile]:
    changes = changes_of_fields(script)
    for module, use in _imported(script, package).items():
        path = root.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
        if not path.is_file():
            continue
        try:
            source = _read(path)
            tree = parse(source)
        except Refused:
            continue
        found = {
            name: _unless_changed(one, changes, path.name)
            for name, one in constants_of(tree, is_main=False).items()
            if use.every or name.partition(".")[0] in use.names
        }
        if found:
            yield SourceFile(module, path, source, found)


def _imported(script: ast.Module, package: str) -> dict[str, _Use]:
    """Return module → what the script takes from it, by its imports outside functions."""
    uses: dict[str, _Use] = {}
    attributes: dict[str, set[str]] = {}
    for node in ast.walk(script):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            attributes.setdefault(ast.unparse(node.value), set()).add(node.attr)
    for node in script.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                used = attributes.get(alias.asname or alias.name, set())
                uses.setdefault(alias.name, _Use(set())).names |= used
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            if module is None:
                continue
            for alias in node.names:
                use = uses.setdefault(module, _Use(set()))
                use.names.add(alias.name)
                use.every = use.every or alias.name == "*"
                # `from package import config` may mean a module
                used = attributes.get(alias.asname or alias.name, set())
                inner = f"{module}.{alias.name}" if module else alias.name
                uses.setdefault(inner, _Use(set())).names |= used
    return {module: use for module, use in uses.items() if module and (use.names or use.every)}


def _absolute(node: ast.ImportFrom, package: str) -> str | None:
    """Return the full name of the module that is imported from; None if it lies above the package."""
    if not node.level:
        return node.module
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return None
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _unless_changed(one: Constant | Unsettable, changes: FieldChanges, file: str) -> Constant | Unsettable:
    owner, _, key = one.name.rpartition(".")
    line = changes.line_of(owner, key) if owner else changes.stored.get(key)
    if line is None or isinstance(one, Unsettable):
        return one
    return Unsettable(one.name, one.line, f"gets another value in line {line} of the script that imports {file}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            source = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if len(source) > MOST_BYTES:
        raise Refused(f"{path} has more than {MOST_BYTES:,} bytes")
    return source
