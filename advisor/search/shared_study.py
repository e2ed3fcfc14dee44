"""Shared Optuna study of `--storage URL` for several machines. Each keeps its own log, which stays its truth.

Through the study they share their current trials and the outcomes. The study's name covers what makes measurements
comparable: the command, the objective, the space. If the storage fails, the search continues alone, and shares its
trials once the storage is back.
"""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..errors import UsageError
from ..redaction import Redactor
from ..spelling import parameter
from ..storage.documents import plain
from ..types import Config, Trial
from . import database
from .goals import Goal
from .space import Space
from .tpe import distributions, imported, params_of

SCHEMES = ("sqlite", "postgresql", "mysql")
"""Databases that handle concurrent writers. (A journal file with a torn last record breaks every later append.)"""
CLAIM = timedelta(minutes=15)
"""Age at which another process's claim expires: the process was probably killed."""
AWAY_S = 30.0
"""Pause after a failure of the storage before it is asked again."""
WAITED_FRACTION = 0.05
"""Largest share of the search that waiting for a storage that does not answer may take."""
MOST_RECORD_CHARACTERS = 100_000
TRIAL, OWNER, HOST = "trial", "owner", "host"
T = TypeVar("T")


class SharedStudy:
    """The study behind a URL, as one search sees it."""

    def __init__(
        self, url: str, owner: str, note: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the storage; raise UsageError if that fails. `owner` identifies this search to the others."""
        check_url(url)
        self._url = url
        self._shown = shown(url)
        self._clock = clock
        self._owner = owner
        self._note = note
        self._optuna = imported()
        self._seen: set[int] = set()
        self._claim: int | None = None
        self._study_id: int | None = None
        self._space = Space(knobs=())
        self._name: str | None = None
        self._away_until_s: float | None = None
        """Time at which the storage is asked again; None while it works."""
        self._untold: list[tuple[Trial, float | None]] = []
        """Trials that could not be shared yet."""
        try:
            self._storage = database.opened(url, self._optuna)
        except Exception as error:
            raise UsageError(f"cannot open {parameter('storage', self._shown)}: {_why(error)}") from None

    def open(self, space: Space, goal: Goal, identity: Sequence[Any]) -> None:
        """Open the study once the space is known, and withdraw claims of an earlier, killed process of this search."""
        self._space = space
        self._name = study_name(space, goal, identity)
        self._guarded(self._open)

    def _open(self) -> None:
        if self._name is None:
            return
        study = self._optuna.create_study(
            storage=self._storage, study_name=self._name, direction="maximize", load_if_exists=True
        )
        self._study_id = self._storage.get_study_id_from_name(study.study_name)
        for trial in self._trials():
            if trial.user_attrs.get(OWNER) == self._owner:
                # What the storage took before its answer was lost must not be shared twice.
                told = _read(trial.user_attrs.get(TRIAL))
                self._untold = [one for one in self._untold if told is None or one[0].number != told.number]
                self._seen.add(trial.number)
                if not trial.state.is_finished():
                    self._fail(trial._trial_id)

    def news(self, number: int) -> list[Trial]:
        """Return trials that others measured since the last call, numbered from `number` on."""
        return self._guarded(lambda: self._news(number)) or []

    def _news(self, number: int) -> list[Trial]:
        found: list[Trial] = []
        for entry in self._trials():
            if (
                not entry.state.is_finished()
                or entry.number in self._seen
                or entry.user_attrs.get(OWNER) == self._owner
            ):
                continue
            self._seen.add(entry.number)
            trial = _read(entry.user_attrs.get(TRIAL))
            if trial is not None and trial.config.settings and self._space.contains(trial.config):
                where = "".join(char for char in str(entry.user_attrs.get(HOST))[:60] if char.isprintable())
                reason = f"measured by another search, on {where}"
                found.append(replace(trial, number=number + len(found), reason=reason))
        return found

    def claimed_elsewhere(self) -> set[Config]:
        """Return configurations that others are trying now."""
        return self._guarded(self._claimed_elsewhere) or set()

    def _claimed_elsewhere(self) -> set[Config]:
        now = datetime.now()  # local time without a zone, as Optuna writes it
        running = self._optuna.trial.TrialState.RUNNING
        return {
            Config.of({name: value for name, value in entry.params.items() if (name, value) in self._choices()})
            for entry in self._trials()
            if entry.state == running
            and entry.user_attrs.get(OWNER) != self._owner
            and entry.datetime_start is not None
            and now - entry.datetime_start < CLAIM
        }

    def _choices(self) -> set[tuple[str, Any]]:
        return {(knob.id, value) for knob in self._space.knobs for value in knob.values}

    def claim(self, config: Config) -> None:
        """Tell the others that this configuration is being tried here, if it is one of the study's: a search may have
        opened more knobs since."""
        if not self._space.contains(config):
            return
        self._claim = self._guarded(lambda: self._create(config, self._optuna.trial.TrialState.RUNNING))

    def tell(self, trial: Trial, value: float | None) -> None:
        """Share a trial's outcome; `value` is what the study maximizes, None if it gave nothing."""
        if not self._space.contains(trial.config):
            return
        self._untold.append((trial, value))
        self._guarded(self._tell_all)

    def _tell_all(self) -> None:
        while self._untold:
            self._tell(*self._untold[0])
            del self._untold[0]

    def _tell(self, trial: Trial, value: float | None) -> None:
        state = self._optuna.trial.TrialState
        record = json.dumps(plain(trial))
        self._create(trial.config, state.FAIL if value is None else state.COMPLETE, value, record)
        if self._claim is not None:
            self._fail(self._claim)
            self._claim = None

    def _create(self, config: Config, state: Any, value: float | None = None, record: str | None = None) -> int:
        attributes = {OWNER: self._owner, HOST: socket.gethostname()}
        template = self._optuna.trial.create_trial(
            state=state,
            value=value,
            params=params_of(self._space, config),
            distributions=distributions(self._space),
            user_attrs=attributes if record is None else {**attributes, TRIAL: record},
        )
        created: int = self._storage.create_new_trial(self._study_id, template_trial=template)
        return created

    def _fail(self, trial_id: int) -> None:
        self._storage.set_trial_state_values(trial_id, self._optuna.trial.TrialState.FAIL)

    def _trials(self) -> Sequence[Any]:
        found: Sequence[Any] = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return found

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Run `work`. While the storage fails, the search does without, and asks for it again now and then."""
        begin_s = self._clock()
        was_away = self._away_until_s is not None
        if self._away_until_s is not None and begin_s < self._away_until_s:
            return None
        try:
            if was_away:
                self._return()
            found = work()
        except Exception as error:
            now_s = self._clock()
            self._away_until_s = now_s + max(AWAY_S, (now_s - begin_s) / WAITED_FRACTION)
            if not was_away:
                self._note(f"the storage {self._shown} failed ({_first_line(error)}): the search continues on its own")
            return None
        self._away_until_s = None
        return found

    def _return(self) -> None:
        """Open the storage again, and share what was measured meanwhile."""
        database.close(self._storage)
        self._storage = database.opened(self._url, self._optuna)
        self._claim = None
        self._open()
        count = len(self._untold)
        self._tell_all()
        self._note(f"the storage {self._shown} is back; trials measured meanwhile and shared now: {count}")


def check_url(url: str) -> None:
    """Raise UsageError for anything but a database that processes can share."""
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in SCHEMES:
        raise UsageError(
            f"invalid {parameter('storage', shown(url))}: expected a URL with {', '.join(SCHEMES)}, as "
            "in sqlite:///study.db"
        )


def shown(url: str) -> str:
    """Return the URL without its user and password."""
    return Redactor().text(url)


def study_name(space: Space, goal: Goal, identity: Sequence[Any]) -> str:
    """Return a name shared by exactly those searches whose trials are comparable."""
    knobs = [[knob.id, knob.scope, list(knob.values)] for knob in sorted(space.knobs, key=lambda knob: knob.id)]
    text = json.dumps([identity, asdict(goal), knobs], sort_keys=True)
    return f"advisor-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _read(record: Any) -> Trial | None:
    """Return a trial that another process wrote; None for anything else."""
    if not isinstance(record, str) or len(record) > MOST_RECORD_CHARACTERS:
        return None
    try:
        return TypeAdapter(Trial).validate_json(record)
    except ValidationError:
        return None


def _why(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(error, ImportError) and isinstance(cause, ModuleNotFoundError):
        return f"install its driver {cause.name}, or name another, as in postgresql+psycopg2://…"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    """Return what the driver itself said: Optuna words a lost connection as invalid data."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().partition("\n")[0][:200]
    return Redactor().text(f"{type(error).__name__}: {text}" if text else type(error).__name__)
