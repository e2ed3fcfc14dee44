"""Part of a notebook's executed cells that one of its functions needs, as the text of a script."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ..errors import UsageError

MAGIC = "get_ipython"
"""Function that IPython calls for `%magic` and `!command`."""
RUN_THEIR_TEXT = ("time", "capture", "prun")
"""Magics that run their text in the notebook, such as `%%time` above a cell of definitions."""
ONLY_SHOW = ("print", "display", "help", "input")
TRAINS = ("backward", "fit")
"""Methods by which a statement trains; earlier attempts in the notebook must not be repeated before each run."""
AT_ONCE = ("listcomp", "setcomp", "dictcomp", "genexpr")
"""Scopes that, unlike functions, run where they stand."""
_DEFINITELY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ImportFrom, ast.Assign, ast.AnnAssign)
"""Statements that certainly bind their names, so that nothing before counts; `import a.b` keeps `import a.c`."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try)
_RAW_MAGIC = re.compile(r"^(\s*)(?:[\w, ]+=\s*)?[%!].*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Needed part of the cells."""

    future: str
    """Notebook's imports from `__future__`, as one statement; empty if there are none."""
    text: str
    """Statements, each below a comment with the cell and line that it comes from."""
    body: str
    """Statements without the comments, since cells that are run again get other numbers."""


@dataclass(kw_only=True, eq=False)
class _Statement:
    """Top-level statement of a cell."""

    node: ast.stmt
    source: str
    cell: int
    line: int
    binds: set[str]
    uses: set[str]
    """Names that it needs where it stands."""
    later: set[str]
    """Names that the functions in it need once they are called."""
    before: Mapping[str, _Statement] = field(default_factory=dict)
    """Name → the statement that bound it last, before this one."""


def needed(name: str, cells: Sequence[str], *, known: Collection[str], until_line: int | None = None) -> Cells:
    """Collect the statements that the function `name` needs, transitively, in the order of their execution.

    `cells` are all executed cells, the first at index 1 as in IPython's `In`. `known` are the names that exist in the
    notebook. `until_line` is the line of the last cell that is being executed: nothing from there on counts.
    Raises UsageError if the cells' own statements do not provide a name.
    """
    statements = list(_statements(cells, until_line))
    bound: dict[str, _Statement] = {}
    for one in statements:
        one.before = dict(bound)
        bound.update(dict.fromkeys(one.binds, one))
    if name not in bound:
        raise UsageError(f"no executed cell defines {name}(): write it into a module, or give the path of a script")
    wanted = {name} | _later(name, bound, set())
    chosen: list[_Statement] = []
    for one in reversed(statements):
        if _is_wanted(one, wanted, name):
            chosen.insert(0, one)
            if isinstance(one.node, _DEFINITELY):
                wanted -= one.binds
            wanted |= one.uses
            for used in one.uses:
                wanted |= _later(used, one.before, set())
    made = {bound_name for one in chosen for bound_name in one.binds}
    _check_found(name, wanted - made, known)
    futures = [alias.name for one in statements if _is_future(one.node) for alias in one.node.names]
    chosen = [one for one in chosen if not _is_future(one.node)]
    return Cells(
        future=f"from __future__ import {', '.join(dict.fromkeys(futures))}" if futures else "",
        text="\n\n".join(f"# cell {one.cell}, line {one.line}\n{one.source}" for one in chosen),
        body="\n".join(one.source for one in chosen),
    )


def _later(name: str, bound: Mapping[str, _Statement], seen: set[str]) -> set[str]:
    """Return the names that functions and methods behind `name`, and those they call, look up once it is used."""
    statement = bound.get(name)
    if statement is None or name in seen:
        return set()
    seen.add(name)
    found = set(statement.later)
    for other in (*statement.later, *statement.uses):
        found |= _later(other, bound, seen)
    return found


def _is_wanted(one: _Statement, wanted: set[str], function: str) -> bool:
    made = sorted(one.binds & wanted)
    if MAGIC in one.uses:
        if made:
            raise UsageError(
                f"{made[0]} comes from a magic in cell {one.cell}, line {one.line} ({_first_line(one.source)}): "
                "a script cannot run it; write it as plain Python"
            )
        return False
    if made or _changed(one.node) & wanted:
        return True
    is_call = isinstance(one.node, ast.Expr) and isinstance(one.node.value, ast.Call)
    if not is_call and not (isinstance(one.node, _BLOCKS) and _has_effect(one.node)):
        return False
    outside = one.uses - one.binds
    touched = outside & wanted
    only_needed = all(used in wanted or hasattr(builtins, used) for used in outside)
    skipped = function in one.uses or _only_shows(one.node) or _calls_advisor(one) or _trains(one)
    return bool(touched) and only_needed and not skipped


def _calls_advisor(one: _Statement) -> bool:
    sources = [one.before[name].node for name in one.uses if name in one.before]
    named = [alias.name for node in sources if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module or "" for node in sources if isinstance(node, ast.ImportFrom)]
    return any(module.partition(".")[0] == "advisor" for module in named)


def _changed(node: ast.stmt) -> set[str]:
    """Return the names whose objects are changed, as in `config.rate = 1` or `table["a"] = 2`."""
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [getattr(node, "target", None)]
    found = set()
    for target in targets:
        inner: Any = target
        while isinstance(inner, ast.Attribute | ast.Subscript):
            inner = inner.value
        if isinstance(inner, ast.Name) and inner is not target and not isinstance(node, ast.For):
            found.add(inner.id)
    return found


def _has_effect(block: ast.stmt) -> bool:
    inside = [node for node in ast.walk(block) if isinstance(node, ast.stmt) and node is not block]
    return any(_changed(node) or (isinstance(node, ast.Expr) and not _only_shows(node)) for node in inside)


def _only_shows(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    if isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ONLY_SHOW


def _trains(one: _Statement) -> bool:
    """Return True if the statement trains, or calls a function of a cell that does."""
    waiting, seen = [one], [one]
    while waiting:
        statement = waiting.pop()
        calls = (node.func for node in ast.walk(statement.node) if isinstance(node, ast.Call))
        if any(isinstance(called, ast.Attribute) and called.attr in TRAINS for called in calls):
            return True
        for name in statement.uses | statement.later:
            other = one.before.get(name)
            if other is not None and other not in seen and isinstance(other.node, _DEFINITIONS):
                seen.append(other)
                waiting.append(other)
    return False


def _check_found(name: str, missing: set[str], known: Collection[str]) -> None:
    lost = sorted(one for one in missing if one == MAGIC or (one in known and not _is_given(one)))
    if lost:
        raise UsageError(
            f"{name}() uses {lost[0]}, which no statement of an executed cell defines (a magic or IPython did): write "
            "it as plain Python, or put the function into a module"
        )


def _is_given(name: str) -> bool:
    """Return True if every script has the name; IPython adds `display`, for which the script has a substitute."""
    return hasattr(builtins, name) or name.startswith("__") or name == "display"


def _is_future(node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _first_line(source: str) -> str:
    return source.strip().splitlines()[0][:60]


# --- reading ----------------------------------------------------------------------------------------------------------


def _statements(cells: Sequence[str], until_line: int | None) -> Iterator[_Statement]:
    """Yield the statements of all cells; cells that are not Python were not executed either."""
    for number, cell in enumerate(cells):
        last = number == len(cells) - 1
        for node, source, line in _parsed(cell):
            if last and until_line is not None and (node.end_lineno or line) >= until_line:
                return
            names = _names(node)
            if names is not None:
                binds, uses, later = names
                yield _Statement(node=node, source=source, cell=number, line=line, binds=binds, uses=uses, later=later)


def _parsed(cell: str, first_line: int = 1) -> Iterator[tuple[ast.stmt, str, int]]:
    """Yield each statement with its text and its line in the cell."""
    tree = _tree(cell)
    lines = cell.splitlines()
    last_end = 0
    for place, node in enumerate(tree.body):
        begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        end = node.end_lineno or begin
        text = _text_of_magic(node)
        if text is not None:
            yield from _parsed(text, first_line + begin)
            continue
        follows = tree.body[place + 1].lineno if place + 1 < len(tree.body) else end + 1
        alone = last_end < begin and follows > end
        source = "\n".join(lines[begin - 1 : end]) if alone else ast.unparse(node)
        yield node, source, first_line + begin - 1
        last_end = end


def _tree(cell: str) -> ast.Module:
    """Parse a cell; remove magics that stand as typed, without changing line numbers."""
    for text in (cell, _RAW_MAGIC.sub(r"\1", cell)):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return ast.Module([], [])


def _text_of_magic(node: ast.stmt) -> str | None:
    """Return the statements that a magic like `%%time` runs; None for any other statement."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return None
    called, args = node.value.func, node.value.args
    if not isinstance(called, ast.Attribute) or called.attr not in ("run_cell_magic", "run_line_magic"):
        return None
    if not args or not all(isinstance(one, ast.Constant) for one in args):
        return None
    words = [str(one.value) for one in args if isinstance(one, ast.Constant)]
    return words[-1] if words[0] in RUN_THEIR_TEXT else None


def _names(node: ast.stmt) -> tuple[set[str], set[str], set[str]] | None:
    """Return the names that a statement binds, uses at once and uses later; None if no script can run it (`await`)."""
    try:
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return None
    symbols = table.get_symbols()
    binds = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported() or one.is_namespace()}
    uses = {one.get_name() for one in symbols if one.is_referenced()}
    uses |= {
        inner.target.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name) and inner.target.id in binds
    }
    later: set[str] = set()
    _inner_names(table, uses, later, at_once=True)
    return binds | _starred(node), uses, later


def _inner_names(table: symtable.SymbolTable, uses: set[str], later: set[str], *, at_once: bool) -> None:
    for child in table.get_children():
        is_function = str(child.get_type()) == "function" and child.get_name() not in AT_ONCE
        now = at_once and not is_function
        (uses if now else later).update(one.get_name() for one in child.get_symbols() if one.is_global())
        _inner_names(child, uses, later, at_once=now)


def _starred(node: ast.stmt) -> set[str]:
    """Return the names that `from module import *` imported."""
    if not isinstance(node, ast.ImportFrom) or node.names[0].name != "*":
        return set()
    module = sys.modules.get(node.module or "")
    return set(getattr(module, "__all__", None) or (name for name in dir(module) if not name.startswith("_")))
