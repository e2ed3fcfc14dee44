"""The benchmark for GPUs: shares out its time, keeps what it has, and runs as a whole on the CPU."""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from _gated import RESULT
from _gpu_plan import DRY, H100, groups, plan, tune_budget
from _gpu_stages import Stages
from _gpu_table import BASELINE, HAND, NO_TIME, PICK, Board, HooksRow, Row, aims
from _gpu_tune import Decision
from _gpu_workloads import WORKLOADS, Scale
from _side_by_side import Candidate, SideBySide
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parent
SCRIPTS = BENCHMARKS / "scripts" / "gpu"
LIMIT_S = 150
"""For a command that takes a quarter of it on an idle machine."""
NAMES = [workload.name for workload in WORKLOADS]
WAITS = """\
import json, sys
print("ready", flush=True)
for line in sys.stdin:
    print("RESULT " + json.dumps({"samples_per_s": 5.0, "word": line.strip()}), flush=True)
    print("ready", flush=True)
"""
BREAKS = "import sys; sys.exit('no such device')"
SLEEPS = "import time; time.sleep(60)"
HANGS = f"""\
import sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu
from _gpu_table import Board

class Stages:
    until_s, ended = time.monotonic(), False
    def baseline(self): time.sleep(100)
    searches = side_by_side = baseline
    def end(self): self.ended = True

stages, board = Stages(), Board(about={{}}, rows={{}}, hooks=[], file=None)
gpu.run(stages, board, time.monotonic())
print(f"{{board.notes[0]}}, ended {{stages.ended}}")
"""


@given(
    seconds=st.floats(min_value=0, max_value=3600),
    workloads=st.lists(st.sampled_from(NAMES), unique=True),
    hooks=st.booleans(),
    costs=st.sampled_from([H100, DRY]),
)
def test_no_more_is_planned_than_there_is_time_for(
    seconds: float, workloads: list[str], hooks: bool, costs: Any
) -> None:
    assert plan(seconds, workloads, costs, hooks=hooks, images=NAMES[:1]).total_s <= seconds + 1e-6


def test_nine_minutes_hold_every_workload_and_the_hooks() -> None:
    planned = plan(540, NAMES, H100, hooks=True, images=NAMES[:1])
    assert (list(planned.workloads), planned.hooks) == (NAMES, True)


def test_with_less_time_the_last_workloads_are_left_out_and_the_first_is_searched_as_long() -> None:
    planned = plan(300, NAMES, H100, hooks=True, images=NAMES[:1])
    assert list(planned.workloads) == NAMES[:2]
    assert planned.tune_s is not None
    assert planned.tune_s >= H100.least_tune_s


def test_where_no_search_fits_scripts_as_written_are_still_counted() -> None:
    planned = plan(60, NAMES, H100, hooks=True, images=NAMES[:1])
    assert (planned.workloads, list(planned.only_as_written)) == ((), NAMES[:1])


def test_a_search_shorter_than_the_least_is_not_begun() -> None:
    assert tune_budget(2 * (H100.tune_besides_s + H100.least_tune_s) - 1, 2, H100) is None


def test_processes_stand_side_by_side_only_as_far_as_memory_goes() -> None:
    assert groups([30.0, 30.0, 10.0, 70.0], 70.0) == [[0, 1, 2], [3]]


def test_overlapping_work_of_the_device_is_counted_once() -> None:
    union = runpy.run_path(str(SCRIPTS / "_stopwatch.py"))["union"]
    assert union([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.7)]) == 4.0


def test_ratios_are_those_of_the_medians() -> None:
    row = Row(title="", speeds={BASELINE: [10.0], PICK: [30.0, 20.0, 90.0], HAND: [40.0]})
    assert (row.cell("over_written"), row.cell("over_hand")) == ("3.00", "0.75")


