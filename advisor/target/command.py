"""Conversion of user input to a `Command` that can be started, or to one line that says what is wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..redaction import is_placeholder
from ..spelling import parameter
from ..types import Command
from . import launchers

OLDEST_PYTHON = (3, 9)
"""Oldest Python that the agent supports."""
INTERPRETER_ANSWERS_S = 60
"""Seconds for an interpreter's answer: a cold network disk takes a few; at a minute, a hundred starts are too many."""
_LAUNCHERS = ("python", "python3", "deepspeed", "mpirun", "srun")
"""Programs that are no scripts, and whose lines are not read (see `launchers.py` for those that are)."""
_NOT_PYTHON = {
    ".ipynb": "a notebook: convert it to a script (jupyter nbconvert --to script) and give that",
    ".sh": "a shell script: give the Python script that it starts, with the same arguments",
    ".bash": "a shell script: give the Python script that it starts, with the same arguments",
    ".yaml": "a configuration: give the Python script that reads it",
    ".yml": "a configuration: give the Python script that reads it",
    ".toml": "a configuration: give the Python script that reads it",
    ".json": "a configuration: give the Python script that reads it",
}


def build(
    target: str,
    args: Sequence[str] = (),
    *,
    is_module: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    interpreter: str | os.PathLike[str] | None = None,
) -> Command:
    """Build and check the command for `target` (a script as typed, or a module's name).

    `cwd` is the folder in which the script runs and relative paths start, by default the current one. `interpreter`
    is the Python that runs it (a path, a name on PATH or a virtual environment's folder), by default advisor's own.
    Raises `UsageError` for a target that could not be started. Only the module's own interpreter can tell whether it
    exists. A line of torchrun or `accelerate launch` becomes the command of its script, with the launcher.
    """
    if isinstance(args, str):
        raise UsageError(f"invalid args {args!r}: expected a list, as in {args.split()!r}")
    line = launchers.read((target, *args), is_module=is_module)
    if line is not None:
        target, args, is_module = line.target, line.args, line.is_module
        interpreter = line.interpreter if interpreter is None else interpreter
    folder = Path(cwd).absolute() if cwd is not None else _current_folder()
    if not folder.is_dir():
        raise UsageError(f"the working folder {folder} does not exist: give an existing one")
    _check_text((target, *args))
    if is_module:
        _check_module_name(target)
    else:
        _check_script(target, folder)
    return Command(
        target=target,
        is_module=is_module,
        args=tuple(args),
        cwd=str(folder),
        interpreter=sys.executable if interpreter is None else find_interpreter(interpreter),
        launcher="python" if line is None else line.launcher,
        launcher_args=() if line is None else line.options,
    )


def with_arguments(command: Command, arguments: Mapping[str, int | float | str]) -> Command:
    """Return the command with these options of the script (flag → value).

    An option that was typed changes in place; others are appended. Everything behind `--` is left alone.
    """
    ends = command.args.index("--") if "--" in command.args else len(command.args)
    args, rest = list(command.args[:ends]), command.args[ends:]
    for flag, value in arguments.items():
        joined = [place for place, word in enumerate(args) if word.startswith(flag + "=")]
        apart = [place for place, word in enumerate(args[:-1]) if word == flag]
        for place in joined:
            args[place] = f"{flag}={value}"
        for place in apart:
            args[place + 1] = str(value)
        if not joined and not apart:
            # For one-letter options, only some parsers accept the value behind an equals sign.
            short = flag.startswith("-") and len(flag) == 2
            args += [flag, str(value)] if short else [f"{flag}={value}"]
    return replace(command, args=(*args, *rest))


def find_interpreter(given: str | os.PathLike[str]) -> str:
    """Return the absolute path of a Python that can run the agent; keep links, since a virtual environment is one.

    Raises `UsageError` if it is missing, not a Python, too old or without torch.
    """
    path = Path(given).expanduser()
    named = parameter("python", str(given))
    if path.is_dir():
        path = path / "bin" / "python"
        if not path.exists():
            raise UsageError(f"{named}: the folder has no bin/python; give the interpreter itself")
    found = shutil.which(str(path))
    if found is None:
        reason = "not executable" if path.exists() else "no such file"
        raise UsageError(f"{named}: {reason}; give the path of a Python interpreter")
    found = str(Path(found).absolute())
    version, has_torch = _ask(found, named)
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        raise UsageError(f"{named}: Python {version[0]}.{version[1]} is too old; {wanted} or newer is required")
    if not has_torch:
        raise UsageError(f"{named}: torch is not installed there; give the interpreter that runs the training")
    return found


