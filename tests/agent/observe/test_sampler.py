"""The sampler names the user's line, what its time goes to, and the phase."""

from __future__ import annotations

import copy
import io
import itertools
import json
import logging
import multiprocessing
import os
import queue
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from tqdm import tqdm

from advisor import wire
from advisor.agent.loop.clock import FORWARD, StepClock
from advisor.agent.loop.frames import BOOTSTRAP, LIBRARY, OWN, TORCH, USER, Frames
from advisor.agent.observe.callee import kind_of_call
from advisor.agent.observe.sampler import Sampler

from .. import own_code

NUMBERS = [[index] * 10 for index in range(2000)]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that an earlier test has left in this process are none of this one's."""
    left, every = set(threading.enumerate()) - {threading.current_thread()}, threading.enumerate
    monkeypatch.setattr(threading, "enumerate", lambda: [thread for thread in every() if thread not in left])


def lines_of(work: Callable[[], Any], clock: StepClock | None = None) -> tuple[int, list[wire.SampledLine]]:
    """Samples of a stretch of work that is repeated for a while."""
    sampler = Sampler(clock or StepClock())
    sampler.start(500)
    end_s = time.perf_counter() + 0.4
    while time.perf_counter() < end_s:
        work()
    sampler.stop()
    return sampler.take()


def top(work: Callable[[], Any], clock: StepClock | None = None) -> wire.SampledLine:
    return lines_of(work, clock)[1][0]


def spin() -> int:
    total = 0
    for index in range(100_000):
        total += index * index
    return total


def test_a_busy_python_line_is_named_with_its_function() -> None:
    line = top(spin)
    assert (line.file, line.function, line.kind) == (__file__, "spin", "python")


def test_the_callers_of_library_code_are_named_and_not_the_library() -> None:
    line = top(lambda: json.dumps(NUMBERS))
    assert (line.file, line.function) == (__file__, "<lambda>")


def test_a_deep_copy_is_a_copy() -> None:
    assert top(lambda: copy.deepcopy(NUMBERS)).kind == "copy"


def test_a_sleep_is_a_sleep() -> None:
    assert top(lambda: time.sleep(0.01)).kind == "sleep"


def _by_os(source: Path, target: Path) -> None:
    for _ in range(2000):
        os.replace(source, target)  # noqa: PTH105
        os.replace(target, source)  # noqa: PTH105


def _by_pathlib(source: Path, target: Path) -> None:
    for _ in range(2000):
        source.replace(target)
        target.replace(source)


@pytest.mark.parametrize("work", [_by_os, _by_pathlib])
def test_moving_a_file_into_place_belongs_to_writing_it(tmp_path: Path, work: Callable[[Path, Path], None]) -> None:
    source, target = tmp_path / "new", tmp_path / "old"
    source.touch()
    assert top(lambda: work(source, target)).kind == "checkpoint"


def test_a_profilers_tables_are_the_profilers() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(300):
            torch.ones(3).mul(2)
    assert top(lambda: [profiler.key_averages(group_by_stack_n=n) for n in range(8)]).kind == "profiler"


def test_waiting_for_another_thread_is_doing_nothing() -> None:
    def wait() -> None:
        try:
            queue.Queue().get(timeout=0.02)
        except queue.Empty:
            return

    assert top(wait).kind == "sleep"


def test_a_torch_operator_is_torch_in_any_phase() -> None:
    matrix = torch.randn(400, 400)
    assert top(lambda: torch.mm(matrix, matrix)).kind == "torch"


def test_logging_is_logging(tmp_path: Any) -> None:
    logger = logging.getLogger("sampled")
    logger.propagate = False
    handler = logging.FileHandler(tmp_path / "log.txt")
    logger.addHandler(handler)
    try:
        assert top(lambda: [logger.warning("step %d", number) for number in range(50)]).kind == "logging"
    finally:
        logger.removeHandler(handler)
        handler.close()


