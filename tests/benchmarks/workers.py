"""Workers of one study in a real PostgreSQL: how the rate of trials grows with them, and what kills cost.

    python tests/benchmarks/workers.py [--trials 60] [--kills 50]

Each worker is a process with a whole search: it proposes, claims, hears of the others and tells them. Only the script
is made up: a trial sleeps for a second. Rates are those of the first so many trials of all workers together, from the
start of the first one. Then workers are killed by SIGKILL at random moments and replaced; at the end, every
configuration that anybody began must have one result, and no two workers may have run it at the same time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from _common import HERE, machine, options, publish, say, stoppable, table

sys.path.insert(0, str(HERE.parent))
import postgres
from search.machine import Machine

from advisor.search import KnobSelection, SearchRequest, database, read, tpe
from advisor.search.leases import DONE, LEASE_S, Leases
from advisor.search.shared_study import SharedStudy
from advisor.types import Config
from advisor.wire import Window, WindowRole

TRIAL_S = 1.0
COUNTS = (1, 2, 4)
LEAST_EFFICIENCY = 0.9
KNOBS = ("num_workers", "prefetch_factor", "threads", "precision", "global_batch", "gc", "persistent_workers")
KILLED_WORKERS = 3
KILLED_LEASE_S = 2.0
"""Lease of workers that are killed: with the usual minute, the benchmark would mostly wait."""
BETWEEN_KILLS_S = (0.2, 1.0)
ENDS_S = 600.0
FORK = multiprocessing.get_context("fork")
"""Processes that need not import everything again; each opens its own connections."""


class Log:
    """One line an event, appended at once: a kill must not take it back."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, event: str, config: str) -> None:
        line = json.dumps([event, config, time.monotonic(), os.getpid()]) + "\n"
        os.write(self._descriptor, line.encode())


def speed(config: dict[str, Any]) -> float:
    """Return a speed that no sampler can foresee: it has something to try for long."""
    digest = hashlib.sha256(repr(sorted(config.items())).encode()).digest()
    return 0.8 + 0.4 * digest[0] / 255


class SleepingMachine(Machine):
    """Machine whose trials take their time, once each."""

    knobs = KNOBS

    def __init__(self, folder: Path, log: Log, shared: SharedStudy) -> None:
        self._trials_log = log
        self._slept: set[str] = set()
        settings = replace(read("thorough"), most_trials=10_000)
        super().__init__(
            folder,
            speed,
            settings=settings,
            budget_s=1e7,
            shared=shared,
            request=SearchRequest(selection=KnobSelection(only=KNOBS)),
        )

    def _carry_out(self) -> None:
        plan = self.study.plan

        def waiting(workload: Any) -> Generator[Any, Any, None]:
            """A search that has nothing to do is asked again in a moment, as a session does."""
            inner = plan(workload)
            step = next(inner)
            while True:
                if step == []:
                    time.sleep(0.1)
                    sent = self.result.outcomes
                else:
                    sent = yield step
                try:
                    step = inner.send(sent)
                except StopIteration:
                    return

        self.study.plan = waiting  # type: ignore[method-assign]
        super()._carry_out()

    def _outcome(self, window: Window) -> Any:
        name = window.id.removesuffix(" long")
        if window.role == WindowRole.TRIAL and name not in self._slept:
            self._slept.add(name)
            self._trials_log.add("begun", str(Config.of(window.config)))
            time.sleep(TRIAL_S)
        return super()._outcome(window)


class LoggedStudy(SharedStudy):
    def __init__(self, *given: Any, log: Log, **named: Any) -> None:
        super().__init__(*given, **named)
        self._log = log

    def tell(self, trial: Any) -> None:
        super().tell(trial)
        self._log.add("told", str(trial.config))


def work(url: str, study: str, file: Path, start: Barrier | None, lease_s: float) -> None:
    """Run in a process of its own, until nothing is left to try."""
    log = Log(file)
    notes: list[str] = []
    shared = LoggedStudy(url, uuid.uuid4().hex, notes.append, study=study, follows=True, lease_s=lease_s, log=log)
    if start is not None:
        start.wait()
    with tempfile.TemporaryDirectory(prefix="advisor-worker-") as folder:
        found = SleepingMachine(Path(folder), log, shared)
    shared.close()
    log.add("ended", f"{found.study.ended}; {'; '.join(notes)}")


@dataclass(frozen=True, kw_only=True)
class Event:
    what: str
    config: str
    at_s: float
    process: int


def events(file: Path) -> list[Event]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [Event(what=what, config=config, at_s=at, process=pid) for what, config, at, pid in map(json.loads, lines)]


# --- the rate ---------------------------------------------------------------------------------------------------------


def rate(server: postgres.Server, count: int, trials: int, folder: Path) -> float:
    """Return the trials in a second of so many workers together."""
    file, study, start = folder / f"rate-{count}", f"rate of {count}", FORK.Barrier(count)
    team = [FORK.Process(target=work, args=(server.url, study, file, start, LEASE_S)) for _ in range(count)]
    for process in team:
        process.start()
    until_s = time.monotonic() + ENDS_S
    while sum(event.what == "told" for event in events(file)) < trials and time.monotonic() < until_s:
        if not any(process.is_alive() for process in team):
            raise SystemExit(f"the workers ended after {len(events(file))} events: {events(file)[-1].config}")
        time.sleep(0.2)
    for process in team:
        process.kill()
        process.join()
    found = events(file)
    told = sorted(event.at_s for event in found if event.what == "told")
    if max(Counter(event.config for event in found if event.what == "begun").values()) > 1:
        raise SystemExit("a trial was run twice")
    return trials / (told[trials - 1] - min(event.at_s for event in found))


