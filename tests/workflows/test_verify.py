"""Verify: which processes are run in which order, what comes of those that fail, and the command itself."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import psutil
import pytest
from search import thin

from advisor import wire
from advisor.errors import NothingMeasuredError, ScriptError, Terminated
from advisor.hardware import probe
from advisor.runtime import RunOptions
from advisor.runtime.isolation import choose
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.settings_file import advisor_yaml
from advisor.types import Command, Config, Skipped, Verification
from advisor.types.comparison import VersionRun
from advisor.verification import round_log
from advisor.verification.process import Process, ScriptVersion
from advisor.verification.process_trial import ProcessTrials
from advisor.verification.verification_run import Finalist, verify_configs, version_of, winner
from advisor.verification.windows import same_window

COMMAND_S = 240
COMMAND = Command(target="train.py", is_module=False, args=("--epochs", "2"), cwd=".", interpreter=sys.executable)
Losses = Callable[[int, int], float | None]
TRAINING = """
import time, torch
from torch.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self): return 100_000
    def __getitem__(self, number):
        time.sleep(0.002)
        x = torch.randn(10, generator=torch.Generator().manual_seed(number))
        return x, x.sum(0, keepdim=True)

torch.manual_seed(0)
model = torch.nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for x, y in DataLoader(Slow(), batch_size=8, shuffle=True):
    optimizer.zero_grad(); (model(x) - y).square().mean().backward(); optimizer.step()
"""
SETTINGS = """# mine
version: 1
settings:
  num_workers: 2  # as many as there are CPUs
