"""Identification of the C function that a user's line has called, when no Python frame lies below it.

The frame's current instruction gives the call's position in the source (Python 3.11 and newer). The source gives its
name, and the module's globals the meaning of that name. On older interpreters, the whole line decides.
"""

from __future__ import annotations

import ast
import linecache
import sys
from types import CodeType
from typing import Any

_TORCH_PHASES = ("forward", "backward", "optimizer", "host_to_device")
"""Phases in which an unknown method or operator counts as a tensor's; elsewhere it counts as the interpreter's."""

_QUALIFIED = {
    "time.sleep": "sleep",
    "gc.collect": "gc",
    "copy.deepcopy": "copy",
    "copy.copy": "copy",
    "json.load": "io",
    "json.dump": "logging",
    "pickle.load": "io",
    "pickle.dump": "checkpoint",
    "torch.save": "checkpoint",
    "torch.load": "io",
    "io.open": "io",
    # A file that is moved into place or forced to disk was written just before.
    "posix.replace": "checkpoint",
    "posix.rename": "checkpoint",
    "posix.fsync": "checkpoint",
    "posix.fdatasync": "checkpoint",
    "posix.sync": "checkpoint",
    "nt.replace": "checkpoint",
    "nt.rename": "checkpoint",
    "nt.fsync": "checkpoint",
}
_CONVERSIONS = frozenset(
    {"tensor", "as_tensor", "asarray", "Tensor", "FloatTensor", "DoubleTensor", "LongTensor", "IntTensor", "BoolTensor"}
)
"""Functions of torch that read Python's objects one by one: arrays and tensors take them no time worth a sample."""
_MODULES = {
    "os": "io",
    "posix": "io",
    "nt": "io",
    "socket": "io",
    "mmap": "io",
    "select": "sleep",
    "logging": "logging",
    "PIL": "io",
}
_NUMPY_IO = ("load", "save", "savez", "fromfile", "memmap", "loadtxt", "genfromtxt")
_BUILTINS = {"open": "io", "print": "logging", "input": "sleep"}
_METHODS = {
    # Names that only files, sockets and images have, and names that only tensors have.
    "read": "io",
    "readline": "io",
    "readlines": "io",
    "readinto": "io",
    "write": "io",
    "flush": "io",
    "recv": "io",
    "sendall": "io",
    "backward": "torch",
    "zero_grad": "torch",
    "requires_grad_": "torch",
    "detach": "torch",
    "unsqueeze": "torch",
    "index_select": "torch",
    "masked_fill": "torch",
    "softmax": "torch",
    "log_softmax": "torch",
    "matmul": "torch",
    "contiguous": "torch",
    "scatter_add_": "torch",
    "gather": "torch",
    "add_": "torch",
    "mul_": "torch",
    "copy_": "torch",
    "clone": "torch",
    "item": "torch",
    "tolist": "torch",
    "cpu": "torch",
}


_OPERATORS = frozenset(
    {"BINARY_OP", "BINARY_SUBSCR", "COMPARE_OP", "STORE_SUBSCR", "UNARY_INVERT", "UNARY_NEGATIVE", "UNARY_POSITIVE"}
)


def kind_of_call(code: CodeType, instruction: int, line: int, names: dict[str, object], phase: str) -> str:
    """Return one of the kinds of `wire.SampledLine`; `names` are the globals of the code's module."""
    guess = "torch" if phase in _TORCH_PHASES else "python"
    node = _expression(code, instruction, line)
    if node is None:
        return guess if phase in _TORCH_PHASES and instruction >= 0 else "python"
    if isinstance(node, ast.Call):
        return _kind_of_function(node.func, names) or guess
    if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript)):
        return "torch" if _computes_in_c(code, instruction) and _knows_only_torch(names) else guess
    return "python"


def _computes_in_c(code: CodeType, instruction: int) -> bool:
    """Return whether the interpreter's lock was given up inside an operator, as only code in C does: Python itself
    gives it up at calls and jumps."""
    import opcode

    known = sys.version_info >= (3, 11) and 0 <= instruction < len(code.co_code)
    return known and opcode.opname[code.co_code[instruction]] in _OPERATORS


def _knows_only_torch(names: dict[str, object]) -> bool:
    """Return whether the module imports torch and not NumPy, whose operators are the script's own work."""
    modules = {value.__name__.split(".", 1)[0] for value in names.values() if isinstance(value, type(sys))}
    return "torch" in modules and "numpy" not in modules


def _kind_of_function(function: ast.expr, names: dict[str, object]) -> str | None:
    if isinstance(function, ast.Name):
        if function.id in names:
            return _kind_of_object(names[function.id])
        return _BUILTINS.get(function.id)
    if not isinstance(function, ast.Attribute):
        return None
    owner: object = _resolve(function.value, names)
    if owner is not None:
        found = _kind_of_object(getattr(owner, function.attr, None))
        if found is not None:
            return found
    return _METHODS.get(function.attr)


def _resolve(node: ast.expr, names: dict[str, object]) -> object:
    """Return the module that a dotted name means; None otherwise, since inspecting objects could run user code."""
    if isinstance(node, ast.Name):
        found = names.get(node.id)
    elif isinstance(node, ast.Attribute):
        parent = _resolve(node.value, names)
        found = vars(parent).get(node.attr) if parent is not None else None
    else:
        return None
    return found if isinstance(found, type(sys)) else None


def _kind_of_object(value: object) -> str | None:
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if not isinstance(module, str):
        # Many torch functions are built-ins that do not name their module.
        known = type(value).__name__ == "builtin_function_or_method" and _is_torch(name, value)
        return _kind_of_torch(str(name)) if known else None
    top = module.split(".", 1)[0].lstrip("_")
    qualified = f"{top}.{name}"
    if qualified in _QUALIFIED:
        return _QUALIFIED[qualified]
    if top == "numpy" and name in _NUMPY_IO:
        return "io"
    if top == "torch":
        return _kind_of_torch(str(name))
    if top == "builtins":
        return _BUILTINS.get(str(name))
    return _MODULES.get(top)


def _kind_of_torch(name: str) -> str:
    return "python" if name in _CONVERSIONS else "torch"


def _is_torch(name: str, value: object) -> bool:
    return getattr(sys.modules.get("torch"), str(name), None) is value


def _expression(code: CodeType, instruction: int, line: int) -> ast.expr | None:
    """Return the expression that the instruction belongs to."""
    positions = getattr(code, "co_positions", None)
    source = linecache.getline(code.co_filename, line)
    if positions is not None and instruction >= 0:
        spans = list(positions())
        index = instruction // 2
        if index < len(spans):
            source = _segment(code.co_filename, spans[index]) or source
    return _parse(source)


def _segment(filename: str, span: Any) -> str:
    first, last, begin, end = span
    if first is None or last is None or begin is None or end is None:
        return ""
    lines = [linecache.getline(filename, number).encode("utf-8", "replace") for number in range(first, last + 1)]
    if not lines or not lines[0]:
        return ""
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode("utf-8", "replace")


def _parse(source: str) -> ast.expr | None:
    text = source.strip()
    for candidate in (text, f"({text})", text + " pass", text.partition("=")[2].strip()):
        try:
            body = ast.parse(candidate).body
        except (SyntaxError, ValueError):
            continue
        if body and isinstance(body[0], ast.Expr):
            return body[0].value
        value = getattr(body[0], "value", None) if body else None
        if isinstance(value, ast.expr):
            return value
    return None