def test_without_settings_the_pick_is_the_script_as_written() -> None:
    row = Row(title="", speeds={BASELINE: [10.0], HAND: [40.0]}, picked_nothing=True)
    assert [row.cell(column) for column in ("pick", "over_written", "over_hand")] == [BASELINE, "1.00", "0.25"]


def test_what_is_not_known_says_that_there_was_no_time() -> None:
    row = Row(title="", speeds={BASELINE: [10.0]})
    assert [row.cell(column) for column in ("pick", "hand", "over_hand", "status")] == [NO_TIME] * 4


def test_busy_time_is_compared_over_updates_without_a_trace() -> None:
    row = Row(title="", update_s=[0.010, 0.010, 0.011], was_traced=True, traced_busy_s=0.002, busy_ours=0.25)
    assert [row.cell(column) for column in ("busy_traced", "busy_ours", "busy_apart")] == ["20.0%", "25.0%", "+5.0"]


def test_the_page_says_which_aims_are_reached() -> None:
    near = Row(title="near", speeds={BASELINE: [1.0], PICK: [96.0], HAND: [100.0]})
    far = Row(title="far", speeds={BASELINE: [50.0], HAND: [100.0]}, picked_nothing=True)
    hooks = [
        HooksRow(aimed_s=0.001, by_hand_s=[0.001], run_s=[0.001024]),
        HooksRow(aimed_s=0.01, by_hand_s=[0.01], run_s=[0.0102]),
    ]
    assert aims([near, far, Row(title="cut")], hooks) == [
        "tune's settings at least 0.95 of the speed by hand: 1 of 3; missed: far; not known: cut",
        "busy time within 3 points of torch.profiler's: 0 of 3; not known: near, far, cut",
        "hooks at most 25 µs an update, from 10 ms on 1%: 1 of 2; missed: 10 ms",
    ]


def test_an_earlier_table_stays_until_something_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "gpu.md"
    file.write_text("earlier")
    board = Board(about={}, rows={"a": Row(title="a")}, hooks=[], file=file)
    board.note("nothing works")
    assert file.read_text() == "earlier"
    board.rows["a"].speeds[BASELINE] = [1.0]
    board.write()
    assert "nothing works" in file.read_text()


def test_a_contender_that_fails_says_why_and_the_others_are_counted(tmp_path: Path) -> None:
    failures: dict[str, str] = {}
    candidates = [_candidate(name, text, failures) for name, text in (("breaks", BREAKS), ("waits", WAITS))]
    line_up = SideBySide(candidates, folder=tmp_path, env=os.environ)
    line_up.await_ready(time.monotonic() + 20)
    found = [line_up.turn(candidate, time.monotonic() + 20) for candidate in candidates]
    line_up.end()
    assert [answer and answer["word"] for answer in found] == [None, "time"]
    assert failures == {"breaks": "FAILED: no such device"}


@pytest.mark.slow
def test_a_contender_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    failures: dict[str, str] = {}
    line_up = SideBySide([_candidate("sleeps", SLEEPS, failures)], folder=tmp_path, env=os.environ)
    line_up.await_ready(time.monotonic() + 0.5)
    line_up.end()
    assert failures == {"sleeps": "FAILED: was not ready in time"}


def test_no_turn_begins_that_cannot_end_in_time(tmp_path: Path) -> None:
    candidate = _candidate("waits", WAITS, {})
    line_up = SideBySide([candidate], folder=tmp_path, env=os.environ)
    line_up.await_ready(time.monotonic() + 20)
    assert line_up.turn(candidate, time.monotonic() + 0.9 * candidate.turn_s) is None
    assert line_up.turn(candidate, time.monotonic() + 20) is not None
    line_up.end()