"""


def finalist(effect: str = "exact", **settings: Any) -> Finalist:
    return Finalist(config=Config.of(settings), effect=effect)


CHEAP, FAST, HUGE = finalist(threads=1), finalist(threads=2), finalist("training", global_batch=64)


class Machine:
    """Stands for the processes: each version has its speed, or what is raised in its place."""

    def __init__(self, speeds: Mapping[str, float | Exception], *, noise: float = 0.005, process_s: float = 1.0):
        self.speeds = speeds
        self.process_s = process_s
        self.noise = noise
        self.order: list[tuple[str, int | None]] = []
        self.losses: dict[str, Losses] = {}
        self.updates: list[int | None] = []
        """Updates that each process was to count; None for those of the first."""

    def measure(self, version: ScriptVersion, *, seed: int | None = None) -> Process:
        self.order.append((version.name, seed))
        window = self.window(version, seed)
        samples = sum(count or 0 for count in window.samples)
        run = VersionRun(side=version.side, updates=len(window.wall_s), seconds=sum(window.wall_s), samples=samples)
        script_run = ScriptRunRecord(number=0, started="", elapsed_s=self.process_s)
        return Process.of(run, window, script_run)

    def window(self, version: ScriptVersion, seed: int | None) -> wire.WindowDone:
        speed = self.speeds[version.name]
        if isinstance(speed, BaseException):
            raise speed
        assert seed is not None
        level = random.Random(f"{version.name} {seed}").gauss(1.0, self.noise)
        batch = version.samples_per_update or 8
        count = 400 // batch
        losses = self.losses.get(version.name, lambda seed, update: 1.0 + seed / 10 - update / 100)
        return wire.WindowDone(
            rank=0,
            id="measured",
            start_s=0.0,
            wall_s=[batch / 8 / 100 * level / speed] * count,
            phases_s={},
            off_step_s={},
            micro_steps=[1] * count,
            samples=[batch] * count,
            samples_from="indices",
            losses=[losses(seed, update) for update in range(count)],
            dropped_updates=10,
            rss_bytes=[1000],
            extra={"nan_losses": sum(losses(seed, update) is None for update in range(count))},
        )


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verification]:
    def run(machine: Machine, *finalists: Finalist, **options: Any) -> Verification:
        def measure(trials: ProcessTrials, version: ScriptVersion, *, seed: int | None = None) -> Process:
            machine.updates.append(trials.updates)
            process = machine.measure(version, seed=seed)
            round_log.keep(trials.folder, version, process, seed, trials.digest_of(version))
            return process

        monkeypatch.setattr(ProcessTrials, "measure", measure)
        found: dict[str, Any] = {"budget_s": 1e9, **options}
        return verify_configs(
            COMMAND,
            finalists,
            hardware=probe(folder=tmp_path),
            run_folder=tmp_path,
            isolation=choose("none", project=tmp_path, scratch=tmp_path),
            options=RunOptions(),
            **found,
        )

    return run


WRITTEN, ONE, TWO = "the unmodified script", "threads=1", "threads=2"
Verified = Callable[..., Verification]


# --- processes ------------------------------------------------------------------------------------------------------


def test_processes_are_run_in_turns_and_in_reversed_order_every_other_round(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, ONE: 2.0, TWO: 3.0})
    verified(machine, FAST, CHEAP)
    assert [name for name, _seed in machine.order[:6]] == [WRITTEN, TWO, ONE, ONE, TWO, WRITTEN]


def test_both_sides_of_a_round_have_its_seed(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, TWO: 1.3})
    verified(machine, FAST)
    assert [seed for _name, seed in machine.order] == [0, 0, 1, 1, 2, 2]


def test_a_decided_finalist_is_run_no_more_while_another_is_open(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, ONE: 1.03, TWO: 1.3}, noise=0.03)
    verified(machine, FAST, CHEAP, rounds=5)
    assert [name for name, _seed in machine.order].count(TWO) == 3
    assert [name for name, _seed in machine.order].count(ONE) == 5


def test_open_quality_takes_more_rounds_than_the_speed_needs(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, TWO: 3.0})
    machine.losses[WRITTEN] = lambda seed, _update: 1.0 + (0.02 if seed % 2 else -0.02)
    machine.losses[TWO] = lambda seed, _update: 1.0 + (0.3, -0.1, 0.2, 0.1)[seed % 4]
    found = verified(machine, replace(FAST, effect="resampled"))
    assert found.configs[0].verdict.rounds > 3


def test_a_finalist_that_fails_is_out_and_the_others_go_on(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, ONE: 2.0, TWO: ScriptError("threads=2 failed: out of memory", kind="oom")})
    broken, other = verified(machine, FAST, CHEAP).configs
    assert (broken.verdict.status, broken.verdict.quality, broken.outcome.kind) == ("unverified", "failed", "oom")
    assert "out of memory" in broken.verdict.quality_evidence
    assert other.verdict.status == "faster"


def test_settings_that_are_refused_are_out_but_break_nothing(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, TWO: ScriptError("threads=2 failed: it has no threads", kind="refused")})
    (only,) = verified(machine, FAST).configs
    assert (only.verdict.status, only.verdict.quality, only.outcome.kind) == ("unverified", "not checked", "refused")


def test_a_script_that_fails_as_written_is_an_error(verified: Verified) -> None:
    with pytest.raises(ScriptError, match="unmodified script failed"):
        verified(Machine({WRITTEN: ScriptError("the unmodified script failed"), TWO: 1.0}), FAST)


def test_too_few_updates_with_settings_are_a_failure_of_theirs(verified: Verified) -> None:
    (only,) = verified(Machine({WRITTEN: 1.0, TWO: NothingMeasuredError("ended after 4 updates")}), FAST).configs
    assert (only.outcome.kind, only.outcome.message) == ("crash", "ended after 4 updates")


def test_who_stands_last_is_left_out_where_time_is_short(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, ONE: 2.0, TWO: 3.0}, process_s=10.0)
    first, last = verified(machine, FAST, CHEAP, budget_s=50.0).configs
    assert (first.verdict.status, last.verdict.status) == ("faster", "unverified")
    assert (last.outcome.kind, last.verdict.quality) == ("stopped", "not checked")


def test_the_budget_ends_the_rounds_and_is_told(verified: Verified) -> None:
    ticks = itertools.count(step=10)
    machine = Machine({WRITTEN: 1.0, TWO: 1.03}, noise=0.1)
    found = verified(machine, FAST, rounds=4, budget_s=60.0, clock=lambda: float(next(ticks)))
    told = "time ran out: 2 of 4 rounds fitted into 60 s; about 50 s more is needed"
    assert told in found.notes
    assert found.skipped == (Skipped(what="rounds 3 to 4", why=told),)


def test_a_budget_of_less_than_one_start_is_told_and_a_round_is_measured(verified: Verified) -> None:
    ticks = itertools.count(step=10)
    machine = Machine({WRITTEN: 1.0, TWO: 3.0})
    found = verified(machine, FAST, budget_s=5.0, clock=lambda: float(next(ticks)))
    assert [name for name, _seed in machine.order] == [WRITTEN, TWO]
    assert (found.configs[0].verdict.status, found.configs[0].verdict.rounds) == ("undecided", 1)
    assert found.skipped[0].why.startswith("time ran out: 1 of 10 rounds fitted into 5 s")


def test_further_rounds_count_the_updates_that_the_measured_gain_needs(verified: Verified) -> None:
    """Fifty updates of ten milliseconds took half a second: a threefold gain is measured for one."""
    machine = Machine({WRITTEN: 1.0, TWO: 3.0}, noise=0.0)
    verified(machine, replace(FAST, effect="training"))
    assert machine.updates == [None, None, 100, 100]


# --- rounds measured before -----------------------------------------------------------------------------------------


def test_rounds_of_an_earlier_verification_count_and_are_continued(verified: Verified, tmp_path: Path) -> None:
    ticks = itertools.count(step=10)
    speeds = {WRITTEN: 1.0, TWO: 1.1}
    first = verified(Machine(speeds, noise=0.03), FAST, budget_s=60.0, clock=lambda: float(next(ticks)))
    assert (first.configs[0].verdict.status, first.configs[0].verdict.rounds) == ("undecided", 2)
    machine = Machine(speeds, noise=0.03)
    found = verified(machine, FAST, earlier=[tmp_path])
    assert machine.order[:4] == [(WRITTEN, 2), (TWO, 2), (TWO, 3), (WRITTEN, 3)]
    assert (found.configs[0].verdict.status, found.configs[0].verdict.rounds) == ("faster", 5)
    assert found.notes[0] == "2 rounds measured before count: script, command, settings and machine are unchanged"


def test_an_odd_number_of_them_is_continued_in_the_order_that_is_due(verified: Verified, tmp_path: Path) -> None:
    ticks = itertools.count(step=10)
    verified(Machine({WRITTEN: 1.0, TWO: 1.1}), FAST, budget_s=5.0, clock=lambda: float(next(ticks)))
    machine = Machine({WRITTEN: 1.0, TWO: 1.1})
    verified(machine, FAST, earlier=[tmp_path])
    assert machine.order[:2] == [(TWO, 1), (WRITTEN, 1)]


def test_a_comparison_that_used_up_its_rounds_gets_two_more(verified: Verified, tmp_path: Path) -> None:
    equal = {WRITTEN: 1.0, TWO: 1.02}
    assert verified(Machine(equal, noise=0.05), FAST).configs[0].verdict.rounds == 10
    machine = Machine(equal, noise=0.05)
    assert verified(machine, FAST, earlier=[tmp_path]).configs[0].verdict.rounds == 12
    assert [seed for _name, seed in machine.order] == [10, 10, 11, 11]


def test_other_settings_are_verified_from_the_beginning(verified: Verified, tmp_path: Path) -> None:
    verified(Machine({WRITTEN: 1.0, TWO: 1.3}), FAST)
    machine = Machine({WRITTEN: 1.0, ONE: 1.3})
    verified(machine, CHEAP, earlier=[tmp_path])
    assert machine.order[0] == (WRITTEN, 0)


def test_losses_measured_before_are_judged_with_the_others(verified: Verified, tmp_path: Path) -> None:
    ticks = itertools.count(step=10)
    machine = Machine({WRITTEN: 1.0, TWO: 1.03}, noise=0.05)
    machine.losses[TWO] = lambda seed, _update: 2.0 + seed / 10
    verified(machine, FAST, budget_s=60.0, clock=lambda: float(next(ticks)))
    found = verified(machine, FAST, earlier=[tmp_path], budget_s=5.0, clock=lambda: float(next(ticks)))
    assert (found.configs[0].verdict.rounds, found.configs[0].verdict.quality) == (3, "failed")
    assert found.skipped[0].why == "time ran out: 1 of 8 rounds fitted into 5 s; about 140 s more is needed"


# --- ends -----------------------------------------------------------------------------------------------------------


def test_rounds_that_would_tell_nothing_more_are_not_asked_for(verified: Verified) -> None:
    ticks = itertools.count(step=10)
    found = verified(Machine({WRITTEN: 1.0, TWO: 3.0}), FAST, budget_s=80.0, clock=lambda: float(next(ticks)))
    assert (found.configs[0].verdict.status, found.skipped) == ("faster", ())


def test_a_run_that_was_gone_on_with_is_verified_in_another_folder(verified: Verified, tmp_path: Path) -> None:
    for _ in range(2):
        verified(Machine({WRITTEN: 1.0, TWO: 3.0}), FAST)
    assert sorted(path.name for path in tmp_path.glob("verify*")) == ["verify", "verify-2"]


def test_an_interruption_keeps_what_was_measured(verified: Verified) -> None:
    machine, calls = Machine({WRITTEN: 1.0, TWO: 1.3}), itertools.count(1)
    measure = machine.measure

    def interrupted(version: ScriptVersion, *, seed: int | None = None) -> Process:
        if next(calls) == 6:
            raise Terminated
        return measure(version, seed=seed)

    machine.measure = interrupted  # type: ignore[method-assign]
    found = verified(machine, FAST)
    assert isinstance(found.interrupted, Terminated)
    assert found.configs[0].verdict.rounds == 2


def test_a_larger_batch_is_compared_by_samples(verified: Verified) -> None:
    found = verified(Machine({WRITTEN: 1.0, "global_batch=64": 2.0}), HUGE).configs[0]
    assert found.verdict.speedup == pytest.approx(2.0, rel=0.02)
    assert found.verdict.quality == "not checked"


def test_a_larger_batch_counts_as_many_samples(tmp_path: Path) -> None:
    isolation = choose("none", project=tmp_path, scratch=tmp_path)
    version = ScriptVersion(name=WRITTEN, side="before", command=COMMAND, isolation=isolation, samples_per_update=4)
    first = Machine({WRITTEN: 1.0}).window(version, seed=0)
    window = same_window(first, 8)
    assert (window.min_updates, window.max_updates) == (50, 50)


def test_samples_a_second_and_memory_are_those_of_all_processes(verified: Verified) -> None:
    found = verified(Machine({WRITTEN: 1.0, TWO: 2.0}), FAST)
    assert found.baseline.samples_per_s == pytest.approx(800, rel=0.02)
    assert found.configs[0].outcome.samples_per_s == pytest.approx(1600, rel=0.02)
    assert found.configs[0].outcome.peak_bytes == 1000


def test_settings_are_set_by_the_agent_but_for_those_that_go_on_the_command_line(tmp_path: Path) -> None:
    recommended = Finalist(
        config=Config.of({"global_batch": 64, "threads": 2}),
        arguments={"--batch-size": 64},
        passed_as_arguments=frozenset({"global_batch"}),
    )
    found = version_of(recommended, COMMAND, choose("none", project=tmp_path, scratch=tmp_path))
    assert found.config == Config.of({"threads": 2})
    assert found.command.args == ("--epochs", "2", "--batch-size=64")
    assert found.samples_per_update == 64


# --- what comes out -------------------------------------------------------------------------------------------------


def comes_out(verified: Verified, speeds: Mapping[str, float | Exception], *finalists: Finalist) -> Config | None:
    found = winner(verified(Machine({WRITTEN: 1.0, **speeds}), *finalists).configs)
    return found.config if found is not None else None


def test_the_best_comes_out(verified: Verified) -> None:
    assert comes_out(verified, {TWO: 3.0, ONE: 2.0}, FAST, CHEAP) == FAST.config


def test_the_cheapest_comes_out_where_it_is_as_fast(verified: Verified) -> None:
    assert comes_out(verified, {TWO: 2.0, ONE: 1.99}, FAST, CHEAP) == CHEAP.config


def test_another_finalist_comes_out_where_the_best_fails(verified: Verified) -> None:
    assert comes_out(verified, {TWO: ScriptError("no"), ONE: 2.0}, FAST, CHEAP) == CHEAP.config


def test_nothing_comes_out_where_nothing_is_faster(verified: Verified) -> None:
    assert comes_out(verified, {TWO: 1.0, ONE: 0.5}, FAST, CHEAP) is None


def test_what_loses_its_loss_is_never_fast(verified: Verified) -> None:
    machine = Machine({WRITTEN: 1.0, TWO: 3.0})
    machine.losses[TWO] = lambda _seed, update: None if update > 20 else 1.0
    found = verified(machine, FAST)
    assert (found.configs[0].verdict.status, found.configs[0].verdict.quality) == ("faster", "failed")
    assert winner(found.configs) is None


# --- the command ----------------------------------------------------------------------------------------------------


def advisor(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """With short windows: what is looked at is what goes on around them."""
    return forked.advisor(cwd, "verify", *words, limit_s=COMMAND_S, thin=True, forks=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(TRAINING)
    (folder / "advisor.yaml").write_text(SETTINGS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "none.yaml"], "there is no settings file none.yaml"),
        (["--config", "empty.yaml"], "no settings to verify"),
        (["--config", "unknown.yaml"], "unknown knob 'warp'"),
        (["--config", "advisor.yaml", "--rounds", "1"], "at least 2"),
        (["--config", "advisor.yaml", "--budget", "soon"], "invalid budget"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(project: Path, words: list[str], said: str) -> None:
    (project / "empty.yaml").write_text("version: 1\nsettings: {}\n")
    (project / "unknown.yaml").write_text("version: 1\nsettings: {warp: 9}\n")
    done = advisor(*words, "--runs", project.parent / "runs", "train.py", cwd=project)
    assert (done.returncode, done.stderr.count("\n"), said in done.stderr) == (2, 1, True), done.stderr


@pytest.mark.slow
def test_settings_are_run_against_the_script_as_written_and_the_verdict_is_kept(project: Path, tmp_path: Path) -> None:
    done = advisor(
        *("--config", "advisor.yaml", "--runs", tmp_path / "runs", "--rounds", "2", "--update", "--json"),
        "train.py",
        cwd=project,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"]["speedup"] > 1.2
    assert found["verdict"]["rounds"] == 2
    assert (found["verdict"]["quality"], found["config"]) == ("passed", {"num_workers": 2})
    assert found["files"] == ["advisor.yaml"]
    written = (project / "advisor.yaml").read_text()
    assert written.startswith(SETTINGS)
    assert advisor_yaml.parse(written, project).verdict["status"] == found["verdict"]["status"]
    assert sorted(path.name for path in project.iterdir()) == ["advisor.yaml", "train.py"]


@pytest.mark.slow
def test_settings_that_break_the_script_end_with_exit_code_6(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text(
        TRAINING.replace("time.sleep(0.002)", "assert torch.utils.data.get_worker_info() is None, 'no workers, please'")
    )
    done = advisor("--config", "advisor.yaml", "--runs", tmp_path / "runs", "train.py", cwd=project)
    assert done.returncode == 6, done.stderr
    told = " ".join(done.stdout.split())
    assert told.startswith("Not verified: num_workers=2 failed: the script raised AssertionError")
    assert "AssertionError: no workers, please." in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_ctrl_c_shows_what_was_measured_and_leaves_nothing_behind(project: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = ["--config", "advisor.yaml", "--runs", str(runs), "--json", "train.py"]
    with subprocess.Popen(
        [*thin.COMMAND, "verify", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _wait_for_processes(runs, 2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 130
    found = json.loads(out)
    assert (found["verdict"]["status"], found["verdict"]["rounds"]) == ("undecided", 1)
    assert (found["verdict"]["low"], found["verdict"]["high"]) == (0.0, None)
    assert not any(RunOptions(runs=runs).scratch.iterdir())


SIDE_BY_SIDE = TRAINING.replace("optimizer.step()", "optimizer.step(); print(time.time(), flush=True)")


@pytest.mark.slow
def test_the_processes_of_a_round_start_together_and_compute_one_after_another(project: Path, tmp_path: Path) -> None:
    """In the first round, which shows what a process needs, they are alone."""
    (project / "train.py").write_text(SIDE_BY_SIDE)
    runs = tmp_path / "runs"
    done = advisor("--config", "advisor.yaml", "--runs", runs, "--rounds", "2", "--json", "train.py", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"]["rounds"] == 2
    assert "verifying: starting 2 processes together" in done.stderr
    updates = {
        path.parent.name: [float(line) for line in path.read_text().split()]
        for path in runs.glob("*/verify/*/life-0.stdout")
    }
    first, second = updates["03-after"], updates["04-before"]
    assert second[0] < first[-1], "the second process started only when the first had ended"
    pause_begin, pause_end = max(itertools.pairwise(second), key=lambda pair: pair[1] - pair[0])
    assert pause_begin < first[-1] <= pause_end, "it computed while the first was measured"
    assert not any(RunOptions(runs=runs).scratch.iterdir())


@pytest.mark.slow
def test_a_script_that_cannot_run_twice_at_once_is_run_one_after_another(project: Path, tmp_path: Path) -> None:
    taken = "import socket; port = socket.socket(); port.bind(('127.0.0.1', 45873)); port.listen()"
    (project / "train.py").write_text(taken + TRAINING)
    words = ("--config", "advisor.yaml", "--runs", tmp_path / "runs", "--rounds", "2", "--json")
    done = advisor(*words, "train.py", cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"]["rounds"], found["verdict"]["quality"]) == (2, "passed")
    assert "Address already in use: processes are started one after another" in done.stderr


@pytest.mark.slow
def test_a_script_of_twenty_updates_is_verified(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text(TRAINING.replace("100_000", "20 * 8").replace("0.002", "0.01"))
    words = ("--config", "advisor.yaml", "--runs", tmp_path / "runs", "--rounds", "2", "--json")
    done = advisor(*words, "train.py", cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"]["rounds"] == 2
    assert found["verdict"]["speedup"] > 1.2


@pytest.mark.slow
def test_ctrl_c_while_one_waits_ends_all(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text(SIDE_BY_SIDE)
    runs = tmp_path / "runs"
    words = ["--config", "advisor.yaml", "--runs", str(runs), "--json", "train.py"]
    with subprocess.Popen(
        [*thin.COMMAND, "verify", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _wait_for(lambda: any((runs).glob("*/verify/04-before/life-0.stdout")))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 130
    assert json.loads(out)["verdict"]["rounds"] == 1
    assert len(children) >= 2
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not any(RunOptions(runs=runs).scratch.iterdir())


def _wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + COMMAND_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def _wait_for_processes(runs: Path, count: int) -> None:
    until_s = time.monotonic() + COMMAND_S
    while time.monotonic() < until_s:
        if any(path.read_bytes().count(b"\n") >= count for path in runs.glob("*/verify/rounds.jsonl")):
            return
        time.sleep(0.2)
    raise TimeoutError(f"not {count} processes within {COMMAND_S} s")


OWN_BATCHES = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=8)
parser.add_argument("--batch-size", type=int, default=8)
rows = parser.parse_args().rows
print(f"{rows} rows")
model = torch.nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(100_000):
    x = torch.randn(rows, 10)
    optimizer.zero_grad(); (model(x) - x.sum(1, keepdim=True)).square().mean().backward(); optimizer.step()
"""


