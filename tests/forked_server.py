"""Server of `forked.py`: it has imported torch, and forks itself for every script and every command that it is told of.

A line of JSON comes in; the process id of the fork and its exit code go out. Its first word says what it is for:
`scripts`, `commands` (it has then imported the `advisor` command as well), or `keepers` (see `forked_keepers.py`), with
the path of its socket. Other words are modules to import, too.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import runpy
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

import forked_keepers
import forked_ranks

TESTS = Path(__file__).resolve().parent
ROOMS = ("analysis", "cli", "planning", "report", "rules", "runtime", "search", "settings_file", "storage", "target",
         "verification", "workflows")  # fmt: skip
"""Packages of advisor that a command imports piece by piece."""


class Becomes(BaseException):
    """Stands for `os.execve` of another Python script: the fork goes on with that script from its first frame."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.argv, self.environment = list(argv), dict(environment)


def main() -> None:
    before = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    installed = [entry for entry in sys.path[1:] if entry not in before]
    kind, *names = sys.argv[1:]
    _preload(names, commands=kind == "commands")
    gc.collect()
    gc.freeze()
    if kind == "keepers":
        listening = forked_keepers.listen(str(names[0]))
        print("listening", flush=True)
        forked_keepers.serve(listening, 0, lambda argv: _program(argv, installed))
    given = _asked()
    _settle(given)
    if "command" in given:
        code = _as_command(given, installed)
    else:
        sys.argv[:] = given["argv"]
        sys.path[:] = [given["folder"], *_pythonpath(), *installed]
        code = _ended(lambda: runpy.run_path(given["argv"][0], run_name="__main__"), traceback.print_exc)
    os._exit(code)


def _preload(names: Sequence[str], *, commands: bool) -> None:
    torchs = ("torch", "torch._dynamo", "torch.utils.data")
    ours = ("advisor.__main__", "advisor.api") if commands else ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*torchs, *(name for name in names if "/" not in name), *ours):
            importlib.import_module(name)
    if not commands:
        return
    for room in ROOMS:
        package = importlib.import_module(f"advisor.{room}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)


def _asked() -> dict[str, Any]:
    """Return in the fork that runs what was asked for; end with the tests."""
    for line in sys.stdin:
        fork = os.fork()
        if fork == 0:
            found: dict[str, Any] = json.loads(line)
            return found
        print(fork, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
    sys.exit()


def _settle(given: Mapping[str, Any]) -> None:
    """Take on the folder, the environment and the streams of a process that was started for this."""
    os.setsid()
    os.chdir(given["folder"])
    _environment(given["environment"])
    for number, path in ((0, given["stdin"]), (1, given["out"]), (2, given["err"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    if given["strict"]:
        warnings.simplefilter("error")


def _environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _pythonpath() -> list[str]:
    return list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))


def _ended(run: Callable[[], object], show: Callable[[], object]) -> int:
    """Run, end threads and streams as an interpreter does, and return its exit code; `show` prints what was raised."""
    try:
        code = _code_of(run, show)
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
    return code


def _code_of(run: Callable[[], object], show: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Becomes:
        raise
    except BaseException:
        show()
        return 1
    return 0


def _as_command(given: Mapping[str, Any], installed: list[str]) -> int:
    """Do what `python -m advisor WORDS` does; a script that the process becomes is run in this one."""
    if given["forks"]:
        _serve_keepers(str(Path(given["out"]).with_name("keepers")), installed)
    shown, filters = warnings.showwarning, list(warnings.filters)
    sys.path[:] = [str(Path.cwd()), *_pythonpath(), *installed]
    start: Any = importlib.import_module("advisor.__main__")
    sys.argv[:] = [str(start.__file__), *given["command"]]
    sys.orig_argv[:] = [sys.executable, "-m", "advisor", *given["command"]]
    if given["thin"]:
        _thin().make_thin(setattr)
    started_as = {name: os.environ.get(name) for name in forked_keepers.NEEDED_AT_THE_START}
    execute = os.execve

    def becomes(program: Any, argv: Any, environment: Any) -> NoReturn:
        here = program == sys.executable and not argv[1].startswith("-") and argv[1].endswith(".py")
        if not here or {name: environment.get(name) for name in started_as} != started_as:
            execute(program, argv, environment)
        raise Becomes(argv, environment)

    def as_before_the_command() -> None:
        os.execve = execute
        warnings.showwarning, warnings.filters[:] = shown, filters  # type: ignore[index]
        sys.unraisablehook = sys.__unraisablehook__
        forked_keepers.signals_as_at_the_start()

    def rank(argv: list[str]) -> int:
        as_before_the_command()
        return _program(argv, installed)

    os.execve = becomes
    if given["forks"]:
        forked_ranks.install_in_runs(rank, setattr)
    try:
        start.users_folders_last(sys.path[0])
        code = _code_of(start.main, traceback.print_exc)
    except Becomes as script:
        as_before_the_command()
        _environment(script.environment)
        argv = script.argv
    else:
        return _ended(lambda: sys.exit(code), traceback.print_exc)
    return _program(argv, installed)


def _serve_keepers(path: str, installed: list[str]) -> None:
    """Have the sessions of this command start scripts in forks of a fork of this process, which ends with it."""
    listening = forked_keepers.listen(path)
    until, _held = os.pipe()  # the second is closed when this process ends
    if os.fork() == 0:
        os.close(_held)
        os.chdir("/")
        forked_keepers.serve(listening, until, lambda argv: _program(argv, installed))
    os.close(until)
    listening.close()
    forked_keepers.install(path, setattr)


def _program(argv: list[str], installed: list[str]) -> int:
    """Do what `python WORDS` does, and return its exit code."""
    gc.unfreeze()
    tempfile.tempdir = None  # that of its own environment
    for name in [name for name in sys.modules if name.partition(".")[0] == "advisor"]:
        del sys.modules[name]
    sys.path[:] = [str(Path(argv[1]).resolve().parent), *_pythonpath(), *installed]
    sys.argv[:], sys.orig_argv[:] = argv[1:], argv
    if argv[1] == str(forked_keepers.LAUNCHER):
        forked_ranks.install_in_torchrun(lambda rank: _program(rank, installed), setattr)
    return _ended(lambda: _run_main(argv[1]), _show_from_main)


def _thin() -> Any:
    spec = importlib.util.spec_from_file_location("thin", TESTS / "search" / "thin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run_main(path: str) -> None:
    """Run a file as the interpreter runs the one that it was given."""
    whole = types.ModuleType("__main__")
    vars(whole).update(
        __file__=path, __builtins__=importlib.import_module("builtins"), __annotations__={}, __cached__=None,
        __loader__=SourceFileLoader("__main__", path),
    )  # fmt: skip
    sys.modules["__main__"] = whole
    exec(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True), vars(whole))


def _show_from_main() -> None:
    """Show an exception without the frames of this file."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    assert kind is not None
    assert error is not None
    sys.excepthook(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    main()
