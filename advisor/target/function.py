"""Function that trains, in place of a script: the script that a fresh interpreter runs to call it.

A search starts its training more than once, each time in a view of its own. A function is therefore not called where
it was passed, but by a small script that advisor writes beside its runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..errors import UsageError
from ..settings_file.loaded import AGENT
from ..storage import safe_files
from ..types import Command
from . import command as commands
from . import launchers, notebook

Trainable = str | os.PathLike[str] | Callable[[], object]
"""Target to profile, tune or verify: the path of a script, a module's name, or a function that trains."""
FOLDER = "functions"
"""Folder beside the runs. Scripts in it are named by their content, so that a search can resume."""
_INSTEAD = "give a function without arguments from a module, a script or a notebook cell, or the path of a script"
_ABSOLUTE = '__import__("os").path.abspath(folder)'
"""Expression that leaves no name behind: the script's names are the notebook's."""
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
_GUARD = 'if __name__ == "__main__":'


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Script that calls a function."""

    name: str
    text: str
    body: str
    """Text without the parts that may change from one call to the next."""
    of: str
    """Location of the function, in words."""
    source: str = ""
    args: tuple[str, ...] = ()


def command_for(
    training: Trainable,
    args: Sequence[str] = (),
    *,
    is_module: bool = False,
    interpreter: str | None = None,
    root: Path,
) -> Command:
    """Return the command for a script or module as `command.build` does, or for a function.

    A function's script is stored in `root`, the folder of the runs. Raises UsageError for a function that a fresh
    interpreter could not call, for a function with arguments, and inside a script that advisor itself runs.
    """
    _refuse_inside()
    if not callable(training):
        command = commands.build(os.fspath(training), args, is_module=is_module, interpreter=interpreter)
        launchers.check_one_machine(command)
        return command
    name = _name_of(training)
    if args or is_module:
        given = "module=True" if is_module else f"args={list(args)!r}"
        raise UsageError(
            f"{given} cannot be combined with a function ({name}), which takes no arguments: call it in "
            "another function"
        )
    function_source = _source(training, same_interpreter=interpreter is None)
    path = _kept(function_source, root)
    made = commands.build(str(path), function_source.args, interpreter=interpreter)
    return replace(made, function=f"{name}() of {function_source.of}", source=function_source.source)


def _refuse_inside() -> None:
    """Refuse to run inside a script that advisor runs: each process of a search would start another search."""
    if AGENT in sys.modules:
        raise UsageError(
            f"advisor is called by a script that advisor itself runs: put the call below {_GUARD}, in a separate "
            "script or in the script with the function"
        )


def _name_of(training: Callable[..., object]) -> str:
    """Return the function's name; raise UsageError unless it is a plain one, found by name and without arguments."""
    if isinstance(training, functools.partial):
        raise UsageError(f"a fresh process cannot call a functools.partial: {_INSTEAD}")
    if inspect.ismethod(training):
        raise UsageError(f"{training.__qualname__} is bound to an object of this process: {_INSTEAD}")
    if not inspect.isfunction(training):
        what = "a class" if isinstance(training, type) else f"an object of type {type(training).__name__}"
        raise UsageError(f"{what} is not a function that trains: {_INSTEAD}")
    name = training.__qualname__
    if training.__name__ == "<lambda>":
        raise UsageError(f"a lambda has no name by which a fresh process can find it: {_INSTEAD}")
    if "<locals>" in name:
        raise UsageError(
            f"{name} is defined inside another function, whose variables a fresh process lacks: {_INSTEAD}"
        )
    if inspect.iscoroutinefunction(training) or inspect.isgeneratorfunction(training):
        raise UsageError(f"{name}() trains nothing when it is called (it is a coroutine or a generator): {_INSTEAD}")
    required = [
        one.name
        for one in inspect.signature(training).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if required:
        raise UsageError(f"{name}() needs arguments ({', '.join(required)}): write a function that calls it with them")
    return name


def _source(training: Callable[..., object], *, same_interpreter: bool) -> _Source:
    name, module = training.__qualname__, training.__module__
    owner = sys.modules.get(module)
    spec = getattr(owner, "__spec__", None)
    if module == "__main__" and spec is not None:  # started with -m
        module = spec.name
        _check_guarded(Path(str(spec.origin)), name)
    elif module == "__main__":
        file = Path(inspect.unwrap(training).__code__.co_filename)
        cell = "ipykernel" in file.parent.name or not file.is_file()
        return _of_cells(training, same_interpreter) if cell else _of_file(training, file, same_interpreter)
    source = getattr(owner, "__file__", None)
    if owner is None or source is None:
        raise UsageError(f"the module {module} of {name}() comes from no file: {_INSTEAD}")
    _check_same(training, vars(owner), f"the module {module}")
    body = _lines(
        _path_lines(same_interpreter),
        "import importlib",
        f"module = importlib.import_module({module!r})",
        _call(f"module.{name}"),
    )
    return _Source(name=f"{module}.{name}", text=body, body=body, of=module, source=str(source))


def _of_file(training: Callable[..., object], file: Path, same_interpreter: bool) -> _Source:
    """Write a script that loads the function's own script as a module, so that its guarded part does not run."""
    name = training.__qualname__
    _check_guarded(file, name)
    _check_same(training, vars(sys.modules["__main__"]), file.name)
    module = file.stem.replace(".", "_")
    if module in sys.stdlib_module_names:
        module += "_script"  # torch needs the standard one
    body = _lines(
        _path_lines(same_interpreter),
        "import os, sys, types",
        f"module = types.ModuleType({module!r})",
        f"module.__file__ = os.path.abspath({_from_here(file.absolute())!r})",
        f"sys.modules[{module!r}] = module",
        'with open(module.__file__, "rb") as file:',
        '    code = compile(file.read(), module.__file__, "exec", dont_inherit=True)',
        "exec(code, vars(module))",
        _call(f"module.{name}"),
    )
    args = tuple(sys.argv[1:])  # the function sees the same arguments as here
    return _Source(name=f"{module}.{name}", text=body, body=body, of=file.name, source=str(file.absolute()), args=args)


def _of_cells(training: Callable[..., object], same_interpreter: bool) -> _Source:
    name = training.__qualname__
    shell = _shell()
    if shell is None:
        raise UsageError(
            f"{name}() is not in a file that can be run again (was it typed at a Python prompt?): {_INSTEAD}"
        )
    names: dict[str, Any] = shell.user_ns
    _check_same(training, names, "the notebook")
    found = notebook.needed(
        name.partition(".")[0], list(names.get("In", [])), known=names.keys(), until_line=_line_of_main(names)
    )
    path, call = _path_lines(same_interpreter), _call(name)
    display = "display = print" if "display" in found.body else ""
    begin = _lines(found.future, path, display)
    return _Source(
        name=name,
        text="\n".join((begin, found.text, "\n", call)),
        body=_lines(begin, found.body, call),
        of="the notebook",
    )


def _shell() -> Any:
    """Return the notebook's shell, without importing IPython."""
    module = sys.modules.get("IPython")
    ask = getattr(module, "get_ipython", None) or getattr(sys.modules["__main__"], "get_ipython", None)
    return ask() if callable(ask) else None


def _check_same(training: Callable[..., object], names: dict[str, Any], where: str) -> None:
    """Check that the fresh process will find the given function under its name."""
    first, *rest = training.__qualname__.split(".")
    found = names.get(first)
    for part in rest:
        found = getattr(found, part, None)
    if found is not training:
        raise UsageError(f"{training.__qualname__} of {where} is no longer the object that was given: {_INSTEAD}")


def _check_guarded(file: Path, name: str) -> None:
    """Check that loading the file to find the function does not run the statement that calls advisor again."""
    line = _line_of_main(vars(sys.modules["__main__"]))
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"cannot read {file} of {name}() again: {error}") from None
    for node in tree.body:
        if line is not None and node.lineno <= line <= (node.end_lineno or node.lineno):
            tests = ast.walk(node.test) if isinstance(node, ast.If) else ()
            if "__name__" not in {one.id for one in tests if isinstance(one, ast.Name)}:
                raise UsageError(
                    f"{file.name}, line {line}: every process started for {name}() would repeat this call: put it "
                    f"below {_GUARD}"
                )


