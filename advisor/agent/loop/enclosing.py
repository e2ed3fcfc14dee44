"""Loops of the user's text around a line that runs now, and how often they go round.

The text says what a frame does not: a `for` over `range(epochs)` with `epochs` known has a length, a `while` none. Only
names, attributes and arithmetic are evaluated; nothing of the script is called.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import math
import operator
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Callable, NamedTuple, Union

from .frames import USER, Frames

Node = Union[ast.For, ast.While]
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}
_FOR_ITER = dis.opmap["FOR_ITER"]
_RANGES = ("range", "trange")
_AROUND = ("tqdm", "enumerate", "iter", "track", "list", "tuple", "reversed", "progress_bar", "auto")
"""Functions that yield as many items as their first argument has."""
_INSIDE = ("iterable", "_dataloader")
"""Attributes that hold what a progress bar, or a library's loader, goes through."""
_FUNCTIONS: dict[str, Callable[..., Any]] = {"int": int, "max": max, "min": min, "abs": abs, "round": round}
_SIZED = (list, tuple, range, dict, str, set)
MOST_FRAMES = 64


class Loop(NamedTuple):
    """One loop around the line that runs."""

    node: Node
    frame: FrameType
    conditional: bool
    """True if the line is inside an `if` of the loop's body."""

    @property
    def is_while(self) -> bool:
        return isinstance(self.node, ast.While)


def enclosing_loops(frame: FrameType | None, frames: Frames | None = None) -> list[Loop]:
    """Return the loops around this frame's line, and around the calls that led to it, the innermost first."""
    frames, trees, found = frames or Frames(), {}, []
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        name = frame.f_code.co_filename
        if frames.owner(name) == USER:
            if name not in trees:
                trees[name] = _tree(name)
            found += list(_around(frame, trees[name]))
        frame = frame.f_back
    return found


def scope_of(loop: Loop) -> ast.AST | None:
    """Return the function, or the module, whose frame the loop runs in; None if its text was not found."""
    tree = _tree(loop.frame.f_code.co_filename)
    return _scope(tree, loop.frame) if tree is not None else None


def count_of(loop: Loop) -> int | Any | None:
    """Return how often a `for` goes round, or the loader that it reads; None if the text does not say."""
    if not isinstance(loop.node, ast.For):
        return None
    found = _items(loop.node.iter, loop.frame)
    end = _breaks_at(loop)
    return min(found, end) if isinstance(found, int) and end is not None else found


def limit_of(loop: Loop) -> int | None:
    """Return the number that a counter must stay below for the loop to go on; None if the text does not say.

    It is the condition of a `while`, or of an `if` with a `break` in the body.
    """
    if isinstance(loop.node, ast.While):
        test = loop.node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.Lt, ast.LtE)):
            return _whole(evaluate(test.comparators[0], loop.frame))
    return _breaks_at(loop)


def is_loader(value: object) -> bool:
    """Return whether it is a `DataLoader`."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(value, data.DataLoader)


def evaluate(node: ast.AST, frame: FrameType) -> Any:
    """Return the value of a simple expression in this frame; None if it is not simple, or unknown."""
    reader = _READERS.get(type(node))
    return reader(node, frame) if reader is not None else None


def _constant(node: ast.Constant, _frame: FrameType) -> Any:
    return node.value


def _named(node: ast.Name, frame: FrameType) -> Any:
    return frame.f_locals.get(node.id, frame.f_globals.get(node.id))


def _of_owner(node: ast.Attribute, frame: FrameType) -> Any:
    """Return a plain attribute; None for a property, whose code is the script's."""
    try:
        found = inspect.getattr_static(evaluate(node.value, frame), node.attr)
    except (AttributeError, TypeError):
        return None
    return None if hasattr(type(found), "__get__") else found


def _item(node: ast.Subscript, frame: FrameType) -> Any:
    owner, key = evaluate(node.value, frame), evaluate(node.slice, frame)
    return owner.get(key) if type(owner) is dict and isinstance(key, str) else None