def _ask(interpreter: str, named: str) -> tuple[tuple[int, int], bool]:
    """Return the version, and whether torch is installed (importing it would cost seconds)."""
    question = (
        "import sys\n"
        "if sys.version_info < (3, 4): print('advisor', sys.version_info[0], sys.version_info[1], 0); sys.exit()\n"
        "import importlib.util\n"
        "torch = importlib.util.find_spec('torch') is not None\n"
        "print('advisor', sys.version_info[0], sys.version_info[1], int(torch))"
    )
    # Not in the working folder: a file of the user's there must not answer.
    try:
        answer = subprocess.run(
            [interpreter, "-c", question],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            cwd="/",
            timeout=INTERPRETER_ANSWERS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{named}: no answer within {INTERPRETER_ANSWERS_S} s") from None
    except OSError as error:
        raise UsageError(f"{named}: cannot be started ({error.strerror})") from None
    words = answer.stdout.replace("(", " ").replace(")", " ").replace(",", " ").replace("'", " ").split()
    if len(words) != 4 or words[0] != "advisor":
        raise UsageError(f"{named}: not a Python interpreter (exit code {answer.returncode})")
    return (int(words[1]), int(words[2])), words[3] == "1"


def _check_text(words: Sequence[str]) -> None:
    for word in words:
        if "\0" in word:
            raise UsageError(f"the argument {word!r} contains a NUL character, which no process can be given")
        if is_placeholder(word):
            raise UsageError(f"the argument {word!r} stands for a secret that is not shown: type the secret itself")


def _check_module_name(name: str) -> None:
    if not name:
        raise UsageError(f"{parameter('module', True)} needs the name of a module")
    if name.endswith(".py"):
        raise UsageError(
            f"{name} is a file: leave out {parameter('module', True)}, or give the module's name {name[:-3]!r}"
        )
    # Python requires no more than this: a part may contain a hyphen.
    if not all(name.split(".")) or "/" in name:
        raise UsageError(f"invalid module name {name!r}: expected dots, as in package.module")


def _check_script(target: str, folder: Path) -> None:
    if not target:
        raise UsageError("the script's name is empty: give the path of a Python script")
    if target == "-":
        raise UsageError("a script on standard input can be run only once: save it to a file and give that")
    path = folder / target
    try:
        if not path.exists():
            raise UsageError(_missing(target, folder))
        if path.is_dir():
            if not (path / "__main__.py").is_file():
                raise UsageError(f"{target} is a folder without a __main__.py: give the script in it")
            return
        if not path.is_file():
            raise UsageError(f"{target} is not a regular file: the script runs more than once, so save it to a file")
        _check_content(target, path)
    except OSError as error:
        raise UsageError(f"{target} cannot be read: {error.strerror}") from None


def _check_content(target: str, path: Path) -> None:
    kind = _NOT_PYTHON.get(path.suffix.lower())
    if kind is not None:
        raise UsageError(f"{target} is {kind}")
    with path.open("rb") as file:
        head = file.read(4096)
    if path.suffix == ".pyc" or zipfile.is_zipfile(path):
        return
    first_line = head.split(b"\n", 1)[0]
    if first_line.startswith(b"#!") and b"python" not in first_line and path.suffix != ".py":
        program = first_line[2:].decode("utf-8", "replace").strip()
        raise UsageError(f"{target} is a script for {program}: give the Python script that it starts")
    if b"\0" in head and path.suffix != ".py":
        raise UsageError(f"{target} is a binary file: give a Python script")


def _missing(target: str, folder: Path) -> str:
    if target.startswith("-"):
        return f"unknown option or missing script {target}: options of advisor go before the script"
    if target in _LAUNCHERS:
        return f"there is no script {target!r}: leave out {target} and start with the Python script, or with torchrun"
    import difflib

    place = (folder / target).parent
    names = [entry.name for entry in place.glob("*.py")] if place.is_dir() else []
    near = difflib.get_close_matches(Path(target).name, names, n=1)
    advice = f"did you mean {Path(target).with_name(near[0])}?" if near else "give the path of a Python script"
    return f"there is no script {target!r} in {folder}: {advice}"


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder has been deleted: change to an existing one") from None
