"""Ctrl-C, SIGTERM and kill -9 at any moment: a bounded end, what was measured is kept, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.storage.run_store import list_runs

from .commands import COMMAND_S, Desk, digests, ended, training

pytestmark = pytest.mark.slow

ENDS_S = 10.0
KILLS = 8
LATEST_KILL_S = 2.0
"""Each at random in its own eighth of that time: the start, the trying out of the isolation and the loop are met."""
EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
SLOW = training(loop="time.sleep(0.01)", updates=100_000)
TRAINED_A_WHILE = training(loop="time.sleep(0.01); step == 100 and print('begun', flush=True)", updates=100_000)
LONG_STEP = training(loop="if step == 5: time.sleep(600)")
STUBBORN = training(setup="for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)", loop="time.sleep(0.01)")
WRITES = training(loop="torch.save(model.state_dict(), 'best.pt'); open('log', 'a').write('x'); time.sleep(0.01)")


def running(desk: Desk, script: str, *options: object) -> subprocess.Popen[str]:
    return desk.start("profile", "--runs", desk.runs, *options, desk.script(script))


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + COMMAND_S
    while not what():
        assert time.monotonic() < until, "what the test waits for did not happen"
        time.sleep(0.02)


def started(desk: Desk) -> bool:
    """The script's process has been asked for."""
    return any(desk.runs.glob("2*/life-0.json"))


def training_runs(desk: Desk) -> bool:
    return any(b"begun" in path.read_bytes() for path in desk.runs.glob("2*/**/life-0.stdout"))


def end_by(process: subprocess.Popen[str], number: signal.Signals, times: int = 1) -> tuple[int, str, str]:
    """Exit code, stdout and stderr after a signal to the command's process group, as a terminal sends it."""
    begin = time.monotonic()
    for _ in range(times):
        if process.poll() is None:
            os.killpg(process.pid, number)
            time.sleep(0.1)
    done = ended(process)
    assert time.monotonic() - begin < ENDS_S, f"it took {time.monotonic() - begin:.1f} s to end"
    return done.code, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_loop_keeps_and_prints_what_was_measured(number: signal.Signals, desk: Desk) -> None:
    process = running(desk, TRAINED_A_WHILE, "--budget", "60")
    wait_for(lambda: training_runs(desk))
    time.sleep(0.5)
    code, stdout, stderr = end_by(process, number)
    assert (code, "interrupted: these are the results so far" in " ".join(stdout.split())) == (
        EXIT[number],
        True,
    ), stderr
    assert "updates counted" in stdout
    assert [run.has_profile for run in list_runs(desk.runs)] == [True]
    assert (desk.left(), desk.scratch) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_changes_nothing(number: signal.Signals, desk: Desk) -> None:
    process = running(desk, SLOW.replace("model = ", "print('begun', flush=True)\nmodel = "), "--budget", "60")
    wait_for(lambda: training_runs(desk))
    code, stdout, _ = end_by(process, number, times=2)
    assert (code, bool(stdout)) == (EXIT[number], True)
    assert (desk.left(), desk.scratch) == ([], [])


def test_a_third_signal_leaves_at_once_with_nothing_alive(desk: Desk) -> None:
    process = running(desk, SLOW.replace("model = ", "print('begun', flush=True)\nmodel = "), "--budget", "60")
    wait_for(lambda: training_runs(desk))
    os.killpg(process.pid, signal.SIGSTOP)  # so that all three arrive while the first is not yet dealt with
    process.send_signal(signal.SIGINT)
    os.killpg(process.pid, signal.SIGCONT)
    code, _, _ = end_by(process, signal.SIGINT, times=3)
    assert (code, desk.left()) == (130, [])


@pytest.mark.parametrize(("verb", "times"), [("tune", 2), ("verify", 3)])
def test_more_signals_end_a_search_and_a_verification_too(verb: str, times: int, desk: Desk) -> None:
    script = desk.script(SLOW.replace("model = ", "print('begun', flush=True)\nmodel = "))
    (desk.project / "fast.yaml").write_text("version: 1\nsettings: {threads: 1}\n")
    options = ("--config", "fast.yaml") if verb == "verify" else ()
    process = desk.start(verb, "--runs", desk.runs, "--budget", "60", *options, script)
    wait_for(lambda: training_runs(desk))
    code, _, stderr = end_by(process, signal.SIGINT, times=times)
    assert (code, desk.left(), "Traceback" in stderr) == (130, [], False)


