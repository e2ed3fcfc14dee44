"""Constants in the text of a Python file: found, set in the parsed file before it runs, or edited in the text.

A constant is a literal that is assigned once, in a line that certainly runs: `BATCH_SIZE = 64`, also below
`if __name__ == "__main__":`, in the body of a class, or as an entry of a dictionary. Anything that could give the name
another value later makes it unusable, and the reason is kept.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from ..refused import Refused
from .bindings import FieldChanges, ModuleScope, changes_of_fields, names_read

Plain = Union[bool, int, float, str]  # noqa: UP007 - Python 3.9
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
"""A line with its end, by Python's own rules: `splitlines` would also end one at a form feed."""


@dataclass(frozen=True)
class Constant:
    """A literal that can be set."""

    name: str
    """`BATCH_SIZE`; of a class or a dictionary `Config.batch_size`."""
    value: Plain
    line: int
    node: ast.expr = field(repr=False, compare=False)
    """Node of the literal."""

    def check(self, value: Plain, file: str) -> None:
        """Raise Refused if the constant, which stands in this file, cannot have the value."""
        if _kind(self.value) is not _kind(value):
            raise Refused(f"{self.name} is {self.value!r} in line {self.line} of {file}; {value!r} is of another type")


@dataclass(frozen=True)
class Unsettable:
    """A name that looks like a constant and cannot be set."""

    name: str
    line: int
    why: str
    """Reason as a clause that follows the name: "is assigned in lines 3 and 9"."""
    is_computed: bool = False
    """True if that is all: it has one value, which the file computes, perhaps from another constant."""


Found = Mapping[str, Union[Constant, Unsettable]]  # noqa: UP007 - Python 3.9


