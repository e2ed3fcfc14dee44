"""Log of a search: the request, then one checksummed line per trial, on disk as soon as it is known.

It is the truth: everything else that a search knows is derived from it. So `kill -9` at any moment loses no finished
trial, and a torn line costs only the trial in it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import StorageError, UsageError
from ..redaction import Redactor
from ..spelling import parameter
from ..storage import documents, record_file
from ..types import Config, Ratio, Trial, TrialOutcome

TRIALS_FILE = "trials.jsonl"
LOCK_FILE = "search.lock"
LOG_VERSION = 1
BASELINE_TRIAL = Trial(
    number=0,
    config=Config(),
    reason="baseline",
    effect="exact",
    outcome=TrialOutcome(kind="measured"),
    ratio=Ratio(speedup=1.0, low=1.0, high=1.0, rounds=1),
    score=1.0,
)


@dataclass(frozen=True, kw_only=True)
class Past:
    """Content of a log."""

    request: Mapping[str, Any]
    """The request: command, settings, options."""
    trials: tuple[Trial, ...]
    damaged: int
    """Lines that were torn or are no trials: each costs the trial it held."""


class TrialLog:
    """The log in a run's folder, open for appending."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / TRIALS_FILE

    def begin(self, request: Mapping[str, Any]) -> None:
        """Write the request, so that a search that resumes can be held to it."""
        record_file.append(self.path, {"asked": {"version": LOG_VERSION, **plain(request)}})

    def add(self, trial: Trial) -> None:
        record_file.append(self.path, documents.plain(trial))

    def add_final(self, config: Config, ratio: Ratio) -> None:
        record_file.append(self.path, {"final": asdict(config), "ratio": asdict(ratio)})


def read(folder: Path) -> Past:
    """Read the log; raise StorageError if the folder holds no search log that this advisor can read."""
    path = folder / TRIALS_FILE
    found = record_file.read(path)
    request = next((record["asked"] for record in found.records if isinstance(record.get("asked"), dict)), None)
    if request is None:
        why = "its first line is damaged" if found.damaged else "no search was started there"
        raise StorageError(f"cannot resume {folder}: {why}; start a new search without {parameter('resume')}")
    if request.get("version") != LOG_VERSION:
        raise StorageError(
            f"{path} has version {_brief(request.get('version'))}, this advisor reads version {LOG_VERSION}: "
            f"start a new search without {parameter('resume')}"
        )
    trials: dict[int, Trial] = {}
    damaged = len(found.damaged)
    adapter = TypeAdapter(Trial)
    for record in found.records:
        if "number" not in record:
            continue
        try:
            trial = adapter.validate_python(record)
        except ValidationError:
            damaged += 1
            continue
        trials[trial.number] = trial
    if isinstance(arguments := request.get("arguments"), list):  # version 0.2 kept their secrets
        request = {**request, "arguments": list(Redactor().words([str(word) for word in arguments]))}
    return Past(request=request, trials=tuple(trials[number] for number in sorted(trials)), damaged=damaged)


def check_alike(past: Past, request: Mapping[str, Any], folder: Path) -> None:
    """Raise UsageError with the first difference: a search resumes only with the options it was begun with."""
    wanted = {"version": LOG_VERSION, **plain(request)}
    for name in (*wanted, *past.request):
        if wanted.get(name) != past.request.get(name):
            raise UsageError(
                f"{folder} was started with {name} {_brief(past.request.get(name))}, not {_brief(wanted.get(name))}: "
                f"resume it with the same options, or start a new search without {parameter('resume')}"
            )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the folder for this process while it searches; raise UsageError if another one searches there."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; a run's own folder name keeps others out
        yield
        return
    with (folder / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is searching in {folder}: wait for it, or start a new search") from None
        yield


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value as it will be read back."""
    content: dict[str, Any] = json.loads(json.dumps(value))
    return content


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "…"
