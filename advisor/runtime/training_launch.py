"""Real training: the script's process with settings, and with nothing between it and the user's terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from .. import knobs, wire
from ..errors import UsageError
from ..script_constants import ByModule
from ..storage import run_store
from ..types import Command, Config
from .launch_line import launch_line, plain_line
from .script_run import BOOTSTRAP


def become(command: Command, config: Config, constants: ByModule, updates: float | None = None) -> NoReturn:
    """Replace this process with the script's: signals, terminal, exit code and process id are then the script's own.

    `updates` is the length of the training, if it is known.
    """
    argv = _argv(command, config, constants, updates)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.chdir(command.cwd)
    try:
        os.execve(argv[0], argv, _environment(config))
    except OSError as error:
        raise _cannot_start(command, error) from error


def spawn(command: Command, config: Config, constants: ByModule, updates: float | None = None) -> int:
    """Run the script as a child on our terminal, wait for its end, and return its exit code as a shell does."""
    try:
        argv = _argv(command, config, constants, updates)
        process = subprocess.Popen(argv, cwd=command.cwd, env=_environment(config))
    except OSError as error:
        raise _cannot_start(command, error) from error
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            continue  # the script has received it, too, and decides what it means
        except BaseException:
            process.terminate()
            raise


def _environment(config: Config) -> dict[str, str]:
    return {**os.environ, **knobs.environment(config.as_dict(), os.environ)}


def _argv(command: Command, config: Config, constants: ByModule, updates: float | None) -> list[str]:
    if not config.settings and not constants:
        return plain_line(command)
    spec = wire.LaunchSpec(
        version=wire.WIRE_VERSION,
        socket="",
        token="",
        target=command.target,
        is_module=command.is_module,
        args=list(command.args),
        mode="run",
        config=config.as_dict(),
        constants={module: dict(values) for module, values in constants.items()},
        trackers_offline=False,
        updates=updates,
        log=str(run_store.given_up_path()),
        launched=command.is_launched,
    )
    descriptor, path = tempfile.mkstemp(prefix="advisor-run-", suffix=".json")
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(spec), file)
    return launch_line(command, [str(BOOTSTRAP), path])


def _cannot_start(command: Command, error: OSError) -> UsageError:
    return UsageError(f"{Path(command.interpreter)} cannot be started: {error.strerror}")
