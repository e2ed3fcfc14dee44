"""Real training: the script's process with settings, and with nothing between it and the user's terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from .. import knobs, wire
from ..errors import IsolationError, UsageError
from ..script_constants import ByModule
from ..storage import run_store
from ..types import Command, Config
from . import ranks_launch
from .launch_file import written
from .launch_line import plain_line


def become(command: Command, config: Config, constants: ByModule, updates: float | None = None) -> NoReturn:
    """Replace this process with the script's: signals, terminal, exit code and process id are then the script's own.

    `updates` is the length of the training, if it is known. Of a training by several processes this one watches over
    them, and ends as the first of them did.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    spec = _spec(command, config, constants, updates)
    environment = _environment(config)
    try:
        if spec is not None and knobs.ranks(spec.config) > 1:
            code = _by_ranks(command, spec, environment)
            if code is not None:
                _end_as(code)
            spec = _alone(spec)
        argv = _argv(command, spec)
        os.chdir(command.cwd)
        os.execve(argv[0], argv, environment)
    except OSError as error:
        raise _cannot_start(command, error) from error


def spawn(command: Command, config: Config, constants: ByModule, updates: float | None = None) -> int:
    """Run the script as a child on our terminal, wait for its end, and return its exit code as a shell does."""
    try:
        spec = _spec(command, config, constants, updates)
        if spec is not None and knobs.ranks(spec.config) > 1:
            code = _by_ranks(command, spec, _environment(config))
            if code is not None:
                return code if code >= 0 else 128 - code
            spec = _alone(spec)
        process = subprocess.Popen(_argv(command, spec), cwd=command.cwd, env=_environment(config))
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


def _by_ranks(command: Command, spec: wire.LaunchSpec, environment: dict[str, str]) -> int | None:
    """Train by several processes; return how they ended, or None where only one can be started."""
    try:
        isolation = ranks_launch.isolation_for(command)
    except IsolationError as error:
        _why_alone.append(f"other processes would write into the script's own files, as {error}")
        return None
    return ranks_launch.train(command, spec, knobs.ranks(spec.config), isolation, environment)


_why_alone: list[str] = []
"""Reason of this process why only one was started."""


def _alone(spec: wire.LaunchSpec) -> wire.LaunchSpec:
    return replace(spec, why_alone=_why_alone.pop())


def _end_as(code: int) -> NoReturn:
    """End this process with an exit code, or by the signal whose negative number it is."""
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _environment(config: Config) -> dict[str, str]:
    return {**os.environ, **knobs.environment(config.as_dict(), os.environ)}


def _spec(command: Command, config: Config, constants: ByModule, updates: float | None) -> wire.LaunchSpec | None:
    """Return what the agent is told; None if it is not needed."""
    if not config.settings and not constants:
        return None
    ranks = knobs.ranks(config.as_dict())
    if command.is_launched and ranks > 1:
        raise UsageError(
            f"{command.launcher} starts the processes of this script by itself: leave out the settings that ask for "
            f"{ranks} of them"
        )
    return wire.LaunchSpec(
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


def _argv(command: Command, spec: wire.LaunchSpec | None) -> list[str]:
    return plain_line(command) if spec is None else written(command, spec)


def _cannot_start(command: Command, error: OSError) -> UsageError:
    return UsageError(f"{Path(command.interpreter)} cannot be started: {error.strerror}")
