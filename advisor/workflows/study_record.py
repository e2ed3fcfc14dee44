"""Record of a named study for its workers, and the request that a worker makes of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import UsageError
from ..progress import Progress
from ..redaction import Redactor, is_placeholder
from ..runtime.project_modules import sources
from ..spelling import parameter
from ..types import Command
from ..version import __version__

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ..search.studies import StudyRecord
    from .tune_request import Asked, TuneRequest

POLL_S = 2.0
"""Seconds between two looks for a study that is not there yet."""


def begin(request: TuneRequest, asked: Asked) -> None:
    """Store the study, or join the one of this name; raise UsageError if that is about something else."""
    from ..search import studies

    assert request.study is not None
    assert request.storage is not None
    if request.command.function:
        raise UsageError(
            f"{parameter('study', request.study)}: workers need a script, and {request.command.function} is a function"
        )
    own = _record(request, asked)
    with connected(request.storage) as engine:
        there = studies.begin(engine, request.study, own)
    check_version(request.study, there)
    check_project(request.study, there, own.project)
    other = [name for name in ("script", "module", "args", "options") if getattr(there, name) != getattr(own, name)]
    if other:
        name, before, now = other[0], getattr(there, other[0]), getattr(own, other[0])
        raise UsageError(
            f"the study {request.study} has other {name}: {_words(before, now)} there, {_words(now, before)} here; "
            f"choose another name with {parameter('study')}"
        )


def waited_for(storage: str, study: str, wait_s: float, progress: Progress) -> StudyRecord:
    """Return a study's record, within `wait_s` if it is not there yet; raise UsageError naming those that are."""
    from ..search import database, studies

    until_s = time.monotonic() + wait_s
    with connected(storage) as engine:
        while (found := studies.find(engine, study)) is None:
            if time.monotonic() >= until_s:
                raise studies.unknown(study, studies.names(engine), database.shown(storage))
            progress.stage(f"waiting for the study {study}")
            time.sleep(POLL_S)
    return found


def check_version(study: str, record: StudyRecord) -> None:
    """Raise UsageError for a study of another version of advisor, which may measure in another way."""
    if record.advisor != __version__:
        raise UsageError(
            f"the study {study} was begun by advisor {record.advisor}, and this is {__version__}: install the same "
            "version, or begin another study"
        )


def check_project(study: str, record: StudyRecord, project: str) -> None:
    """Raise UsageError if this is not the project that the study is about."""
    if record.project != project:
        raise UsageError(
            f"the study {study} was begun with another project: {record.script}, or a module that it imports, differs "
            "here; use the same commit, or begin another study"
        )


def command_of(study: str, record: StudyRecord, args: Sequence[str], interpreter: str | None) -> Command:
    """Return the command in the present folder, with `args` if the study could not store them."""
    from ..target.command import build

    if not record.module and not (_is_inside(record.script) and Path(record.script).is_file()):
        raise UsageError(
            f"the study {study} is about {record.script}, which is not in {Path.cwd()}: start the worker in the "
            "project's folder"
        )
    hidden = any(map(is_placeholder, record.args))
    if hidden and not args:
        raise UsageError(
            f"the arguments of the study {study} hold secrets, which it does not store: give all of them, as in "
            f"advisor worker --study {study} -- {' '.join(record.args)}"
        )
    if args and tuple(Redactor().words(args)) != record.args:
        raise UsageError(
            f"the study {study} has other arguments than {' '.join(Redactor().words(args))}: expected "
            f"{' '.join(record.args) or 'none'}"
        )
    return build(record.script, args or record.args, is_module=record.module, interpreter=interpreter)


def asked_of(record: StudyRecord) -> Asked:
    """Return what the study searches for; raise UsageError if somebody else has written it."""
    from .tune_request import Asked

    options = dict(record.options)
    if options.keys() != Asked.__annotations__.keys() or not isinstance(options["mapped"], dict):
        raise UsageError("the study's options are none of advisor's: begin another study")
    options["mapped"] = {role: tuple(found) for role, found in options["mapped"].items()}
    return cast("Asked", options)


def project_digest(command: Command) -> str:
    """Return a digest of the script and of the project's modules that it imports."""
    digest = hashlib.sha256()
    for text, _imports in sources(command.target, is_module=command.is_module, cwd=Path(command.cwd)):
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def connected(storage: str) -> Iterator[Engine]:
    """Provide the database; raise UsageError in one line, without the password, for what its driver raises."""
    from sqlalchemy.exc import SQLAlchemyError

    from ..search import database

    engine = database.opened_for_user(storage)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise UsageError(f"the storage {database.shown(storage)} failed: {database.first_line(error)}") from None
    finally:
        engine.dispose()


def _record(request: TuneRequest, asked: Asked) -> StudyRecord:
    from ..search.studies import StudyRecord

    command = request.command
    options: dict[str, Any] = {**asked, "budget": request.budget_s}
    for name in ("knobs", "no_knobs"):
        options[name] = list(options[name]) if options[name] is not None else None
    options["mapped"] = {role: list(found) for role, found in asked["mapped"].items()}
    return StudyRecord(
        advisor=__version__,
        project=project_digest(command),
        script=_portable(command),
        module=command.is_module,
        args=tuple(Redactor().words(command.args)),
        options=options,
    )


def _portable(command: Command) -> str:
    """Return the script's path from the project's folder, which other machines may have elsewhere."""
    if command.is_module:
        return command.target
    path = os.path.relpath(Path(command.cwd, command.target), command.cwd)
    if not _is_inside(path):
        raise UsageError(
            f"{command.target} is not in {command.cwd}: begin a study in the project's folder, where its workers start"
        )
    return path


def _is_inside(script: str) -> bool:
    return not Path(script).is_absolute() and ".." not in Path(script).parts


def _words(value: Any, other: Any) -> str:
    """Spell a value, or of a mapping what differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        return ", ".join(f"{name}={value.get(name)}" for name in value if value.get(name) != other.get(name))
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)