def test_a_checkpoint_is_a_checkpoint_though_it_writes_files(tmp_path: Any) -> None:
    state = {"weight": torch.randn(600, 600)}
    assert top(lambda: torch.save(state, tmp_path / "model.pt")).kind == "checkpoint"


def test_a_progress_bar_around_a_wait_is_not_logging() -> None:
    def slow() -> Iterator[int]:
        yield from iter(lambda: time.sleep(0.02) or 1, None)

    bar = tqdm(slow(), file=io.StringIO())
    batches = iter(bar)
    assert top(lambda: next(batches)).kind == "sleep"
    bar.close()


def test_the_phase_is_the_clocks() -> None:
    clock = StepClock()
    clock.push(FORWARD)
    assert top(spin, clock).phase == "forward"


def test_what_lies_between_two_evaluating_calls_belongs_to_the_evaluation() -> None:
    clock = StepClock()
    sampler = Sampler(clock)
    clock.evaluation_begins()
    clock.evaluation_ends()
    sampler.sample(sys._getframe())
    sampler.sample(sys._getframe())
    clock.evaluation_begins()
    clock.evaluation_ends()
    sampler.sample(sys._getframe())
    by_phase = {line.phase: line.hits for line in _merged(sampler)}
    assert by_phase == {"evaluation": 2, "other": 1}


def test_a_weak_evaluation_keeps_its_phase() -> None:
    clock = StepClock()
    sampler = Sampler(clock)
    clock.evaluation_begins(weak=True)
    sampler.sample(sys._getframe())
    clock.evaluation_ends(weak=True)
    sampler.sample(sys._getframe())
    assert {line.phase for line in sampler.take()[1]} == {"other"}


def _merged(sampler: Sampler) -> list[wire.SampledLine]:
    found: dict[str, int] = {}
    for line in sampler.take()[1]:
        found[line.phase] = found.get(line.phase, 0) + line.hits
    return [wire.SampledLine("", 0, "", phase, "", hits) for phase, hits in found.items()]


def test_while_advisor_works_nothing_is_counted() -> None:
    clock = StepClock()
    sampler = Sampler(clock)
    clock.on_update = lambda _update: sampler.sample(sys._getframe())
    clock.end_update()
    clock.exclude(lambda: sampler.sample(sys._getframe()))
    assert sampler.take() == (0, [])


def test_what_our_own_hooks_do_is_no_line_of_the_scripts() -> None:
    message = wire.Facts(rank=0, workload={"models": NUMBERS}, memory={})
    kinds = {line.kind for line in lines_of(lambda: wire.encode(message))[1]}
    assert "copy" not in kinds


def test_the_library_that_a_line_calls_is_named_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spinning = own_code.library(tmp_path, monkeypatch, "spinning", "def spin():\n    return sum(range(100_000))\n")
    line = top(lambda: [spinning.spin()])
    assert (line.file, line.function, line.library) == (__file__, "<lambda>", "spinning")


def test_hits_are_counted_once_and_taken_once() -> None:
    sampler = Sampler(StepClock())
    for _ in range(5):
        sampler.sample(sys._getframe())
    hits, lines = sampler.take()
    assert (hits, sum(line.hits for line in lines)) == (5, 5)
    assert sampler.take() == (0, [])


def test_short_python_beside_an_operator_is_not_charged_to_it() -> None:
    matrix = torch.randn(300, 300)

    def step() -> None:
        total = 0
        for index in range(30_000):
            total += index * index
        torch.mm(matrix, matrix)

    lines = lines_of(step)[1]
    assert sum(line.hits for line in lines if line.kind == "python") > 0


def test_pure_python_of_some_microseconds_is_not_charged_to_the_call_after_it() -> None:
    """As samples that are parsed one by one, and then stacked."""
    line = "12 3 4.5 6 7 8 9 10 11 12.5 13 14 15 16" * 30

    def parse() -> torch.Tensor:
        return torch.tensor(sum(float(word) for word in re.findall(r"[0-9.]+", line)))

    def read() -> None:
        torch.stack([parse() for _ in range(64)])

    lines = lines_of(read)[1]
    parsing = sum(found.hits for found in lines if found.function in ("parse", "<genexpr>"))
    assert parsing > 0.7 * sum(found.hits for found in lines)


