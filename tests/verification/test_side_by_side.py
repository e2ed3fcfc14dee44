"""Processes of a round that start together: who waits, who counts, and what comes of those that cannot."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from advisor import wire
from advisor.errors import NothingMeasuredError, ScriptError
from advisor.runtime import RunOptions
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.session_result import SessionResult
from advisor.types import Command, Config, UsagePoint
from advisor.types.comparison import VersionRun
from advisor.verification import side_by_side
from advisor.verification.footprint import Footprint, Room
from advisor.verification.parity import Losses
from advisor.verification.process import Process, ScriptVersion
from advisor.verification.side_by_side import SideBySide

GIB = 2**30
COMMAND = Command(target="train.py", is_module=False, args=(), cwd=".", interpreter="python")
KNOWN = Footprint(host_bytes=GIB, start_s=2.0)
MOMENT_S = 0.1


@dataclass(kw_only=True)
class Behaviour:
    """What a version's processes do."""

    starts_after: int = 3
    """Moments until it waits; a process that another one blocks never does."""
    dies_beside: bool = False
    dies_alone: bool = False
    dies_waiting: bool = False
    busy_cpus: float = 0.0
    """While it waits."""
    kind: str = "crash"


@dataclass(kw_only=True)
class Machine:
    """Stands for the sessions, the clock and the memory."""

    behaviours: dict[str, Behaviour]
    now_s: float = 0.0
    free_bytes: int = 16 * GIB
    said: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    most_running: int = 0
    notes: list[str] = field(default_factory=list)
    options: RunOptions = field(default_factory=RunOptions)

    # --- what ProcessTrials does --------------------------------------------------------------------------------

    def session(self, version: ScriptVersion, _seed: int | None) -> Any:
        return FakeSession(self, version)

    def window(self, version: ScriptVersion) -> wire.Window:
        return wire.Window(id=version.name)

    def taken(self, version: ScriptVersion, result: SessionResult, _seed: int | None) -> Process:
        if version.name not in result.outcomes:
            raise ScriptError(f"{version.name} failed", kind=self.behaviours[version.name].kind)
        return self._process(version, result.script_runs[-1])

    def measure(self, version: ScriptVersion, *, seed: int | None = None) -> Process:
        assert seed is not None
        assert not self.running, "another process runs beside one that should be alone"
        self.said.append(f"alone {version.name}")
        if self.behaviours[version.name].dies_alone:
            raise ScriptError(f"{version.name} failed")
        return self._process(version, self.record())

    def _process(self, version: ScriptVersion, script_run: ScriptRunRecord) -> Process:
        run = VersionRun(side=version.side, updates=10, seconds=1.0, samples=80)
        return Process(run=run, losses=Losses(first=0, values=()), peak_bytes=1, set_up_s=None, script_run=script_run)

    def record(self) -> ScriptRunRecord:
        return ScriptRunRecord(number=0, started="", first_update_at_s=2.0, usage=[usage(0.0)])


def usage(busy_cpus: float) -> UsagePoint:
    return UsagePoint(
        at_s=0.0,
        accelerator_busy_fraction=None,
        accelerator_memory_bytes=None,
        tree_cpus=busy_cpus,
        rss_bytes=GIB,
        processes=1,
        threads=1,
    )


class FakeSession:
    def __init__(self, machine: Machine, version: ScriptVersion) -> None:
        self.machine, self.version = machine, version
        self.result = SessionResult()

    def moments(self, planner: Any) -> Iterator[None]:
        name, machine = self.version.name, self.machine
        behaviour, record = machine.behaviours[name], machine.record()
        machine.said.append(f"start {name}")
        machine.running.add(name)
        machine.most_running = max(machine.most_running, len(machine.running))
        self.result.script_runs.append(record)
        try:
            next(planner)
            for _ in range(behaviour.starts_after):
                machine.now_s += MOMENT_S
                yield
            if behaviour.dies_beside and len(machine.running) > 1:
                return
            windows: list[wire.Window] = planner.send(self.result.outcomes)
            while not windows:
                machine.now_s += MOMENT_S
                record.usage.append(usage(behaviour.busy_cpus))
                if behaviour.dies_waiting and len(record.usage) > 4:
                    return
                yield
                windows = planner.send(self.result.outcomes)
            machine.said.append(f"count {name}")
            yield
            self.result.outcomes[name] = wire.WindowRefused(0, name, "refused", "stands for its report")
        finally:
            machine.running.discard(name)
            machine.said.append(f"end {name}")


@dataclass
class Isolated:
    protects: bool = True


def version(name: str, *, protects: bool = True) -> ScriptVersion:
    isolation: Any = Isolated(protects)
    return ScriptVersion(name=name, side="after", command=COMMAND, isolation=isolation, config=Config())


A, B = version("a"), version("b")


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Machine, SideBySide]]:
    def make(known: Footprint | None = KNOWN, **behaviours: Behaviour) -> tuple[Machine, SideBySide]:
        machine = Machine(behaviours={"a": Behaviour(), "b": Behaviour(), **behaviours})
        monkeypatch.setattr(side_by_side, "time", SimpleNamespace(monotonic=lambda: machine.now_s))
        trials: Any = machine
        room = lambda: Room(host_bytes=machine.free_bytes)  # noqa: E731
        return machine, SideBySide(trials, known=known, room=room)

    return make


Make = Callable[..., tuple[Machine, SideBySide]]


def run_round(found: SideBySide, *order: ScriptVersion, seed: int = 0) -> list[str]:
    """Run one round and return the versions that were measured."""
    if found.fit(order):
        found.start(order, seed=seed)
    done = []
    for one in order:
        found.measure(one, seed=seed)
        done.append(one.name)
    return done