@pytest.mark.slow
def test_options_of_the_script_go_on_its_command_line(project: Path, tmp_path: Path) -> None:
    (project / "train.py").write_text(OWN_BATCHES)
    (project / "advisor.yaml").write_text("version: 1\nsettings: {}\narguments: {--rows: 16}\n")
    runs = tmp_path / "runs"
    done = advisor("--config", "advisor.yaml", "--runs", runs, "--rounds", "2", "--json", "train.py", cwd=project)
    assert done.returncode in (0, 6), done.stderr
    assert json.loads(done.stdout)["verdict"]["rounds"] == 2
    said = {path.parent.name: path.read_text() for path in runs.glob("*/verify/*/life-0.stdout")}
    assert said == {"01-before": "8 rows\n", "02-after": "16 rows\n", "03-after": "16 rows\n", "04-before": "8 rows\n"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "arguments: {--warp: 16}",
            "--warp=16 failed: the script ended with exit code 2 (train.py: error: unrecognized",
        ),
        ("settings: {global_batch: 16}", "if the script has an option for it, write that below arguments: in the file"),
        ("settings: {micro_batch: 16}", "write --batch-size: 16 below arguments: in the file"),
    ],
    ids=["an unknown option", "a batch that nothing takes", "a batch that an option takes"],
)
def test_what_cannot_be_set_says_what_to_do(project: Path, tmp_path: Path, settings: str, said: str) -> None:
    (project / "train.py").write_text(OWN_BATCHES)
    (project / "advisor.yaml").write_text(f"version: 1\n{settings}\n")
    done = advisor("--config", "advisor.yaml", "--runs", tmp_path / "runs", "train.py", cwd=project)
    assert done.returncode == 6, done.stderr
    assert said in " ".join(done.stdout.split())