def keeps_the_lock() -> int:
    return sum(range(1_500_000))


def releases_the_lock_for(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass


def _timed(work: Callable[[], Any]) -> float:
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


def test_a_call_that_keeps_the_interpreters_lock_has_its_share() -> None:
    spent_s = {"keeps": 0.0, "releases": 0.0}
    sampler = Sampler(StepClock())
    sampler.start(200)  # several samples were due during each call
    for _ in range(15):
        spent_s["keeps"] += _timed(keeps_the_lock)
        begin_s = time.perf_counter()
        releases_the_lock_for(0.03)
        spent_s["releases"] += time.perf_counter() - begin_s
    sampler.stop()
    hits, lines = sampler.take()
    share = sum(line.hits for line in lines if line.function == "keeps_the_lock") / hits
    assert share == pytest.approx(spent_s["keeps"] / sum(spent_s.values()), abs=0.15)


def test_the_interpreters_switch_interval_comes_back() -> None:
    before_s = sys.getswitchinterval()
    sampler = Sampler(StepClock())
    sampler.start(100)
    during_s = sys.getswitchinterval()
    sampler.stop()
    assert during_s < before_s
    assert sys.getswitchinterval() == before_s


def test_feeders_of_queues_are_no_other_threads() -> None:
    """A loader with workers has one for each of them."""
    before_s = sys.getswitchinterval()
    indices: multiprocessing.Queue[int] = multiprocessing.Queue()
    indices.put(0)  # starts the feeder
    sampler = Sampler(StepClock())
    sampler.start(100)
    during_s = sys.getswitchinterval()
    sampler.stop()
    indices.get(timeout=5)
    indices.close()
    indices.join_thread()
    assert during_s < before_s


def test_beside_other_threads_the_switch_interval_is_left_alone() -> None:
    before_s = sys.getswitchinterval()
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(10,))
    thread.start()
    sampler = Sampler(StepClock())
    sampler.start(100)
    during_s = sys.getswitchinterval()
    sampler.stop()
    done.set()
    thread.join(5)
    assert during_s == before_s


def test_no_thread_and_no_sample_is_left_after_stop() -> None:
    sampler = Sampler(StepClock())
    sampler.start(1000)
    time.sleep(0.05)
    sampler.stop()
    sampler.take()
    time.sleep(0.05)
    assert sampler.take()[0] == 0
    assert not any(thread.name == "advisor-sampler" for thread in threading.enumerate())


def test_its_own_cost_is_known() -> None:
    sampler = Sampler(StepClock())
    sampler.start(500)
    time.sleep(0.1)
    sampler.stop()
    assert sampler.cost_s > 0


def test_the_scripts_random_numbers_are_not_drawn() -> None:
    random.seed(1)
    state = random.getstate()
    sampler = Sampler(StepClock())
    sampler.start(1000)
    time.sleep(0.05)
    sampler.stop()
    assert random.getstate() == state


def test_another_thread_can_be_watched() -> None:
    done = threading.Event()

    def loader_thread() -> None:
        while not done.is_set():
            spin()

    thread = threading.Thread(target=loader_thread)
    thread.start()
    sampler = Sampler(StepClock(), thread.ident)
    sampler.start(200)
    time.sleep(0.3)
    sampler.stop()
    done.set()
    thread.join(5)
    assert {line.function for line in sampler.take()[1]} <= {"spin", "loader_thread"}