def _candidate(title: str, text: str, failures: dict[str, str]) -> Candidate:
    return Candidate(
        title=title,
        words=[sys.executable, "-c", text],
        turn_s=1.0,
        memory_gib=0.0,
        note=lambda _: None,
        failed=lambda why: failures.update({title: why}),
    )


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_the_scripts_know_nothing_of_advisor(path: Path) -> None:
    assert "advisor" not in path.read_text().lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    pytest.param("resnet50", marks=pytest.mark.frameworks),  # Pillow comes with it
    "launch",
    pytest.param("bert", marks=pytest.mark.frameworks),
    "vit_s",
])  # fmt: skip
def test_every_script_runs_small_as_an_expert_writes_it(name: str, images: Path, tmp_path: Path) -> None:
    """The dry run below counts one as written, too."""
    workload = next(workload for workload in WORKLOADS if workload.name == name)
    if workload.lacks:
        pytest.skip(f"{workload.lacks} is not installed")
    if workload.needs_images:
        _run([str(SCRIPTS / "make_images.py"), str(images), "--images=64", "--different=8"], tmp_path)
    options = ["--warm=2", "--settle=0", "--seconds=0.1", "--hand"]
    said = _run([*Scale(small=True).words(workload, images), *options], tmp_path)
    results = [json.loads(line.removeprefix(RESULT)) for line in said.splitlines() if line.startswith(RESULT)]
    assert [result["samples_per_s"] > 0 for result in results] == [True]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.mark.slow
def test_a_dry_run_fills_every_cell_of_a_workload_and_its_table_stands_from_the_first_on(tmp_path: Path) -> None:
    file = tmp_path / "gpu.md"
    with _started([*_benchmark(file), "--seconds=140"], tmp_path) as process:
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        first = _row(file.read_text())  # what a run that is killed now leaves
        assert process.wait(LIMIT_S) == 0
    assert re.match(r"\d", first["as written, samples/s"])
    assert first["by hand, samples/s"] == NO_TIME
    cells = _row(file.read_text())
    assert re.match(r"\d", cells["as written, samples/s"])
    assert re.match(r"\d", cells["by hand, samples/s"])
    assert cells["tune says"] in {"unproven", "no significant gain", "undecided", "unverified"}
    assert re.fullmatch(r"\d+\.\d\d", cells["settings ÷ by hand"])
    assert NO_TIME not in cells.values()


@pytest.mark.slow
def test_settings_of_tune_are_counted_beside_what_an_expert_writes(tmp_path: Path) -> None:
    config = tmp_path / "advisor.yaml"
    config.write_text("version: 1\nsettings: {precision: bf16}\n")
    board = Board(about={}, rows={"gpt2": Row(title="", speeds={BASELINE: [1.0]})}, hooks=[], file=None)
    stages = Stages(
        folder=tmp_path, plan=plan(LIMIT_S, ["gpt2"], DRY, hooks=False), costs=DRY, board=board,
        scale=Scale(small=True), memory_gib=None, until_s=time.monotonic() + LIMIT_S, verify=True,
        decisions={"gpt2": Decision(status="faster", settings={"precision": "bf16"}, took_s=1.0, file=config,
                                    profile=None)},
    )  # fmt: skip
    stages.side_by_side()
    assert set(board.rows["gpt2"].speeds) == {BASELINE, PICK, HAND}
    assert board.notes == []  # `advisor run` gave nothing up


@pytest.mark.slow
def test_a_part_that_hangs_is_left_when_the_time_is_up(tmp_path: Path) -> None:
    said = _run(["-c", HANGS], tmp_path)
    assert re.fullmatch(r"interrupted after [23] s, ended True\n", said)


def _benchmark(file: Path) -> list[str]:
    return [str(BENCHMARKS / "gpu.py"), "--dry-run", "--only=gpt2", f"--output={file}"]


@contextlib.contextmanager
def _started(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The leader of a group of its own, which is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _row(page: str) -> Mapping[str, str]:
    header, _rule, row = [line for line in page.splitlines() if line.startswith("|")][:3]
    names, cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, row))
    return dict(zip(names, cells, strict=True))
