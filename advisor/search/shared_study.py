"""Shared search of `--storage URL` for several machines. Each keeps its own log, which stays its truth.

Through the database they share their current trials and the outcomes. The search's name covers what makes measurements
comparable: the study, the command, the objective, the machine. If the storage fails, the search continues
alone, and shares its trials once the storage is back.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..redaction import Redactor
from ..storage.documents import plain
from ..types import Config, Trial, TrialOutcome
from . import database, leases, studies
from .agreed_values import agreed
from .goals import Goal
from .leases import Leases, Row
from .space import Space

AWAY_S = 30.0
"""Pause after a failure of the storage before it is asked again."""
WAITED_FRACTION = 0.05
"""Largest share of the search that waiting for a storage that does not answer may take."""
FRESH_S = 0.5
"""Age up to which the rows that were read last are used: a search that waits for others asks several times a second."""
MOST_RECORD_CHARACTERS = 100_000
MOST_PROFILE_BYTES = 8 * 2**20
"""Limit on a profile's size, below what MySQL stores in a column."""
T = TypeVar("T")


class SharedStudy:
    """The search behind a URL, as one of its processes sees it."""

    def __init__(
        self,
        url: str,
        owner: str,
        note: Callable[[str], None],
        *,
        study: str = "",
        follows: bool = False,
        most_trials: int | None = None,
        redactor: Redactor | None = None,
        clock: Callable[[], float] = time.monotonic,
        lease_s: float = leases.LEASE_S,
    ) -> None:
        """Open the storage; raise UsageError if that fails. `owner` identifies this process to the others.

        With `follows`, the search ends as soon as another process finds that nothing is left to try, and after
        `most_trials` of its own.
        """
        self._url = url
        self._shown = database.shown(url)
        self._clock = clock
        self._owner = owner
        self._note = note
        self._study = study
        self._follows = follows
        self._most_trials = most_trials
        self.told = 0
        """Trials that this process has run."""
        self.heard = 0
        """Trials that it has heard of."""
        self._redactor = redactor or Redactor()
        self._lease_s = lease_s
        self._seen: set[int] = set()
        self._space = Space(knobs=())
        self._name: str | None = None
        self._machine = ""
        self._profile = ""
        self._away_until_s: float | None = None
        """Time at which the storage is asked again; None while it works."""
        self._untold: list[tuple[Trial, str | None]] = []
        """Trials that could not be shared yet, with the token of their lease."""
        self._token: str | None = None
        """Lease on the trial that is being run."""
        self._known_rows: Sequence[Row] = ()
        self.version = 0
        """Number that changes with what the processes of the search do."""
        self._waits = False
        self._ended = ""
        """Reason why the search is over, as it was read with the rows."""
        self._read_at_s: float | None = None
        """Time at which the rows were read; None if they have changed since."""
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None
        self._engine = database.opened_for_user(url)

    def open(self, space: Space, goal: Goal, identity: Sequence[Any], machine: str = "") -> None:
        """Open the search once the space is known, and free what an earlier, killed process of this owner had."""
        self._space = space
        self._machine = machine
        self._name = search_name(self._study, goal, identity, machine)
        self._guarded(self._open)

    def offer(self, profile: bytes) -> None:
        """Set the profile that later processes of the search may begin with, before the search is opened."""
        self._profile = profile.decode("ascii") if len(profile) <= MOST_PROFILE_BYTES else ""

    def agreed(self, space: Space) -> Space:
        """Return the space with the values that all processes of the search try, and share them from now on."""
        name = self._name
        if name is not None:
            space = self._guarded(lambda: agreed(self._engine, name, space)) or space
        self._space = space
        return space

    def _open(self) -> None:
        if self._name is None:
            return
        studies.add_search(self._engine, self._name, self._study, self._machine, self._profile)
        self._leases.give_back(but=self._token)
        if self._token is not None and not self._leases.renew(self._token):
            self._token = None
        self._read_at_s = None
        for row in self._leases.rows():
            if row.owner == self._owner and row.state == leases.DONE:
                # What the storage took before its answer was lost must not be shared twice.
                told = _read(row.record)
                self._untold = [one for one in self._untold if told is None or one[0].number != told.number]
                self._seen.add(row.id)

    def _read(self) -> tuple[Sequence[Row], str]:
        return self._leases.rows(), studies.ended(self._engine, self._name or "")

    @property
    def _leases(self) -> Leases:
        return Leases(self._engine, self._name or "", self._owner, lease_s=self._lease_s)

    # --- what others do ---------------------------------------------------------------------------------------------

    def news(self, number: int) -> list[Trial]:
        """Read the rows; return trials that others measured since the last call, numbered from `number` on."""
        found: list[Trial] = []
        self._read_rows()
        for row in self._known_rows:
            if row.state not in (leases.DONE, leases.GIVEN_UP) or row.id in self._seen or row.owner == self._owner:
                continue
            self._seen.add(row.id)
            trial = _read(row.record) if row.state == leases.DONE else _given_up(row, self._space)
            if trial is not None and trial.config.settings and self._space.contains(trial.config):
                where = "".join(char for char in row.host[:60] if char.isprintable())
                reason = f"measured by another search, on {where}"
                self.heard += 1
                found.append(replace(trial, number=number + len(found), reason=reason))
        return found

    def claimed_elsewhere(self) -> set[Config]:
        """Return configurations that others were trying when the rows were read."""
        return {
            config
            for row in self._known_rows
            if row.state == leases.RUNNING and not row.is_free and row.owner != self._owner
            if (config := self._config(row)) is not None
        }

    def queued_again(self) -> list[Config]:
        """Return configurations whose processes were killed or gave them back, the oldest first."""
        return [config for row in self._known_rows if row.is_free and (config := self._config(row)) is not None]

    def awaited(self, announce: Callable[[str], None]) -> bool:
        """Return whether others were trying configurations when the rows were read; announce the wait once."""
        waits = bool(self.claimed_elsewhere())
        if waits and not self._waits:
            announce("waiting for the trials of other searches")
        self._waits = waits
        return waits

    @property
    def ended(self) -> str:
        """Reason to try nothing more: the own limit, or what another process found; empty while the search goes on."""
        if not self._follows:
            return ""
        if self._most_trials is not None and self.told >= self._most_trials:
            return f"{self.told} of its own trials were asked for"
        self._read_rows()
        return f"the search has ended elsewhere: {self._ended}" if self._ended else ""

    def end(self, why: str) -> None:
        """Tell the others that there is nothing left to try."""
        name = self._name
        if name is not None:
            self._guarded(lambda: studies.end_search(self._engine, name, why))

    def _config(self, row: Row) -> Config | None:
        """Return a row's configuration; None if it is not one of this space."""
        config = Config.of({str(name): value for name, value in row.settings.items()})
        return config if config.settings and self._space.contains(config) else None

    def _read_rows(self) -> None:
        """Read the rows anew if they may have changed. What is asked until the next time is answered by the same."""
        now_s = self._clock()
        if self._read_at_s is None or now_s - self._read_at_s > FRESH_S:
            rows, self._ended = self._guarded(self._read) or ((), "")
            if rows != self._known_rows:
                self._known_rows = rows
                self.version += 1
            self._read_at_s = now_s

    # --- what this process does --------------------------------------------------------------------------------------

    def claim(self, config: Config) -> bool:
        """Take a configuration; return False if somebody else has it, or had it.

        While the storage is away, everything may be tried.
        """
        if not self._space.contains(config):
            return True
        self._read_at_s = None
        taken = self._guarded(lambda: (self._leases.claim(config.as_dict()),))
        if taken is None:
            return True
        self._token = taken[0]
        if self._token is not None and self._renewing is None:
            self._renewing = threading.Thread(target=self._renew, name="advisor-lease", daemon=True)
            self._renewing.start()
        return self._token is not None

    def tell(self, trial: Trial) -> None:
        """Share a trial's outcome."""
        if not self._space.contains(trial.config):
            return
        self.told += 1
        self._untold.append((trial, self._token))
        self._token = self._read_at_s = None
        self._guarded(self._tell_all)

    def close(self) -> None:
        """Free what is still held, and close the connections."""
        self._closed.set()
        if self._token is not None and self._away_until_s is None:
            self._token = None
            self._guarded(self._give_back)
        if self._renewing is not None:
            self._renewing.join(timeout=self._lease_s)
        self._engine.dispose()

    def _give_back(self) -> None:
        self._leases.give_back()

    def _tell_all(self) -> None:
        while self._untold:
            trial, token = self._untold[0]
            record = json.dumps(plain(self._redactor.of(trial)))
            settings = trial.config.as_dict()
            kept = token is not None and self._leases.finish(token, record)
            if not kept and not self._leases.add(settings, record):
                self._note(f"{trial.config} was measured by another search meanwhile: its result counts for the others")
            del self._untold[0]

    def _renew(self) -> None:
        """Keep the lease alive while its trial is run; a storage that fails is noticed by the search itself."""
        while not self._closed.wait(self._lease_s / leases.RENEWALS):
            token, engine = self._token, self._engine
            if token is None:
                continue
            try:
                self._leases.renew(token)
            except Exception:
                engine.dispose()

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
                why = database.first_line(error)
                self._note(f"the storage {self._shown} failed ({why}): the search continues on its own")
            return None
        self._away_until_s = None
        return found

    def _return(self) -> None:
        """Open the storage again, and share what was measured meanwhile."""
        self._engine.dispose()
        self._engine = database.opened(self._url)
        self._open()
        count = len(self._untold)
        self._tell_all()
        self._note(f"the storage {self._shown} is back; trials measured meanwhile and shared now: {count}")


def search_name(study: str, goal: Goal, identity: Sequence[Any], machine: str) -> str:
    """Return a name shared by exactly those searches whose trials are comparable.

    Their spaces may differ, as findings near a threshold do: they share the configurations that both can try.
    """
    text = json.dumps([study, machine, identity, asdict(goal)], sort_keys=True)
    return f"advisor-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _read(record: Any) -> Trial | None:
    """Return a trial that another process wrote; None for anything else."""
    if not isinstance(record, str) or len(record) > MOST_RECORD_CHARACTERS:
        return None
    try:
        return _adapter().validate_json(record)
    except ValidationError:
        return None


@functools.cache
def _adapter() -> TypeAdapter[Trial]:
    return TypeAdapter(Trial)


def _given_up(row: Row, space: Space) -> Trial:
    """Return the trial of a configuration whose processes were all killed."""
    config = Config.of(dict(row.settings))
    message = f"each of the {row.attempts} processes that ran it was killed"
    outcome = TrialOutcome(kind="crash", message=message)
    return Trial(number=0, config=config, reason="", effect=space.effect(config), outcome=outcome)