def test_files_are_told_apart() -> None:
    frames = Frames()
    assert frames.owner(__file__) == USER
    assert frames.owner(json.__file__) == LIBRARY
    assert frames.owner(numpy.__file__) == LIBRARY
    assert frames.owner(torch.nn.functional.__file__) == TORCH
    assert frames.owner("/tmp/torchinductor_somebody/sh/csh6sj67.py") == TORCH
    assert frames.owner(torch.utils.data.dataloader.__file__) == BOOTSTRAP
    assert frames.owner(threading.__file__) == BOOTSTRAP
    assert frames.owner(sys.modules[Sampler.__module__].__file__ or "") == OWN


def test_the_demo_in_our_own_package_is_a_users_script() -> None:
    package = Path(sys.modules[Sampler.__module__].__file__ or "").parents[2]
    assert Frames().owner(str(package / "demo" / "train.py")) != OWN


def test_a_stack_without_user_code_names_the_librarys_outermost_line() -> None:
    seen: list[tuple[str, int, str]] = []
    frames = Frames()
    default = json.JSONEncoder(default=lambda _: seen.append(frames.line(sys._getframe(1))) or 0).encode
    thread = threading.Thread(target=default, args=(object(),))
    thread.start()
    thread.join(5)
    assert seen[0][0].endswith("encoder.py")


def test_a_call_on_an_older_interpreter_is_judged_by_its_line() -> None:
    code = test_a_call_on_an_older_interpreter_is_judged_by_its_line.__code__
    line = code.co_firstlineno + 4
    assert kind_of_call(code, -1, line, {"time": time}, "other") == "sleep"
    time.sleep(0)


ARITHMETIC = """
{imports}

def updated(values, steps):
    return [value - 0.1 * step for value, step in zip(values, steps)]

def counted(numbers):
    return [number * 3 - 1 for number in numbers]
"""


def module_of(folder: Path, imports: str) -> dict[str, Any]:
    """The functions of a file that imports these."""
    file = folder / "arithmetic.py"
    file.write_text(ARITHMETIC.format(imports=imports))
    names: dict[str, Any] = {"__name__": "arithmetic", "__file__": str(file)}
    exec(compile(file.read_text(), str(file), "exec"), names)
    return names


@pytest.mark.skipif(sys.version_info < (3, 11), reason="an instruction has no position in the source")
def test_arithmetic_of_tensors_in_a_comprehension_is_torchs_work(tmp_path: Path) -> None:
    values = [torch.randn(400, 400) for _ in range(20)]
    names = module_of(tmp_path, "import torch")
    kinds: dict[str, int] = {}
    for line in lines_of(lambda: names["updated"](values, values))[1]:
        kinds[line.kind] = kinds.get(line.kind, 0) + line.hits
    assert max(kinds, key=lambda kind: kinds[kind]) == "torch"


def test_arithmetic_of_numbers_beside_torch_is_pythons(tmp_path: Path) -> None:
    names, numbers = module_of(tmp_path, "import torch"), list(range(100_000))
    assert top(lambda: names["counted"](numbers)).kind == "python"


def test_operators_may_be_numpys_where_it_is_imported(tmp_path: Path) -> None:
    values = [numpy.ones((400, 400)) for _ in range(20)]
    names = module_of(tmp_path, "import numpy, torch")
    assert top(lambda: names["updated"](values, values)).kind == "python"


def readings(answers: list[bool], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times of the first readings, whose success is given; a sample is due every 50 ms at least."""
    sampler, times, done = Sampler(StepClock()), [], threading.Event()

    def sample(_frame: object, _hits: int) -> bool:
        times.append(time.perf_counter())
        if len(times) == len(answers):
            done.set()
        return answers[min(len(times), len(answers)) - 1]

    monkeypatch.setattr(sampler, "sample", sample)
    sampler.start(10)
    assert done.wait(20)
    sampler.stop()
    return times


def test_a_thread_that_went_on_meanwhile_is_read_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = readings([False, False, True, True], monkeypatch)
    assert times[2] - times[0] < 0.04
    assert times[3] - times[2] > 0.04


def test_a_thread_that_never_stands_still_is_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    times = readings([False] * 6, monkeypatch)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) > 0.04