def parse(source: bytes) -> ast.Module:
    """Parse a file; raise Refused if it is not Python that this interpreter reads."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"it cannot be parsed: {error}") from error


def constants_of(tree: ast.Module, *, is_main: bool = True) -> Found:
    """Find the constants of a file, and the names that look like one, with the reason why they cannot be set.

    `is_main` is False for an imported module, where the block below `if __name__ == "__main__":` does not run.
    """
    scope, changes = ModuleScope(tree), changes_of_fields(tree)
    straight = list(_straight(tree, is_main))
    values = dict(straight)
    found: dict[str, Constant | Unsettable] = {}
    for name, lines in scope.assigned.items():
        found[name] = _judged(name, values.get(name), lines[0], scope)
    for owner, made in straight:
        entries = _class_fields(made) if isinstance(made, ast.ClassDef) else _entries(made)
        for key, value in entries:
            found[f"{owner}.{key}"] = _field(owner, key, value, scope, changes)
    return found


def read_in(tree: ast.Module, name: str) -> bool:
    """Return whether the file reads the name; nothing follows from setting one that it does not."""
    return "." in name or name in names_read(tree)


def with_constants(tree: ast.Module, values: Mapping[str, Plain], *, is_main: bool = True) -> ast.Module:
    """Return the tree with these values; line numbers stay. Raise Refused if a constant cannot be set."""
    chosen = {id(one.node): values[one.name] for one in _checked(tree, values, is_main=is_main)}

    class Setter(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            if id(node) in chosen and isinstance(node, ast.expr):
                return ast.copy_location(ast.Constant(chosen[id(node)]), node)
            return self.generic_visit(node)

    changed: ast.Module = Setter().visit(tree)
    return changed


def edited(source: bytes, values: Mapping[str, Plain], *, is_main: bool = True) -> tuple[list[str], list[str]]:
    """Return the file's lines before and after, with their ends; only the literals differ.

    Raise Refused if a constant cannot be set, or if the file is not UTF-8.
    """
    tree = parse(source)
    encoding, _lines = tokenize.detect_encoding(io.BytesIO(source).readline)
    if encoding not in ("utf-8", "utf-8-sig", "ascii"):
        raise Refused(f"its encoding is {encoding}, and a patch is UTF-8")
    before = _LINE.findall(source[len(_BOM) :].decode() if source.startswith(_BOM) else source.decode())
    after = list(before)
    nodes = [(one.node, values[one.name]) for one in _checked(tree, values, is_main=is_main)]
    for node, value in sorted(nodes, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
        line = after[node.lineno - 1].encode()
        if node.end_lineno != node.lineno or node.end_col_offset is None:
            raise Refused(f"the literal in line {node.lineno} takes several lines")
        after[node.lineno - 1] = (line[: node.col_offset] + repr(value).encode() + line[node.end_col_offset :]).decode()
    if source.startswith(_BOM) and before:
        before[0], after[0] = "\ufeff" + before[0], "\ufeff" + after[0]
    return before, after


def _checked(tree: ast.Module, values: Mapping[str, Plain], *, is_main: bool) -> list[Constant]:
    """Return the constants to set; raise Refused for one that is not there, not a literal, or of another type."""
    found, chosen = constants_of(tree, is_main=is_main), []
    for name in values:
        one = found.get(name)
        if one is None:
            raise Refused(f"it has no constant {name}")
        if isinstance(one, Unsettable):
            raise Refused(f"{name} {one.why}")
        chosen.append(one)
    return chosen


def _kind(value: Plain) -> type:
    return str if isinstance(value, str) else bool if isinstance(value, bool) else float


# --- judging ----------------------------------------------------------------------------------------------------------


def _judged(name: str, value: ast.AST | None, line: int, scope: ModuleScope) -> Constant | Unsettable:
    """Return the constant with this value, or why the name is none."""
    why = scope.why_open(name)
    if why is None and not isinstance(value, ast.expr):
        why = f"is not assigned on its own in line {line}, or not always"
    if why is not None or not isinstance(value, ast.expr):
        return Unsettable(name, line, why or "is a class")
    return _constant(name, value)


def _field(owner: str, key: str, value: ast.expr, scope: ModuleScope, changes: FieldChanges) -> Constant | Unsettable:
    why = scope.why_open(owner)
    if why is not None:
        return Unsettable(f"{owner}.{key}", value.lineno, f"cannot be set: {owner} {why}")
    line = changes.line_of(owner, key)
    if line is not None:
        return Unsettable(f"{owner}.{key}", value.lineno, f"gets another value in line {line}")
    return _constant(f"{owner}.{key}", value)


def _constant(name: str, value: ast.expr) -> Constant | Unsettable:
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        literal = None
    # `literal_eval` also adds: 1 + 2j, and thus 1 + 2.
    if isinstance(value, (ast.Constant, ast.UnaryOp)) and isinstance(literal, (bool, int, float, str)):
        return Constant(name, literal, value.lineno, value)
    return Unsettable(name, value.lineno, f"is not a plain literal in line {value.lineno}", is_computed=True)


# --- statements -------------------------------------------------------------------------------------------------------


def _straight(tree: ast.Module, is_main: bool) -> Iterator[tuple[str, ast.expr | ast.ClassDef]]:
    """Yield name and value of the assignments, and the classes, that run exactly once, in order."""
    for statement in tree.body:
        is_guard = isinstance(statement, ast.If) and _is_main_guard(statement.test)
        inner = statement.body if is_main and isinstance(statement, ast.If) and is_guard else [statement]
        for one in inner:
            if isinstance(one, ast.ClassDef):
                yield one.name, one
            yield from _assigned(one)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement assigns, each with its own value: `a = 1`, `a: int = 1`, `a, b = 1, 2`."""
    target = value = None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    elif isinstance(statement, ast.AnnAssign):
        target, value = statement.target, statement.value
    if value is None:
        return
    pairs: list[tuple[Any, ast.expr]] = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = list(zip(target.elts, value.elts))  # noqa: B905 - Python 3.9 has no strict=
        if any(isinstance(one, ast.Starred) for one in (*target.elts, *value.elts)):
            return
    for one, its_value in pairs:
        if isinstance(one, ast.Name):
            yield one.id, its_value


def _is_main_guard(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare):
        return False
    sides = [test.left, *test.comparators]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return (names, texts, len(test.ops), type(test.ops[0])) == (["__name__"], ["__main__"], 1, ast.Eq)


def _class_fields(made: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    pairs = [pair for one in made.body for pair in _assigned(one)]
    names = [name for name, _value in pairs]
    yield from (pair for pair in pairs if names.count(pair[0]) == 1)


def _entries(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield the entries of a dictionary with plain names as keys: `{"batch_size": 64}` or `dict(batch_size=64)`."""
    pairs: list[tuple[Any, ast.expr]] = []
    if isinstance(value, ast.Dict):
        names = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
        pairs = list(zip(names, value.values))  # noqa: B905 - Python 3.9 has no strict=
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        pairs = [(keyword.arg, keyword.value) for keyword in value.keywords]
    keys = [key for key, _one in pairs]
    if None in keys:  # `**others` may hold any of the names
        return
    for key, one in pairs:
        if isinstance(key, str) and key.isidentifier() and keys.count(key) == 1:
            yield key, one