def test_processes_start_together_and_are_counted_one_after_another(together: Make) -> None:
    machine, found = together()
    assert run_round(found, B, A) == ["b", "a"]
    assert machine.said == ["start b", "start a", "count b", "end b", "count a", "end a"]
    assert (machine.most_running, machine.notes) == (2, [])


def test_nothing_starts_together_before_something_is_known_of_the_script(together: Make) -> None:
    machine, found = together(None)
    run_round(found, A, B)
    run_round(found, B, A, seed=1)
    assert machine.said[:4] == ["alone a", "alone b", "start b", "start a"]


def test_processes_that_do_not_fit_into_the_memory_run_one_after_another_and_it_is_told(together: Make) -> None:
    machine, found = together()
    machine.free_bytes = 2 * GIB
    run_round(found, A, B)
    run_round(found, B, A, seed=1)
    assert machine.said == ["alone a", "alone b", "alone b", "alone a"]
    assert machine.notes == [
        "they need 2.0 GiB of memory together, and 2.0 GiB are free: processes are started one after another"
    ]


def test_what_a_device_holds_of_both_is_not_charged_to_each(together: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see its memory grow by what the two take together."""
    known = Footprint(host_bytes=GIB, device_bytes=20 * GIB, start_s=2.0)
    machine, _found = together(known)
    trials: Any = machine
    room = Room(host_bytes=16 * GIB, device_bytes=60 * GIB)
    found = SideBySide(trials, known=known, has_devices=True, room=lambda: room)
    seen = replace(known, device_bytes=40 * GIB)
    monkeypatch.setattr(side_by_side.Footprint, "of", lambda _runs: seen)
    run_round(found, A, B)
    assert found.fit([B, A])


def test_nor_do_those_without_a_view_of_their_own_or_with_several_ranks(together: Make) -> None:
    machine, found = together()
    run_round(found, version("a", protects=False), B)
    machine, ranks = together(Footprint(host_bytes=GIB, ranks=2))
    run_round(ranks, A, B)
    assert (machine.most_running, machine.said) == (0, ["alone a", "alone b"])


@pytest.mark.parametrize("dies", [Behaviour(dies_beside=True), Behaviour(dies_waiting=True)], ids=["start", "waiting"])
def test_who_fails_beside_another_is_run_alone_before_it_counts(together: Make, dies: Behaviour) -> None:
    machine, found = together(b=dies)
    assert run_round(found, A, B) == ["a", "b"]
    assert machine.said[-1] == "alone b"
    assert "processes are started one after another" in machine.notes[0]
    run_round(found, B, A, seed=1)
    assert machine.said[-2:] == ["alone b", "alone a"]


def test_the_one_that_waits_is_ended_for_it_and_run_alone_as_well(together: Make) -> None:
    machine, found = together(b=Behaviour(dies_beside=True))
    assert run_round(found, B, A) == ["b", "a"]
    assert [word for word in machine.said if word.startswith("alone")] == ["alone b", "alone a"]


def test_who_fails_alone_too_fails_for_its_settings_and_the_others_go_on_together(together: Make) -> None:
    machine, found = together(b=Behaviour(dies_beside=True, dies_alone=True))
    with pytest.raises(ScriptError, match="b failed"):
        run_round(found, A, B)
    assert machine.notes == []
    assert found.fit([A, B])


def test_settings_that_are_refused_are_not_tried_again(together: Make) -> None:
    machine, found = together(b=Behaviour(dies_beside=True, kind="refused"))
    with pytest.raises(ScriptError):
        run_round(found, A, B)
    assert not any(word.startswith("alone") for word in machine.said)


def test_a_process_that_another_blocks_is_ended_and_run_alone(together: Make) -> None:
    """A lock on a file, say; it would wait until the limit on starts."""
    machine, found = together(b=Behaviour(starts_after=10**6))
    assert run_round(found, A, B) == ["a", "b"]
    assert machine.now_s < 60
    assert machine.said[-1] == "alone b"


def test_a_start_that_uses_up_the_memory_is_broken_off(together: Make) -> None:
    machine, found = together(b=Behaviour(starts_after=50))
    assert found.fit([A, B])
    machine.free_bytes = 2**28
    found.start([A, B], seed=0)
    assert "end b" in machine.said


def test_a_process_that_computes_while_it_waits_is_no_neighbour(together: Make) -> None:
    machine, found = together(a=Behaviour(busy_cpus=1.0))
    assert run_round(found, A, B) == ["a", "b"]
    assert machine.said[-2:] == ["alone a", "alone b"]
    assert machine.notes == ["a process of the script computes while it waits: processes are started one after another"]


def test_what_waits_is_ended_at_the_close(together: Make) -> None:
    machine, found = together()
    found.start([A, B], seed=0)
    found.close()
    assert machine.running == set()


def test_an_interruption_of_one_ends_all(together: Make) -> None:
    machine, found = together()
    found.start([A, B], seed=0)
    found._started[1].session.result.interrupted = KeyboardInterrupt()
    found._started[1].moments.close()
    with pytest.raises(KeyboardInterrupt):
        found.measure(A, seed=0)
    found.close()
    assert machine.running == set()


def test_too_few_updates_beside_another_are_measured_again(together: Make) -> None:
    machine, found = together()
    found.start([A, B], seed=0)
    calls = itertools.count()

    def taken(*_: Any) -> Process:
        next(calls)
        raise NothingMeasuredError("ended after 2 updates")

    machine.taken = taken  # type: ignore[method-assign]
    assert found.measure(A, seed=0).run.updates == 10
    assert next(calls) == 1