def _line_of_main(names: dict[str, Any]) -> int | None:
    """Return the top-level line of the script, or of the cell, that is being executed; None in another thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is names and frame.f_code.co_name.startswith(("<module>", "<cell line")):
            return frame.f_lineno
        frame = frame.f_back
    return None


# --- writing ----------------------------------------------------------------------------------------------------------


def _kept(function_source: _Source, root: Path) -> Path:
    digest = hashlib.sha256(function_source.body.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in function_source.name)[-80:]
    folder = root / FOLDER / digest
    path = folder / f"{name}.py"
    with safe_files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        safe_files.write_atomic(path, function_source.text.encode("utf-8", "backslashreplace"))
    return path


def _path_lines(same_interpreter: bool) -> str:
    """Return code that sets `sys.path` as here; another interpreter gets the user's folders and keeps its packages."""
    libraries = [] if same_interpreter else [Path(sysconfig.get_path(kind)) for kind in _LIBRARIES]
    # An entry that is not a path belongs to an import hook, which each interpreter of the environment installs itself.
    entries = [Path(entry).absolute() for entry in sys.path if Path(entry).exists()]
    wanted = [entry for entry in entries if not any(entry.is_relative_to(folder) for folder in libraries)]
    path = '__import__("sys").path'
    here = f"[{_ABSOLUTE} for folder in {[_from_here(entry) for entry in wanted]!r}]"
    return f"{path}[:] = list(dict.fromkeys({here} + {path}[1:]))"


def _from_here(path: Path) -> str:
    """Return a path below the working folder as relative, since some kinds of isolation run a copy of that folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _call(expression: str) -> str:
    return f"{_GUARD}\n    {expression}()"


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line) + "\n"