@pytest.mark.parametrize("script", [LONG_STEP, STUBBORN], ids=["in a step of ten minutes", "all signals ignored"])
def test_a_script_that_does_not_come_back_holds_up_nobody(script: str, desk: Desk) -> None:
    process = running(desk, script.replace("model = ", "print('begun', flush=True)\nmodel = "), "--budget", "60")
    wait_for(lambda: training_runs(desk))
    code, _, _ = end_by(process, signal.SIGINT)
    assert (code, desk.left(), desk.scratch) == (130, [], [])


def test_a_signal_while_the_script_starts_says_that_nothing_was_measured(desk: Desk) -> None:
    process = running(desk, training(setup="print('begun', flush=True)\ntime.sleep(600)"))
    wait_for(lambda: training_runs(desk))
    code, stdout, _ = end_by(process, signal.SIGTERM)
    assert (code, "nothing was measured" in " ".join(stdout.split())) == (143, True)
    assert (desk.left(), desk.scratch) == ([], [])


WHERE_NOTHING_CAN_BE_RAISED = """
import os, signal, time
from advisor.cli import _signals
from advisor.errors import Terminated

class Dies:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)

_signals.listen()
try:
    Dies()
    time.sleep(60)
except (KeyboardInterrupt, Terminated) as ending:
    print(type(ending).__name__)
"""


@pytest.mark.parametrize(("name", "ending"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")])
def test_a_signal_that_python_drops_is_heard_all_the_same(name: str, ending: str) -> None:
    """A destructor, or the import system's own callbacks: what is raised there goes nowhere."""
    code = WHERE_NOTHING_CAN_BE_RAISED.format(name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ending}\n", "")


@pytest.mark.parametrize(("number", "seed"), [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_at_a_random_moment_ends_in_order(number: signal.Signals, seed: int, desk: Desk) -> None:
    """Start of Python, trying out the isolation, start of the script, loop: whatever is met."""
    process = running(desk, SLOW, "--budget", "60")
    time.sleep(random.Random(seed).uniform(0.01, 3.0))
    code, _, stderr = end_by(process, number)
    assert code in (EXIT[number], -number), stderr  # before our handlers are in, the signal itself ends it
    assert "Traceback" not in stderr
    assert (desk.left(), desk.scratch) == ([], [])


def test_kill_9_at_random_moments_leaves_no_process_and_no_changed_file(desk: Desk) -> None:
    desk.script(WRITES)
    (desk.project / "best.pt").write_text("the user's own")
    before = digests(desk.project)
    chance = random.Random(9)
    for moment in range(KILLS):
        process = running(desk, WRITES)
        time.sleep(LATEST_KILL_S * chance.uniform(moment, moment + 1) / KILLS)
        process.kill()
        process.communicate(timeout=COMMAND_S)
        assert desk.left() == []
    # The script itself was written again by each start: its time of change is not compared.
    after = digests(desk.project)
    assert {name for name in before if before[name] != after.get(name)} <= {str(desk.project / "train.py")}
    assert set(after) == set(before)


def test_what_a_killed_command_left_is_swept_by_the_next(desk: Desk) -> None:
    process = running(desk, SLOW)
    wait_for(lambda: started(desk))
    process.kill()
    process.communicate(timeout=COMMAND_S)
    assert desk.scratch != []  # else there is nothing to sweep
    assert desk.left() == []
    done = desk.profile(desk.script(training()))
    assert (done.code, desk.scratch) == (0, [])


def test_a_job_in_the_background_is_not_ended_by_ctrl_c(desk: Desk, tmp_path: Path) -> None:
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    process = desk.start("profile", "--runs", desk.runs, "--budget", "1", desk.script(training()), prefix=ignoring)
    wait_for(lambda: started(desk))
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process).code == 0
