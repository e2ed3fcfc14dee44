"""Workers as Ray tasks: the only module that knows Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AdvisorError, UsageError
from ..redaction import Redactor
from ..spelling import parameter
from .cluster import Done, Failed, Lost, Outcome

INSTALL = 'pip install "advisor[ray]"'
MOST_CHARACTERS = 300
ANSWERS_S = 10.0
"""Seconds in which a cluster must take a connection."""


class RayCluster:
    """The cluster at an address, to which the present folder is copied."""

    def __init__(self, address: str, *, devices: float, cpus: float, keywords: Mapping[str, Any]) -> None:
        """Connect; raise UsageError if Ray is not installed, or the cluster does not answer.

        Each task is given so many devices and CPUs, and calls the worker with these keywords.
        """
        try:
            import ray
        except ImportError:
            raise UsageError(f"{parameter('ray', address)} needs Ray, which is not installed: {INSTALL}") from None
        self._ray = ray
        _check_answers(address)
        try:
            ray.init(
                address=address,
                # Ray ends tasks in its own time; the folder is the project that the study's digest is compared with.
                runtime_env={"working_dir": str(Path.cwd())},
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )
        except Exception as error:
            raise UsageError(f"cannot connect to {parameter('ray', address)}: {_first_line(error)}") from None
        # Ray's own retries would run a script's failure again, and hide lost machines.
        self._task = ray.remote(num_cpus=cpus, num_gpus=devices, max_retries=0)(run)
        self._keywords = dict(keywords)

    def start(self) -> Any:
        """Submit a task, which runs as soon as a node has its devices and CPUs free."""
        return self._task.remote(self._keywords)

    def wait(self, tasks: Sequence[Any], timeout_s: float) -> Mapping[Any, Outcome]:
        """Return the outcomes of tasks that have ended."""
        ready, _running = self._ray.wait(list(tasks), num_returns=1, timeout=timeout_s)
        return {task: self._outcome(task) for task in ready}

    def stop(self, tasks: Sequence[Any]) -> None:
        """End tasks that still run, as Ctrl-C does, and leave the cluster."""
        for task in tasks:
            self._ray.cancel(task)
        self._ray.shutdown()

    def _outcome(self, task: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            found: dict[str, Any] = self._ray.get(task)
        except errors.RayTaskError as error:
            return Failed(message=_first_line(error.cause))
        except errors.RayError as error:  # the process, the node or its object is gone
            return Lost(message=_first_line(error))
        message = found.pop("failed", None)
        return Done(**found) if message is None else Failed(message=message)


def run(keywords: dict[str, Any]) -> dict[str, Any]:
    """Run a worker in the process of a task, in the copy of the project; return what became of it.

    Ray shows the devices of the task in the environment, and the script inherits that.
    """
    from .worker import worker

    try:
        worked = worker(**keywords)
    except AdvisorError as error:
        return {"failed": f"{os.uname().nodename}: {error}"}
    if worked.tuned is not None and worked.tuned.failure is not None:
        return {"failed": f"{os.uname().nodename}: {worked.tuned.failure.message}"}
    return {"here": worked.here, "ended": worked.ended, "has_more": worked.has_more}


def _check_answers(address: str) -> None:
    """Raise UsageError if nobody listens at the address: Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # such as auto
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERS_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot connect to {parameter('ray', address)}: {_first_line(error)}") from None


def _first_line(error: object) -> str:
    text = str(error).strip().partition("\n")[0][:MOST_CHARACTERS]
    return Redactor().text(text) or type(error).__name__
