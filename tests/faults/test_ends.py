"""However the script ends, the command says so in one line, with a documented exit code, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .commands import BRIEF, TOO_FEW, WILD, Desk, Ended, training

pytestmark = pytest.mark.slow

SCRIPT_FAILED, NOTHING_MEASURED = 3, 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """A way to end, and what is to be said of it."""

    script: str
    kind: str
    code: int
    said: str
    options: tuple[str, ...] = ()
    forks: bool = True
    """Whether the script may begin with torch imported."""


HANGS = ("--no-progress-limit", "3")
CASES = {
    "crash at import": Case(
        script="import no_such_package\n",
        kind="crash",
        code=SCRIPT_FAILED,
        said="ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "syntax error": Case(script="for x in:\n", kind="crash", code=SCRIPT_FAILED, said="SyntaxError"),
    "crash in the first update": Case(
        script=training(loop="raise ValueError('label 7 of 3 classes')"),
        kind="crash",
        code=SCRIPT_FAILED,
        said="ValueError: label 7 of 3 classes",
    ),
    "out of memory": Case(
        script=training(loop="raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')"),
        kind="oom",
        code=SCRIPT_FAILED,
        said="out of memory",
    ),
    "exit code 1": Case(script=training(loop="os._exit(1)"), kind="exit", code=SCRIPT_FAILED, said="exit code 1"),
    "killed": Case(
        script=training(loop="os.kill(os.getpid(), signal.SIGKILL)"), kind="oom", code=SCRIPT_FAILED, said="SIGKILL"
    ),
    "sleep before the loop": Case(
        script=training(setup="time.sleep(600)"),
        kind="hang",
        code=SCRIPT_FAILED,
        said="no update yet",
        options=HANGS,
    ),
    "deadlock": Case(
        script=training(setup="lock = threading.Lock()", loop="if step >= 2: lock.acquire()"),
        kind="hang",
        code=SCRIPT_FAILED,
        said="no batch, forward or update",
        options=HANGS,
    ),
    "no optimizer and no backward": Case(
        script="import torch\nprint(torch.nn.Linear(3, 3)(torch.randn(2, 3)))\n",
        kind="no_steps",
        code=NOTHING_MEASURED,
        said="without a backward pass or an optimizer step",
    ),
    "no torch": Case(
        script="print('hello')\n", kind="no_steps", code=NOTHING_MEASURED, said="never imported torch", forks=False
    ),
    "two updates": Case(
        script=training(updates=2), kind="no_steps", code=NOTHING_MEASURED, said="ended after 2 updates"
    ),
    "loader of length zero": Case(
        script=(WILD / "empty_loader.py").read_text(),
        kind="no_steps",
        code=NOTHING_MEASURED,
        said="without a backward pass",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_end_with_nothing_measured_is_named(name: str, desk: Desk) -> None:
    case = CASES[name]
    done = desk.profile(desk.script(case.script), options=case.options, forks=case.forks)
    assert (done.code, failure_of(done)["kind"]) == (case.code, case.kind), done.stderr
    assert case.said in failure_of(done)["message"]
    assert failure_of(done)["message"].count("\n") == 0
    assert (desk.left(), desk.scratch) == ([], [])


def failure_of(done: Ended) -> dict[str, str]:
    found: dict[str, str] = done.json["failure"]
    return found


def test_a_crash_after_some_updates_reports_them_and_the_failure(desk: Desk) -> None:
    """That of a worker, and of one that is killed, is in `tests/wild`."""
    done = desk.profile(WILD / "crash_in_loop.py")
    failure = failure_of(done)
    assert (done.code, failure["kind"]) == (0, "crash"), done.stdout
    assert "RuntimeError: record 'cat' has no label" in failure["message"]
    assert done.json["steps"]["updates"] >= 5
    assert (desk.left(), desk.scratch) == ([], [])


@pytest.mark.parametrize(
    ("ending", "kind", "said"),
    [
        ("time.sleep(600)", "hang", "no batch, forward or update"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", "hang", "no batch, forward or update"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "oom", "SIGKILL"),
        ("os.abort()", "exit", "SIGABRT"),
    ],
)
def test_an_end_without_a_word_keeps_what_the_window_had_counted(ending: str, kind: str, said: str, desk: Desk) -> None:
    # The window would last five seconds; these updates take a few.
    script = training(loop=f"time.sleep(0.05)\nif step == 40: {ending}")
    done = desk.profile(desk.script(script), options=HANGS)
    assert (done.code, failure_of(done)["kind"], said in failure_of(done)["message"]) == (0, kind, True), done.stdout
    assert done.json["steps"]["updates"] >= 5
    assert (desk.left(), desk.scratch) == ([], [])


@pytest.mark.parametrize("at", ["step == 0", "step == 30", "True"])
def test_a_script_that_closes_every_descriptor_is_measured(at: str, desk: Desk) -> None:
    closing = f"if {at}:\n    os.closerange(3, 65536)\n    files = [open(__file__) for _ in range(1000)]"
    done = desk.profile(
        desk.script(training(setup="os.closerange(3, 65536)", loop=closing, updates=100_000)), thin=True
    )
    assert (done.code, done.json.get("failure"), done.json["steps"]["updates"] >= 10) == (0, None, True), done.stdout
    assert "agent.sock" not in done.stderr  # the connection is ours, and not the script's


def test_steps_without_a_backward_pass_are_no_training(desk: Desk) -> None:
    script = "import torch\nmodel = torch.nn.Linear(3, 3)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    done = desk.profile(desk.script(script + "for _ in range(10**7):\n    optimizer.step()\n"))
    assert (done.code, failure_of(done)["kind"], done.json["findings"]) == (NOTHING_MEASURED, "no_steps", [])
    assert "no forward or backward pass was seen" in failure_of(done)["message"]


def test_a_budget_ends_with_the_update_that_then_runs(desk: Desk) -> None:
    # Updates of two seconds and more, of which five seconds hold two; the first begins the budget, the last ends it.
    done = desk.profile(desk.script(training(loop="time.sleep(2)")), options=["--budget", "5"])
    assert (done.code, 1 <= done.json["steps"]["updates"] <= 3) == (0, True), done.stdout


def test_a_crash_before_enough_was_measured_is_a_failure_of_the_command(desk: Desk) -> None:
    done = desk.profile(desk.script(training(loop="if step == 5: raise ValueError('so early')")))
    assert (done.code, failure_of(done)["kind"]) == (SCRIPT_FAILED, "crash")


def test_the_scripts_own_traceback_is_shown_first(desk: Desk) -> None:
    done = desk.advisor("profile", "--runs", desk.runs, desk.script("import no_such_package\n"))
    shown = done.stdout.splitlines()
    assert shown[0].startswith("Last output of the script")
    assert any(line.strip() == "import no_such_package" for line in shown[:8])
    assert "/advisor/" not in "".join(shown[:8])


def test_an_early_end_with_exit_code_0_is_reported_from_what_there_was(desk: Desk) -> None:
    done = desk.profile(WILD / "early_exit.py")
    assert (done.code, done.json["steps"]["updates"] < 20) == (0, True)


def test_a_loss_that_is_no_number_is_a_failure_beside_what_was_measured(desk: Desk) -> None:
    done = desk.profile(desk.script(training(loop="model.weight.data.fill_(float('nan'))")))
    assert (failure_of(done)["kind"], done.json["steps"] is not None) == ("nan", True)


@pytest.mark.parametrize("wild", ["ignores_sigterm", "forks_daemon"])
def test_no_process_of_the_script_outlives_the_command(wild: str, desk: Desk) -> None:
    done = desk.profile(WILD / f"{wild}.py", forks=False)
    assert done.code == 0, done.stderr
    assert (desk.left(), desk.scratch) == ([], [])


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(300)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("isolation", ["landlock", "copy", "none"])
def test_no_daemon_outlives_the_command_without_a_process_namespace(isolation: str, desk: Desk) -> None:
    options = ["--isolation", isolation]
    done = desk.profile(desk.script(training(setup=DAEMON, updates=BRIEF)), options=options, forks=False)
    if done.code == 5:
        pytest.skip(done.last_line)
    assert (done.code, desk.left()) == (TOO_FEW, []), done.stderr
