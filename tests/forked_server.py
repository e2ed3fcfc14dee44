"""Server of `forked.py`: it has imported torch, and forks itself for every script and every command that it is told of.

A line of JSON comes in; the process id of the fork and its exit code go out. With the word `commands` it has imported
the `advisor` command as well, and with other words modules of these names.
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
import signal
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

TESTS = Path(__file__).resolve().parent
ROOMS = ("analysis", "cli", "planning", "report", "rules", "runtime", "search", "settings_file", "storage", "target",
         "verification", "workflows")  # fmt: skip
"""Packages of advisor that a command imports piece by piece."""
BOOTSTRAP = TESTS.parent / "advisor" / "agent" / "bootstrap.py"
PRELOADED = ("LD_PRELOAD", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_BLOCKTIME", "PYTORCH_CUDA_ALLOC_CONF")
"""Variables that are read while an interpreter or torch starts: another value needs a new program."""


class Becomes(BaseException):
    """Stands for `os.execve` of another Python script: the fork goes on with that script from its first frame."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.argv, self.environment = list(argv), dict(environment)


def main() -> None:
    before = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    installed = [entry for entry in sys.path[1:] if entry not in before]
    _preload(sys.argv[1:])
    gc.collect()
    gc.freeze()
    given = _asked()
    _settle(given)
    if "command" in given:
        code = _as_command(given["command"], installed, thin=given["thin"])
    else:
        sys.argv[:] = given["argv"]
        sys.path[:] = [given["folder"], *_pythonpath(), *installed]
        code = _code_of(lambda: runpy.run_path(given["argv"][0], run_name="__main__"), traceback.print_exc)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    os._exit(code)


def _preload(words: Sequence[str]) -> None:
    names = ["torch", "torch._dynamo", "torch.utils.data", *(word for word in words if word != "commands")]
    if "commands" in words:
        names += ["advisor.__main__", "advisor.api"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            importlib.import_module(name)
    if "commands" not in words:
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
    for number, path in ((0, os.devnull), (1, given["out"]), (2, given["err"])):
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


def _code_of(run: Callable[[], object], show: Callable[[], object]) -> int:
    """Return the exit code with which an interpreter would end; `show` prints what was raised."""
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


def _as_command(words: Sequence[str], installed: list[str], *, thin: bool) -> int:
    """Do what `python -m advisor WORDS` does; a script that the process becomes is run in this one."""
    shown, filters = warnings.showwarning, list(warnings.filters)
    sys.path[:] = [str(Path.cwd()), *_pythonpath(), *installed]
    start: Any = importlib.import_module("advisor.__main__")
    sys.argv[:] = [str(start.__file__), *words]
    sys.orig_argv[:] = [sys.executable, "-m", "advisor", *words]
    if thin:
        _thin().make_thin(setattr)
    started_with = {name: os.environ.get(name) for name in PRELOADED}
    replaced = os.execve

    def becomes(program: Any, argv: Any, environment: Any) -> NoReturn:
        here = program == sys.executable and not argv[1].startswith("-") and argv[1].endswith(".py")
        if not here or {name: environment.get(name) for name in PRELOADED} != started_with:
            replaced(program, argv, environment)
        raise Becomes(argv, environment)

    os.execve = becomes
    try:
        start.users_folders_last(sys.path[0])
        return _code_of(start.main, traceback.print_exc)
    except Becomes as script:
        argv = script.argv
        _environment(script.environment)
    os.execve = replaced
    warnings.showwarning, warnings.filters[:] = shown, filters  # type: ignore[index]
    sys.unraisablehook = sys.__unraisablehook__
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        signal.signal(number, usual)
    gc.unfreeze()
    for name in [name for name in sys.modules if name.partition(".")[0] == "advisor"]:
        del sys.modules[name]
    sys.path[:] = [str(Path(argv[1]).resolve().parent), *_pythonpath(), *installed]
    sys.argv[:], sys.orig_argv[:] = argv[1:], argv
    return _code_of(lambda: _run_main(argv[1]), _show_from_main)


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
