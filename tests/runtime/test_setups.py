"""Script runs that are begun otherwise than the script was written: real processes, one after the other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from advisor import wire
from advisor.runtime import BASELINE_SETUP, InScriptRun, RunOptions, Session, SessionResult, Setup, session
from advisor.runtime import isolation as isolations
from advisor.runtime.session import Planner
from advisor.target import command as commands
from advisor.types import Config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

SCRIPT = """
import sys
import torch

size = int(sys.argv[1])
if size > 100:
    raise RuntimeError(f"no batch of {size}")
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(200 if size == 7 else 10**9):
    loss = model(torch.ones(size, 4)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
BIGGER = Setup(settings=Config.of({"micro_batch": 16}), args=("16",))
BROKEN = Setup(settings=Config.of({"micro_batch": 999}), args=("999",))


def window(name: str, **config: wire.Setting) -> wire.Window:
    return wire.Window(id=name, config=config, natural=False, warm_up_updates=1, min_updates=3, max_updates=3)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def session(*args: str, no_progress_limit_s: float | None = None) -> Session:
        script, folder = tmp_path / "train.py", tmp_path / "run"
        script.write_text(SCRIPT)
        folder.mkdir(mode=0o700)
        wanted = commands.build(str(script), list(args))
        return Session(
            command=wanted,
            folder=folder,
            isolation=isolations.choose("auto", project=Path(wanted.cwd), scratch=tmp_path / "scratch"),
            options=RunOptions(no_progress_limit_s=no_progress_limit_s),
            loop_budget_s=60.0,
            max_script_runs=6,
            outlives_failures=True,
        )

    return session


@pytest.fixture
def run(opened):
    def carry_out(planner: Planner, *args: str) -> SessionResult:
        return opened(*args).run(planner)

    return carry_out


def samples(result: SessionResult, name: str) -> int | None:
    found = result.outcomes[name]
    assert isinstance(found, wire.WindowDone), found
    return found.samples[0]


def test_a_setting_by_argument_gets_a_life_of_its_own_between_lives_as_written(run) -> None:
    def plan() -> Planner:
        yield [window("base before")]
        yield InScriptRun(windows=[window("bigger", micro_batch=16)], setup=BIGGER)
        yield InScriptRun(windows=[window("base after")], setup=BASELINE_SETUP)

    result = run(plan(), "8")
    assert [samples(result, name) for name in ("base before", "bigger", "base after")] == [8, 16, 8]
    assert [result.script_run_of[name] for name in ("base before", "bigger", "base after")] == [0, 1, 2]
    assert [script_run.end for script_run in result.script_runs] == ["plan done"] * 3


def test_time_that_is_given_when_it_is_up_is_used(opened) -> None:
    def plan() -> Planner:
        yield [window("first")]
        yield [wire.Window(id="long", warm_up_updates=1, min_updates=3, max_updates=10**7, min_s=2.0, max_s=20.0)]
        yield [window("last")]

    asked: list[float] = []

    def more_s() -> float:
        asked.append(found.left_s())
        found.loop_budget_s += 4.0 if len(asked) == 1 else 0.0
        return 4.0 if len(asked) == 1 else 0.0

    found = opened("8")
    found.loop_budget_s, found.more_s = 1.0, more_s
    result = found.run(plan())
    assert list(result.outcomes) == ["first", "long", "last"]
    assert asked[0] <= 0


def test_what_is_yielded_without_a_setup_stays_in_the_present_life(run) -> None:
    def plan() -> Planner:
        yield InScriptRun(windows=[window("first", micro_batch=16)], setup=BIGGER)
        yield [window("second", micro_batch=16)]

    result = run(plan(), "8")
    assert [result.script_run_of[name] for name in ("first", "second")] == [0, 0]


def test_a_start_that_fails_is_charged_to_its_windows_and_the_next_life_goes_on(run) -> None:
    def plan() -> Planner:
        yield [window("base before")]
        yield InScriptRun(windows=[window("broken", micro_batch=999), window("too")], setup=BROKEN)
        yield InScriptRun(windows=[window("base after")], setup=BASELINE_SETUP)

    result = run(plan(), "8")
    assert [(type(result.outcomes[name]).__name__) for name in ("broken", "too", "base after")] == [
        "WindowRefused",
        "WindowRefused",
        "WindowDone",
    ]
    assert "no batch of 999" in result.outcomes["broken"].message


def test_a_life_that_ends_by_itself_is_begun_again_with_its_own_setup(run) -> None:
    seven = Setup(settings=Config.of({"micro_batch": 7}), args=("7",))
    config: dict[str, wire.Setting] = {"micro_batch": 7}
    long = wire.Window(id="long", config=config, natural=False, warm_up_updates=1, min_updates=190, max_updates=190)
    settling = wire.Window(id="settling", config=config, natural=False, warm_up_updates=40, min_updates=3)

    def plan() -> Planner:
        yield InScriptRun(windows=[long, settling], setup=seven)

    result = run(plan(), "8")
    assert samples(result, "settling") == 7
    assert len(result.script_runs) == 2


LOADED = """
import torch
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(torch.ones(4096, 4)), batch_size=8)
for _ in range(10**9):
    for (batch,) in loader:
        loss = model(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def test_a_script_run_that_begins_with_settings_of_the_loader_waits_until_it_is_known(opened) -> None:
    loading = opened("8")
    Path(loading.command.target).write_text(LOADED)

    def plan() -> Planner:
        yield [window("with workers", num_workers=1)]

    outcome = loading.run(plan()).outcomes["with workers"]
    assert isinstance(outcome, wire.WindowDone), outcome


def test_what_deciding_took_is_kept_for_every_batch_of_windows(run) -> None:
    def plan() -> Planner:
        yield [window("one"), window("two")]
        yield [window("three")]

    result = run(plan(), "8")
    assert len(result.between_s) == 2  # the last of them decides that nothing follows
    assert set(result.arrived_s) == {"one", "two", "three"}


def test_a_script_waits_at_the_end_of_an_update_until_its_plan_has_windows(
    opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side takes the wait for a hang, however long it is."""
    monkeypatch.setattr(session, "KEEP_ALIVE_S", 0.2)
    waits = []

    def plan() -> Planner:
        yield [window("before")]
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < 4.0:
            waits.append(time.monotonic())
            yield []
        yield [window("after")]

    result = opened("8", no_progress_limit_s=3.0).run(plan())
    assert [samples(result, name) for name in ("before", "after")] == [8, 8]
    assert [script_run.end for script_run in result.script_runs] == ["plan done"]
    assert 5 < len(waits) < 200, "asked again a few times a second, and not as fast as it goes"
    (record,) = result.script_runs
    assert record.watched_s < record.elapsed_s - 3.0, "what else ran during the wait disturbed none of its windows"


def test_a_script_that_waits_ends_with_its_session(opened) -> None:
    def plan() -> Planner:
        yield [window("before")]
        while True:
            yield []

    waiting = opened("8")
    moments = waiting.moments(plan())
    while not waiting.result.outcomes:
        next(moments)
    (record,) = waiting.result.script_runs
    assert record.end == "running"
    moments.close()
    assert record.end == "stopped"
