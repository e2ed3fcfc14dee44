"""Runner of the user's script, like `python script.py args` or `python -m module args` but with the agent beside it.

The script gets its own `__main__`, `sys.argv`, `sys.path[0]` and exit code. Whatever it raises reaches the interpreter,
so hooks, threads, atexit functions and signals work as usual. Only our own frames are removed from the traceback before
it is shown.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
from types import TracebackType
from typing import Any, NoReturn, Protocol

from ..refused import Refused
from ..safe_path import pythonpath
from ..wire import WIRE_VERSION, LaunchSpec
from .base import child_signals, constants, imports, recursion
from .base.channel import AgentChannel
from .base.tracebacks import crash_report, cut_chain, is_out_of_memory

EXIT_AGENT_FAILED = 98
"""Exit code if the agent cannot start in a probe; the script was not run at all."""
INTERRUPTED = 130


class Agent(Protocol):
    """Events that the runner reports to the agent."""

    def finished(self, exit_code: int) -> None:
        """Handle a script that ended on its own, along with its threads and atexit functions."""

    def crashed(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Handle a script that ended with an exception; `Crashed` has already been sent."""


class _Ending:
    """Outcome of the script, reported when the interpreter is about to finish."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._pid = os.getpid()
        self.exit_code: int | None = 0
        """Exit code; None once the agent was notified."""

    def report(self) -> None:
        # A forked child that ends like a script of its own has nothing to report.
        if self.exit_code is not None and os.getpid() == self._pid:
            code, self.exit_code = self.exit_code, None
            self._agent.finished(code)


def start(
    words: list[str],
    *,
    python_made: dict[str, Any],
    loaded_before: frozenset[str],
    path: list[str],
    folder_first: bool,
) -> None:
    """Run the script named in the specification, the last of the words; bootstrap calls this once.

    Words before it are what a launcher gives every rank (`--local-rank=0`). `path` is the script's `sys.path`.
    """
    *given, spec_path = words
    with open(spec_path, encoding="utf-8") as file:
        spec = LaunchSpec(**json.load(file))
    spec.args[:0] = given
    if spec.version != WIRE_VERSION:
        _refuse(
            f"the launch file has version {spec.version}, this agent version {WIRE_VERSION}: install a single advisor"
        )
    probe = spec.mode == "probe"
    channel = (
        AgentChannel.connect(spec.socket, spec.token, leave_when_gone=probe) if spec.socket else AgentChannel(None)
    )
    imports.report_to(lambda text: channel.note("agent_error", text))
    if not spec.socket:
        _begin_real_training(spec_path, keep=spec.launched)
    ending = _Ending(_prepared(spec, channel))
    # Registered first, so it runs last: after the script's own functions, and after its threads were joined.
    atexit.register(ending.report)

    constants.set_in_modules(spec.constants, _refuse, main=_names_of_main(spec))
    constants.tell_of_started_processes(spec.constants, _warn)
    namespace = _fresh_main(python_made)
    sys.path[:] = path
    folder = _set_up_sys(spec, folder_first)
    for users in (*pythonpath(), *([folder] if folder is not None else [])):
        _give_back_shadowed(users, loaded_before)
    by_runpy = spec.is_module or _holds_main(spec.target)
    recursion.hide_frames(within_exec=not by_runpy)
    try:
        if by_runpy:
            import runpy

            # Python itself calls this for -m, a folder or a zip file.
            runpy._run_module_as_main(spec.target if spec.is_module else "__main__", spec.is_module)  # type: ignore[attr-defined]
        else:
            exec(_code_of(spec, namespace), namespace)
    except BaseException as error:
        with child_signals.held():
            _ended_with(error, ending, channel)
        raise


def _prepared(spec: LaunchSpec, channel: AgentChannel) -> Agent:
    """Return the agent with its hooks waiting for torch. If it fails, a real training continues without it."""
    try:
        if spec.ranks > 1:
            from .real_run import rank_start

            rank_start.prepare(spec, channel)
        if spec.config:
            from .settings.on_import import set_on_import

            set_on_import(spec.config)
        if spec.mode == "probe":
            from .probe import children, network, trackers

            children.watch(channel)
            network.watch(channel)
            if spec.trackers_offline:
                trackers.put_offline(channel)
            if spec.seed is not None:
                from .probe import seeds

                seeds.install(spec.seed)
            from .probe.agent import prepare

            return prepare(spec, channel)
        from .real_run.launch import prepare as prepare_run

        return prepare_run(spec)
    except Exception as error:
        import traceback

        channel.note("agent_error", traceback.format_exc())
        if spec.mode == "probe":
            channel.flush()
            _refuse(f"the agent could not start:\n{traceback.format_exc()}")
        if isinstance(error, Refused):
            _refuse(str(error))
        _warn(f"the script runs unmodified: {traceback.format_exc()}")
        return _NoAgent()


def _begin_real_training(spec_path: str, *, keep: bool) -> None:
    """Delete the launch file, unless a launcher does that, and report to stderr: nobody waits for this process."""
    imports.report_to(_warn)
    if not keep:
        with contextlib.suppress(OSError):
            os.unlink(spec_path)


def _warn(text: str) -> None:
    os.write(2, f"advisor: {text}\n".encode("utf-8", "backslashreplace"))


class _NoAgent:
    """Stand-in for the agent in a real training that continues without it."""

    def finished(self, exit_code: int) -> None:
        """Do nothing."""

    def crashed(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Do nothing."""


