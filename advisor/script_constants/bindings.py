"""Bindings of names in a Python file: each place that gives a name of the module, or a field, a value."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
MOST_LINES = 3
"""Lines named in a reason."""


class ModuleScope(ast.NodeVisitor):
    """Names that a file binds as globals, with the lines."""

    def __init__(self, tree: ast.Module) -> None:
        self.assigned: dict[str, list[int]] = {}
        """Name → lines of its assignments and deletions."""
        self._others: dict[str, list[int]] = {}
        """Name → lines of its imports and definitions."""
        self._runs_code: int | None = None
        """Line of a call that may set any name."""
        self._stars: list[int] = []
        self.visit(tree)

    def why_open(self, name: str) -> str | None:
        """Return why the name may have another value than its one assignment gives it; None if it cannot."""
        lines = sorted({*self.assigned.get(name, ()), *self._others.get(name, ())})
        if len(self.assigned.get(name, ())) + len(self._others.get(name, ())) > 1:
            return f"is assigned more than once, in {_lines(lines)}"
        if self._runs_code is not None:
            return f"may be set again by the code that line {self._runs_code} runs"
        later = [line for line in self._stars if lines and line > lines[0]]
        return f"may be replaced by the import of all names in line {later[0]}" if later else None

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.assigned.setdefault(node.id, []).append(node.lineno)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._other((alias.asname or alias.name).partition(".")[0], node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._stars.append(node.lineno)
            self._other(alias.asname or alias.name, node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("exec", "execfile"):
            self._runs_code = self._runs_code or node.lineno
        if isinstance(node.func, ast.Attribute) and node.func.attr == "update" and _is_globals(node.func.value):
            self._runs_code = self._runs_code or node.lineno
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Store) and _is_globals(node.value):
            self._runs_code = self._runs_code or node.lineno
        self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit what is inside, except for other scopes: of those, only what binds globals counts."""
        if isinstance(node, _SCOPES):
            if not isinstance(node, ast.Lambda):
                self._other(node.name, node)
            self._scope(node)
            return
        if isinstance(node, _COMPREHENSIONS):
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    self.visit(inner.target)
            return
        # `except … as name`, `case … as name`, `case [*name]`, `case {**name}`
        for bound in (getattr(node, "name", None), getattr(node, "rest", None)):
            if isinstance(bound, str) and not isinstance(node, ast.alias):
                self._other(bound, node)
        super().generic_visit(node)

    def _scope(self, node: ast.AST) -> None:
        inner = list(ast.walk(node))
        declared = {name for one in inner if isinstance(one, ast.Global) for name in one.names}
        for one in inner:
            if isinstance(one, ast.Name) and one.id in declared and not isinstance(one.ctx, ast.Load):
                self.visit_Name(one)
            elif isinstance(one, (ast.Call, ast.Subscript)):
                self._runs_code = self._runs_code or _sets_globals(one)

    def _other(self, name: str, node: ast.AST) -> None:
        self._others.setdefault(name, []).append(getattr(node, "lineno", 0))


def names_read(tree: ast.Module) -> set[str]:
    """Return the names that the file reads anywhere."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


@dataclass
class FieldChanges:
    """Places in a file that give fields of classes, of their instances and of dictionaries another value."""

    stored: dict[str, int] = field(default_factory=dict)
    """Attribute or key → line that stores it, in whatever object."""
    keywords: dict[tuple[str, str], int] = field(default_factory=dict)
    """Called name and keyword → line."""
    whole: dict[str, int] = field(default_factory=dict)
    """Name → line that may change all of its fields: `Config(64, 0.1)`, `config.update(…)`."""

    def line_of(self, owner: str, key: str) -> int | None:
        """Return the line that may give the field another value; None if there is none."""
        changed = self.stored.get(key), self.keywords.get((owner, key)), self.keywords.get(("replace", key))
        return next((line for line in (*changed, self.whole.get(owner)) if line is not None), None)


def changes_of_fields(tree: ast.Module) -> FieldChanges:
    """Find the places that change fields; an object is not followed, so that each store of a name counts."""
    found = FieldChanges()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found.stored.setdefault(node.attr, node.lineno)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            _subscript(node, found)
        elif isinstance(node, ast.Call):
            _call(node, found)
    return found


def _subscript(node: ast.Subscript, found: FieldChanges) -> None:
    if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        found.stored.setdefault(node.slice.value, node.lineno)
    elif isinstance(node.value, ast.Name):
        found.whole.setdefault(node.value.id, node.lineno)


def _call(node: ast.Call, found: FieldChanges) -> None:
    called = node.func
    if isinstance(called, ast.Name) and called.id == "setattr":
        name = node.args[1] if len(node.args) > 1 else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            found.stored.setdefault(name.value, node.lineno)
        elif node.args and isinstance(node.args[0], ast.Name):
            found.whole.setdefault(node.args[0].id, node.lineno)
    changes_owner = isinstance(called, ast.Attribute) and called.attr in ("update", "setdefault", "pop", "clear")
    if changes_owner and isinstance(owner := getattr(called, "value", None), ast.Name):
        found.whole.setdefault(owner.id, node.lineno)
    name_called = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
    if name_called is None:
        return
    for keyword in node.keywords:
        if keyword.arg is None:
            found.whole.setdefault(name_called, node.lineno)
        else:
            found.keywords.setdefault((name_called, keyword.arg), node.lineno)
    if node.args:
        found.whole.setdefault(name_called, node.lineno)


def _is_globals(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def _sets_globals(node: Any) -> int | None:
    """Return the line of a function's `globals()["name"] = …` or `globals().update(…)`; None for anything else."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_globals(node.value):
        return node.lineno
    called = getattr(node, "func", None)
    if isinstance(called, ast.Attribute) and called.attr == "update" and _is_globals(called.value):
        return int(node.lineno)
    return None


def _lines(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:MOST_LINES]))
    return f"line{'s' if len(lines) > 1 else ''} {shown}{', …' if len(lines) > MOST_LINES else ''}"