# --- kills ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kills:
    kills: int
    in_trials: int
    configurations: int
    lost: int
    doubled: int
    together: int
    again: int
    attempts: int


def kills(server: postgres.Server, count: int, folder: Path, chance: random.Random) -> Kills:
    """Kill workers at random, and replace them; then let the last ones finish."""
    file, study = folder / "kills", "kills"
    team: list[Any] = []
    killed: dict[int, float] = {}

    def begin() -> None:
        process = FORK.Process(target=work, args=(server.url, study, file, None, KILLED_LEASE_S))
        process.start()
        team.append(process)

    for _ in range(KILLED_WORKERS):
        begin()
    while len(killed) < count:
        time.sleep(chance.uniform(*BETWEEN_KILLS_S))
        victim = team.pop(chance.randrange(len(team)))
        if not victim.is_alive():
            raise SystemExit(f"nothing was left to try after {len(killed)} kills: give the space more knobs")
        os.kill(victim.pid, signal.SIGKILL)
        killed[victim.pid] = time.monotonic()
        victim.join()
        begin()
        say(f"kill {len(killed)} of {count}, {sum(event.what == 'told' for event in events(file))} trials told")
    for process in team:
        process.join(ENDS_S)
        if process.is_alive():
            process.kill()
    return judged(server, file, killed)


def judged(server: postgres.Server, file: Path, killed: dict[int, float]) -> Kills:
    found = events(file)
    begun = {event.config for event in found if event.what == "begun"}
    told = Counter(event.config for event in found if event.what == "told")
    rows = stored(server)
    runs = [run for config in begun for run in [intervals(found, config, killed)]]
    return Kills(
        kills=len(killed),
        in_trials=sum(until is not None for pid in killed for until in [last_begun(found, pid)]),
        configurations=len(begun),
        lost=len(begun - rows.keys()) + sum(state != DONE for state, _attempts in rows.values()),
        doubled=sum(number > 1 for number in told.values()),
        together=sum(later[0] < earlier[1] for run in runs for earlier, later in itertools.pairwise(run)),
        again=sum(attempts > 1 for _state, attempts in rows.values()),
        attempts=max(attempts for _state, attempts in rows.values()),
    )


def last_begun(found: list[Event], pid: int) -> Event | None:
    """Return the trial that the process was in when it was killed."""
    own = [event for event in found if event.process == pid and event.what in ("begun", "told")]
    return own[-1] if own and own[-1].what == "begun" else None


def intervals(found: list[Event], config: str, killed: dict[int, float]) -> list[tuple[float, float]]:
    """Return when each process ran the configuration: until it told of it, or was killed."""
    of_config = [event for event in found if event.config == config]
    begun = [event for event in of_config if event.what == "begun"]
    ends = {event.process: event.at_s for event in of_config if event.what == "told"}
    return sorted((event.at_s, ends.get(event.process, killed.get(event.process, event.at_s))) for event in begun)


def stored(server: postgres.Server) -> dict[str, tuple[str, int]]:
    """Return configuration → state and attempts, of the search that was killed."""
    import sqlalchemy as sql

    engine = database.opened(server.url)
    searches = database.table(database.SEARCHES)
    with engine.connect() as connection:
        name = connection.execute(sql.select(searches.c.name).where(searches.c.study == "kills")).scalar_one()
    rows = Leases(engine, name, "judge").rows()
    engine.dispose()
    return {str(Config.of(dict(row.settings))): (row.state, row.attempts) for row in rows}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if why := postgres.why_not():
        raise SystemExit(why)
    before = machine()
    stoppable()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="advisor-workers-") as place:
        tpe.imported()
        folder = Path(place)
        with postgres.server() as server:
            rates = {}
            for count in COUNTS:
                rates[count] = rate(server, count, arguments.trials, folder)
                say(f"{count} workers: {rates[count]:.2f} trials in a second")
            counted = kills(server, arguments.kills, folder, chance)
    efficiency = {count: found / rates[1] / count for count, found in rates.items()}
    rows = [
        (count, f"{rates[count]:.2f}", f"{rates[count] / rates[1]:.2f}", f"{efficiency[count]:.2f}") for count in COUNTS
    ]
    parts = [
        f"The first {arguments.trials} trials of {TRIAL_S:g} s, on one PostgreSQL, driver {postgres.driver()}:",
        table(("workers", "trials in a second", "times one worker", "of linear"), rows),
        f"Kills: {KILLED_WORKERS} workers, one of them killed every {BETWEEN_KILLS_S[0]:g} to {BETWEEN_KILLS_S[1]:g} s"
        f" and replaced (seed {arguments.seed}), leases of {KILLED_LEASE_S:g} s:",
        table(
            ("", "count"),
            [
                ("kills", counted.kills),
                ("of them within a trial", counted.in_trials),
                ("configurations that were begun", counted.configurations),
                ("of them run again after a kill", counted.again),
                ("most processes that one configuration took", counted.attempts),
                ("trials lost", counted.lost),
                ("trials with two results", counted.doubled),
                ("trials run by two workers at the same time", counted.together),
            ],
        ),
    ]
    publish("workers", "Workers of one study", before, parts, keep=not arguments.no_result)
    is_clean = not (counted.lost or counted.doubled or counted.together)
    raise SystemExit(not (is_clean and min(efficiency.values()) >= LEAST_EFFICIENCY))


if __name__ == "__main__":
    main()