def _sum(node: ast.BinOp, frame: FrameType) -> Any:
    left, right, work = evaluate(node.left, frame), evaluate(node.right, frame), _BINARY.get(type(node.op))
    if work is None or not (_is_number(left) and _is_number(right)):
        return None
    try:
        return work(left, right)
    except (ArithmeticError, ValueError):
        return None


def _called(node: ast.Call, frame: FrameType) -> Any:
    name, values = _name(node.func), [evaluate(each, frame) for each in node.args]
    if name == "len" and len(values) == 1:
        return _length(values[0]) if not is_loader(values[0]) else _loader_length(values[0])
    if name in _FUNCTIONS and values and all(map(_is_number, values)):
        return _FUNCTIONS[name](*values)
    return None


def _items(node: ast.AST, frame: FrameType) -> int | Any | None:
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in _RANGES:
            known = [_whole(evaluate(each, frame)) for each in node.args]
            bounds = [bound for bound in known if bound is not None]
            return len(range(*bounds)) if bounds and len(bounds) == len(known) else None
        if name == "islice" and len(node.args) == 2:
            return _whole(evaluate(node.args[1], frame))
        if name in _AROUND and node.args:
            return _items(node.args[0], frame)
        return None
    value = evaluate(node, frame)
    if hasattr(value, "__dict__") and not is_loader(value):
        value = next((inner for name in _INSIDE if (inner := vars(value).get(name)) is not None), value)
    return value if is_loader(value) else _length(value)


def _breaks_at(loop: Loop) -> int | None:
    """Return the limit of a counter at which the body leaves the loop."""
    for node in loop.node.body:
        if not (isinstance(node, ast.If) and any(isinstance(inner, ast.Break) for inner in node.body)):
            continue
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.GtE, ast.Gt, ast.Eq)):
            found = _whole(evaluate(test.comparators[0], loop.frame))
            if found is not None and found > 0:
                return found
    return None


def _around(frame: FrameType, tree: ast.AST | None) -> Iterator[Loop]:
    """Yield the loops of the frame's own function around its line, the innermost first."""
    scope, line = (_scope(tree, frame) if tree is not None else None), frame.f_lineno or 0
    path: list[ast.AST] = []
    while scope is not None:
        path.append(scope)
        scope = next((child for child in _children(scope) if _holds(child, line)), None)
    conditional = False
    for node in reversed(path[1:]):
        if isinstance(node, ast.If):
            conditional = True
        elif isinstance(node, (ast.For, ast.While)) and (line >= node.body[0].lineno or _asks_for_an_item(frame)):
            yield Loop(node, frame, conditional)
            conditional = False


def _asks_for_an_item(frame: FrameType) -> bool:
    """Return whether the frame waits for the next item of its `for`, which is then the loop that it is in."""
    at = frame.f_lasti
    return 0 <= at < len(frame.f_code.co_code) and frame.f_code.co_code[at] == _FOR_ITER


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements inside a statement that run in the same frame."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(child, (ast.stmt, ast.ExceptHandler)) or type(child).__name__ == "match_case":
            yield child


def _holds(node: ast.AST, line: int) -> bool:
    if not hasattr(node, "lineno"):  # a case of a match
        return any(_holds(child, line) for child in getattr(node, "body", ()))
    return bool(node.lineno <= line <= (getattr(node, "end_lineno", None) or node.lineno))


def _scope(tree: ast.AST, frame: FrameType) -> ast.AST | None:
    code = frame.f_code
    if code.co_name == "<module>":
        return tree
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def _tree(name: str) -> ast.AST | None:
    try:
        return ast.parse("".join(linecache.getlines(name)))
    except (SyntaxError, ValueError):
        return None


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _length(value: object) -> int | None:
    return len(value) if type(value) in _SIZED else None  # type: ignore[arg-type]


def _loader_length(loader: Any) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not _is_number(value):
        return None
    return int(value) if float(value).is_integer() else None  # type: ignore[call-overload, arg-type]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


_READERS: dict[type[ast.AST], Callable[[Any, FrameType], Any]] = {
    ast.Constant: _constant,
    ast.Name: _named,
    ast.Attribute: _of_owner,
    ast.Subscript: _item,
    ast.BinOp: _sum,
    ast.Call: _called,
}
