"""Profiles of two ranks over gloo: who waits for whom, and that all of them switch together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from runtime.rank_scripts import training

from advisor import api, wire
from advisor.runtime import RunOptions, Session
from advisor.runtime.protection import protect
from advisor.runtime.session import Planner
from advisor.target import command as commands
from advisor.types import Finding, Profile


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


pytestmark = pytest.mark.usefixtures("thin", "rank_forks")


def profiled(line: list[str], budget: float = 5) -> Profile:
    found = api.profile("torchrun", line, budget=budget, runs="runs", isolation="none")
    assert found.failure is None
    return found


def finding(found: Profile, rule: str) -> Finding | None:
    return next((one for one in found.findings if one.rule == rule), None)


SAME_ON_ALL = """
threads = torch.tensor([float(torch.get_num_threads()), float(bool(optimizer.param_groups[0].get("fused")))])
    every = [torch.empty(2) for _ in range(2)]
    dist.all_gather(every, threads)
    assert torch.equal(every[0], every[1]), f"ranks differ after {step} updates: {every}"
    if rank == 0: sys.stderr.write(f"THREADS {int(threads[0])}\\n")""".strip()


def run_windows(line: list[str], windows: Sequence[wire.Window], folder: Path) -> Session:
    folder = folder / "own"
    folder.mkdir()
    command, options = commands.build("torchrun", line), RunOptions(isolation="none", runs=folder)
    session = Session(
        command=command,
        folder=folder,
        isolation=protect(command, options),
        options=options,
        loop_budget_s=60,
    )

    def plan() -> Planner:
        yield list(windows)

    session.run(plan())
    return session


def window(name: str, **changes: object) -> wire.Window:
    return wire.Window(id=name, min_updates=6, max_updates=40, min_s=0.2, max_s=3.0, **changes)  # type: ignore[arg-type]


@pytest.mark.slow(10)
def test_all_ranks_change_a_setting_after_the_same_update(tmp_path: Path) -> None:
    """The script itself compares the ranks in every update, and fails where they differ."""
    windows = [
        window(f"{number} {threads}", config={} if threads is None else {"threads": threads})
        for number, threads in enumerate((None, 2, None, 3, 2))
    ]
    session = run_windows(training(tmp_path, each=SAME_ON_ALL), windows, tmp_path)
    assert session.result.script_runs[0].failure is None
    assert all(isinstance(session.result.outcomes[one.id], wire.WindowDone) for one in windows)
    other = session.result.script_runs[0].ranks.others[0]
    for one in windows:
        done = session.result.outcomes[one.id]
        assert isinstance(done, wire.WindowDone)
        assert done.updates_before == other.windows[one.id].updates_before
        assert len(done.wall_s) == len(other.windows[one.id].wall_s)
    assert {1, 2, 3} <= set(map(int, _seen(tmp_path)))


def _seen(folder: Path) -> list[str]:
    text = (folder / "own" / "life-0.stderr").read_text()
    return [line.split()[-1] for line in text.splitlines() if "THREADS" in line]


JOINED = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(64, 64))
optimizer = torch.optim.AdamW(model.parameters())
while True:
    with model.join():
        for _ in range((40, 90)[(int(os.environ["RANK"]) + FIRST) % 2]):
            loss = model(torch.randn(16, 64)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""


@pytest.mark.slow(8)
@pytest.mark.parametrize("first", [0, 1])
def test_a_rank_that_has_joined_counts_the_updates_of_the_other(first: int, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(JOINED.replace("FIRST", str(first)))
    windows = [window(str(threads), config={"threads": threads}) for threads in (1, 2, 3)]
    session = run_windows(["--standalone", "--nproc-per-node", "2", "train.py"], windows, tmp_path)
    assert session.result.script_runs[0].failure is None
    other = session.result.script_runs[0].ranks.others[0]
    for one in windows:
        done = session.result.outcomes[one.id]
        assert isinstance(done, wire.WindowDone)
        assert len(done.wall_s) == len(other.windows[one.id].wall_s)


@pytest.mark.slow(8)
def test_a_setting_that_one_rank_refuses_is_taken_back_on_all(tmp_path: Path) -> None:
    """Rank 1 has an optimizer without a fused form, and rank 0 one with it."""
    optimizer = "(torch.optim.Rprop if rank == 1 else torch.optim.AdamW)(model.parameters())"
    windows = [window("first"), window("refused", config={"fused_optimizer": "fused"}), window("last")]
    session = run_windows(training(tmp_path, optimizer=optimizer, each=SAME_ON_ALL), windows, tmp_path)
    assert session.result.script_runs[0].failure is None
    outcome = session.result.outcomes["refused"]
    assert isinstance(outcome, wire.WindowRefused)
    assert outcome.message.startswith("rank 1: ")
    assert isinstance(session.result.outcomes["last"], wire.WindowDone)


@pytest.mark.slow(8)
def test_ranks_are_equal_again_after_the_loop_without_sending(tmp_path: Path) -> None:
    each = """
    if step >= 2:
        mine = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        every = [torch.empty_like(mine) for _ in range(2)]
        dist.all_gather(every, mine)
        if rank == 0: sys.stderr.write(f"EQUAL {int(torch.equal(every[0], every[1]))}\\n")"""
    windows = [window("first"), window("alone", what_if="no_communication"), window("last")]
    session = run_windows(training(tmp_path, each=each.strip()), windows, tmp_path)
    assert session.result.script_runs[0].failure is None
    lines = (tmp_path / "own" / "life-0.stderr").read_text().splitlines()
    equal = [line.split()[-1] for line in lines if line.startswith("EQUAL")]
    assert "0" in equal  # they did go apart
    assert equal[-1] == "1"
    assert equal[0] == "1"


@pytest.mark.slow(12)
@pytest.mark.usefixtures("no_forks")
def test_a_rank_that_comes_late_is_the_straggler(tmp_path: Path) -> None:
    found = profiled(training(tmp_path, each="time.sleep(0.02 if rank == 1 else 0.002)"))
    slow = finding(found, "straggler")
    assert slow is not None
    assert slow.evidence.startswith("Rank 1 ")
    assert slow.share > 0.4
    assert "sleep" in (tmp_path / "train.py").read_text().splitlines()[slow.where[0].line - 1]
    first, second = found.ranks
    assert first.communication_s is not None
    assert second.communication_s is not None
    assert first.communication_s > 0.01 > second.communication_s
    assert second.own_s == pytest.approx(0.021, rel=0.5)
    assert finding(found, "data_imbalance") is None


@pytest.mark.slow(12)
def test_a_rank_with_twice_the_data_is_no_straggler_but_an_imbalance(tmp_path: Path) -> None:
    found = profiled(training(tmp_path, samples="(60_000 if rank == 1 else 30_000)"))
    uneven = finding(found, "data_imbalance")
    assert uneven is not None
    assert "2.00 times as many elements" in uneven.evidence
    assert finding(found, "straggler") is None


BY_HAND = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(10)])
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(10 ** 6):
    optimizer.zero_grad()
    model(torch.randn(16, 64)).square().mean().backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    optimizer.step()
"""


@pytest.mark.slow(12)
def test_an_all_reduce_for_every_parameter_is_many_small_messages(tmp_path: Path) -> None:
    """As hand-written data parallelism does it: no wrapper, one call after the other."""
    line = training(tmp_path)
    (tmp_path / "train.py").write_text(BY_HAND)
    found = profiled(line)
    small = finding(found, "bucket_too_small")
    assert small is not None
    assert "`all_reduce`" in small.evidence
    assert "DistributedDataParallel" in small.advice
