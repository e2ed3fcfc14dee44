"""worker_threads: one thread for libraries in each worker, where workers were seen to use several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs, rules
from advisor.rules._examples import evolve, healthy_cpu, train_loader, what_if
from advisor.types import Evidence

KNOB = knobs.get("worker_threads")
LIBRARIES = """
import numpy, threadpoolctl

class Multiplied(Images):
    '''Beside each image, the threads that NumPy's linear algebra may use where it was read.'''
    def __getitem__(self, index):
        pools = threadpoolctl.threadpool_info()
        threads = max(pool["num_threads"] for pool in pools if pool["internal_api"] == "openblas")
        return super().__getitem__(index)[0] * 0 + threads, index

threadpoolctl.threadpool_limits(3)  # as on a machine with more CPUs
seen = []
"""
LOOP = (
    LIBRARIES
    + """
hook()
done = clock.updates
def on_update(update):
    at = {3: {"worker_threads": 1}, 9: {}}.get(clock.updates - done)
    if at is not None:
        controls.set_config(at)
clock.on_update = on_update
model = Net()
optimizer = adamw(model)
loader = DataLoader(Multiplied(), batch_size=4, num_workers=2)
for _ in range(3):
    for batch, index in loader:
        seen.append(int(batch.max()))
        loss = torch.nn.functional.cross_entropy(model(batch), index % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(seen)
"""
)


def evidence(threads: float | None, **loader: Any) -> Evidence:
    given = {"workload": {"loaders": (train_loader(**loader),), "facts": {"fetching_threads": threads}}}
    found: Evidence = evolve(healthy_cpu(), given)
    return found


def values(threads: float | None, **loader: Any) -> Any:
    found = evidence(threads, **loader)
    return KNOB.values(found.hardware, found.workload)


def test_workers_that_keep_several_threads_busy_open_it() -> None:
    found = values(7.6, num_workers=4)
    assert found.values == (1,)
    assert found.why == "each of the script's 4 workers keeps 7.6 threads busy"


@pytest.mark.parametrize(
    ("threads", "workers", "reason"),
    [(7.6, 0, "has no workers"), (1.1, 4, "use one thread each"), (None, 4, "cannot be seen")],
)
def test_what_closes_it_is_said(threads: float | None, workers: int, reason: str) -> None:
    assert reason in values(threads, num_workers=workers).why_closed


def test_once_it_is_set_no_rule_asks_for_it_again() -> None:
    found = evidence(7.6, num_workers=4)
    described = KNOB.described(found.workload, 1)
    assert KNOB.values(found.hardware, described).values == ()


@pytest.mark.parametrize(("threads", "said"), [(7.6, True), (1.0, False), (None, False)])
def test_a_loop_that_waits_for_such_workers_is_told_so(threads: float | None, said: bool) -> None:
    given = evolve(
        evidence(threads, num_workers=4),
        {
            "phases": {"data_wait": 0.6},
            "loader": {"fetch_s": 0.3, "fetch_cpu_s": 0.29, "collate_s": 0.003, "workers": 4},
            "what_ifs": what_if("no_data_wait", 2.4),
        },
    )
    finding = next(one for one in rules.diagnose(given).findings if one.rule == "input_bound")
    assert ("keeps 7.6 threads busy" in finding.evidence) is said
    assert ("threadpoolctl.threadpool_limits(1)" in finding.advice) is said


@pytest.mark.slow
def test_libraries_use_one_thread_in_its_workers_and_as_many_as_before_without(tmp_path: Path) -> None:
    assert says(tmp_path, LOOP) == str([3] * 3 + [1] * 6 + [3] * 9)


@pytest.mark.slow
def test_it_needs_workers(tmp_path: Path) -> None:
    code = """
    hook()
    kept = images()
    train(epochs=1, make_loader=lambda: kept)
    try:
        controls.set_config({"worker_threads": 1})
    except Refused as refusal:
        print(refusal)
    """
    assert "needs workers" in says(tmp_path, code)
