"""Epochs without batches, and texts that fail in one: a counter of batches that they divide by is 0 then."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .enclosing import Loop, scope_of

_DIVIDES = (ast.Div, ast.FloorDiv, ast.Mod)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def why_it_fails(loops: list[Loop]) -> str | None:
    """Return why the script would fail in an empty epoch; None if its text shows no reason.

    `loops` are those around the batch, the innermost first. Only the function that reads the loader is looked at.
    """
    inner, scope = loops[0], scope_of(loops[0])
    if scope is None:
        return None
    outer = next((loop.node for loop in loops[1:] if loop.frame is inner.frame), None)
    epoch = scope if outer is None else outer
    first, last = inner.node.lineno, inner.node.end_lineno or inner.node.lineno
    before = {name for node in _nodes(epoch) if node.lineno < first for name in _bound(node)}
    after = [node for node in _nodes(epoch) if node.lineno > last]
    grown = {name for node in _nodes(inner.node) for name in _grown(node)} & before
    for node in after:
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, _DIVIDES):
            divisor = _counted(node.right if isinstance(node, ast.BinOp) else node.value)
            if divisor in grown:
                return (
                    f"line {node.lineno} divides by `{divisor}`, which counts batches and is 0 in an epoch without any"
                )
    if outer is not None:
        return None  # its names keep their values from the epoch before
    arguments = {each.arg for each in ast.walk(scope) if isinstance(each, ast.arg)}
    made = {name for node in _nodes(inner.node) for name in _bound(node)} - before - arguments
    for node in after:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in made:
            return f"line {node.lineno} uses `{node.id}`, which has no value in an epoch without batches"
        made -= set(_bound(node))
    return None


def _nodes(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield the statements and expressions inside that run in the same frame, in their order."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.expr, ast.stmt)):
            yield child
        if not isinstance(child, _INNER):
            yield from _nodes(child)


def _bound(node: ast.AST) -> list[str]:
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def _grown(node: ast.AST) -> list[str]:
    """Return the name that a statement counts up, or appends to."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return [node.func.value.id] if node.func.attr in ("append", "extend", "add") else []
    return []


def _counted(divisor: ast.AST) -> str | None:
    """Return the name that is divided by: `n`, or the list of `len(losses)`."""
    if isinstance(divisor, ast.Call) and isinstance(divisor.func, ast.Name) and divisor.func.id == "len":
        divisor = divisor.args[0] if divisor.args else divisor
    return divisor.id if isinstance(divisor, ast.Name) else None