def _fresh_main(python_made: dict[str, Any]) -> dict[str, Any]:
    """Create a new `__main__` with the names that this Python gives every script."""
    main = type(sys)("__main__")
    namespace = main.__dict__
    namespace.clear()
    namespace.update(python_made, __doc__=None)
    if "__annotations__" in python_made:
        namespace["__annotations__"] = {}
    sys.modules["__main__"] = main
    return namespace


def _set_up_sys(spec: LaunchSpec, folder_first: bool) -> str | None:
    """Set `sys.argv` and `sys.path`; return the script folder put first in `sys.path`, or None if there is none."""
    typed = ["-m", spec.target] if spec.is_module else [spec.target]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[-2:] = [*typed, *spec.args]
    # With -m, runpy replaces "-m" by the module's file once it has found it, as in a plain run.
    sys.argv[:] = [typed[0], *spec.args]
    if not spec.is_module and _holds_main(spec.target):
        folder = os.path.join(os.getcwd(), spec.target)
        sys.path.insert(0, folder)  # with -P too: it is where `__main__` is found
        return folder
    if not folder_first:
        return None
    folder = os.getcwd() if spec.is_module else os.path.dirname(os.path.realpath(spec.target))
    sys.path.insert(0, folder)
    return folder


def _holds_main(path: str) -> bool:
    """Return whether Python would look for `__main__` inside (a folder or a zip file), by asking its path hooks."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _give_back_shadowed(folder: str, loaded_before: frozenset[str]) -> None:
    """Forget standard modules that we have loaded and a file in the script's folder shadows.

    The script must find its own file. Our modules keep the standard one; only `sys.modules` drops it.
    """
    ours = {name.partition(".")[0] for name in sys.modules if name not in loaded_before}
    try:
        entries = os.listdir(folder)
    except OSError:  # a zip file
        return
    shadowed = {
        stem
        for stem, dot, _ in (entry.partition(".") for entry in entries)
        if stem in ours and (dot or os.path.isfile(os.path.join(folder, stem, "__init__.py")))
    }
    for name in [name for name in sys.modules if name not in loaded_before and name.partition(".")[0] in shadowed]:
        del sys.modules[name]


def _names_of_main(spec: LaunchSpec) -> tuple[str, ...]:
    """Return the names by which the import system looks for the script; none for a file, which is run directly."""
    if spec.is_module:
        return spec.target, f"{spec.target}.__main__"
    return ("__main__",) if spec.constants and _holds_main(spec.target) else ()


def _code_of(spec: LaunchSpec, namespace: dict[str, Any]) -> Any:
    """Return the script's code and set the names in `__main__` that record its origin."""
    import _frozen_importlib_external as external

    values = spec.constants.get(constants.SCRIPT)
    path = os.path.join(os.getcwd(), spec.target)
    namespace["__file__"] = path
    if spec.target.endswith(".pyc"):
        compiled = external.SourcelessFileLoader("__main__", path)
        namespace["__loader__"] = compiled
        return compiled.get_code("__main__")
    namespace["__loader__"] = external.SourceFileLoader("__main__", path)
    with open(path, "rb") as file:
        source = file.read()
    if not values:
        return _compiled(source, path)
    try:
        return constants.compiled(source, path, values, is_main=True)
    except Refused as error:
        _refuse(str(error))


def _compiled(source: bytes, path: str) -> Any:
    """Compile the script as Python does when it reads the file itself, NUL bytes included."""
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        if b"\0" not in source:
            raise
        drops_the_rest = isinstance(error, ValueError)  # of a line with NUL; before Python 3.11.4
    if drops_the_rest:
        lines = source.splitlines(keepends=True)
        return compile(b"".join(line.partition(b"\0")[0] for line in lines), path, "exec", dont_inherit=True)
    before = source.partition(b"\0")[0].decode("utf-8", "replace").split("\n")
    raise SyntaxError("source code cannot contain null bytes", (path, len(before), 0, before[-1]))


def _ended_with(error: BaseException, ending: _Ending, channel: AgentChannel) -> None:
    """Notify the controller, and make the traceback show only the script's own frames."""
    if not isinstance(error, SystemExit):
        _show_own_frames_only()
    code = _exit_code(error)
    ending.exit_code = code
    if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and not _gave_up_on_memory(error)):
        return
    agent, ending.exit_code = ending._agent, None
    if os.getpid() == ending._pid:
        channel.send(crash_report(error, channel.rank))
        agent.crashed(type(error), error, error.__traceback__)


def _gave_up_on_memory(error: SystemExit) -> bool:
    """Detect `except RuntimeError: sys.exit(1)` around an out-of-memory error."""
    return _exit_code(error) != 0 and error.__context__ is not None and is_out_of_memory(error.__context__)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code & 0xFF if isinstance(error.code, int) else 1
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _show_own_frames_only() -> None:
    hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, _: object) -> None:
        sys.excepthook = hook
        cut_chain(error)
        hook(kind, error, error.__traceback__)

    sys.excepthook = show


def _refuse(message: str) -> NoReturn:
    os.write(2, f"advisor: {message}\n".encode("utf-8", "backslashreplace"))
    os._exit(EXIT_AGENT_FAILED)
