"""Wrong use is one line that says what, the value and what to do; exit code 2. Every exit code has its case."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from advisor.errors import ExitCode

from .commands import BRIEF, ROOT, TOO_FEW, Desk, training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile", "none.py"], "there is no script 'none.py'"),
        (["profile", "."], "folder without a __main__.py"),
        (["profile", "python", "train.py"], "leave out python"),
        (["profile", "-m", "train.py"], "leave out -m"),
        (["profile", "--isolation", "magic", "train.py"], "'magic' is not one of"),
        (["profile", "--python", "/none/python", "train.py"], "/none/python"),
        (["profile", "--budget", "0", "train.py"], "a budget of 0 s is too short: use 1 s or more"),
        (["profile", "--budget", "soon", "train.py"], "invalid budget 'soon'"),
        (["profile", "--budget", "1" + 400 * "0", "train.py"], "too long: use a year or less"),
        (["profile", "--memory-limit", "inf", "train.py"], "invalid --memory-limit inf: expected a number of at most"),
        (["profile", "--memory-limit", "nan", "train.py"], "invalid --memory-limit nan: expected a number of at least"),
        (
            ["tune", "--updates", "1" + 400 * "0", "train.py"],
            "invalid --updates 100000000000000000000000…: expected a number of at most",
        ),
        (["tune", "--set", f"micro_batch=--rows:1{400 * '0'}", "train.py"], ": expected a value of at most"),
        (["profile", "--no-such-option", "train.py"], "--no-such-option"),
        (["explain", "no_such_rule"], "unknown rule or knob 'no_such_rule'"),
        (["explain", "num_worker"], "num_workers"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_wrong_use_is_told_with_its_value_and_exit_code_2(words: list[str], said: str, desk: Desk) -> None:
    desk.script("")
    if words[0] == "profile":
        words = ["profile", "--runs", str(desk.runs), *words[1:]]
    done = desk.advisor(*words)
    assert (done.code, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    assert "follows" not in done.stderr  # no option stands behind the script
    assert not list(desk.runs.glob("2*"))


@pytest.mark.parametrize("words", [["profile"], ["compare"]])
def test_a_missing_argument_is_exit_code_2(words: list[str], desk: Desk) -> None:
    assert desk.advisor(*words).code == 2


@pytest.mark.slow
def test_a_python_without_torch_is_told(desk: Desk) -> None:
    bare = desk.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True, timeout=60)
    done = desk.profile(desk.script(""), options=["--python", bare])
    assert (done.code, "torch is not installed" in done.last_line) == (2, True)


@pytest.mark.parametrize("words", [["report", "20990101"], ["report", "/none/there"], ["report"]])
def test_a_run_that_is_not_there_is_exit_code_2(words: list[str], desk: Desk) -> None:
    done = desk.advisor(*words, "--runs", desk.runs)
    assert (done.code, done.stderr.count("\n"), done.stderr.startswith("advisor: no ")) == (2, 1, True), done.stderr


@pytest.mark.slow
def test_an_isolation_that_does_not_work_here_is_exit_code_5(desk: Desk) -> None:
    # A user namespace in which no further mount namespace may be made.
    forbid = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"', "sh"]
    if subprocess.run([*forbid, "true"], capture_output=True, timeout=10, check=False).returncode:
        pytest.skip("user namespaces cannot be limited here")
    done = desk.advisor("profile", "--runs", desk.runs, "--isolation", "overlay", desk.script(""), prefix=forbid)
    assert (done.code, "no isolation works here" in done.last_line) == (5, True), done.stderr
    assert not list(desk.runs.glob("2*"))


def test_a_fault_of_ours_is_exit_code_1_with_its_traceback(desk: Desk) -> None:
    program = "import advisor.api, advisor.cli.main as cli\nadvisor.api.load_run = lambda *_, **__: 1 / 0\ncli.main()\n"
    done = subprocess.run(
        [sys.executable, "-c", program, "report"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (1, True)


@pytest.mark.parametrize("words", [["explain"], ["explain", "gc"], ["hardware", "--json"]])
@pytest.mark.slow
def test_an_output_that_takes_no_more_is_one_line_and_exit_code_7(words: list[str], desk: Desk) -> None:
    done = desk.advisor(prefix=["sh", "-c", f'exec "$0" -m advisor {" ".join(words)} > /dev/full'])
    assert (done.code, done.stderr.count("\n")) == (7, 1), done.stderr
    assert done.stderr == "advisor: the output cannot be written: No space left on device\n"


@pytest.mark.slow
def test_messages_that_nobody_can_read_change_no_exit_code(desk: Desk) -> None:
    script = desk.script(training(updates=BRIEF))
    profiling = f'exec "$0" -m advisor profile --json --runs {desk.runs} --budget 1 {script} 2> /dev/full'
    done = desk.advisor(prefix=["sh", "-c", profiling])
    assert (done.code, done.json["failure"]["kind"]) == (TOO_FEW, "no_steps")
    assert desk.advisor(prefix=["sh", "-c", 'exec "$0" -m advisor explain none 2> /dev/full']).code == 2


def shadowed(desk: Desk, *names: str) -> None:
    """Files with the names of modules that advisor needs, in the current folder and first in PYTHONPATH."""
    for name in names:
        desk.script("raise RuntimeError('the wrong one')", f"{name}.py")
    desk.environment["PYTHONPATH"] = f"{desk.project}{os.pathsep}{ROOT}"


@pytest.mark.slow
def test_files_of_the_user_replace_no_module_of_ours(desk: Desk) -> None:
    shadowed(desk, "queue", "token", "typer", "json", "rich", "copy")
    done = desk.advisor("explain", "gc")
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.slow
def test_not_even_one_that_most_of_the_standard_library_needs(desk: Desk) -> None:
    """As the installed command starts; `python -m` needs `types` itself, before any file of ours is read.

    So does Python where an editable installation has an import hook.
    """
    alone = desk.advisor(prefix=["sh", "-c", 'exec "$0" -c "import sys; print(*sys.modules)"'])
    names = {"types", "typing", "enum", "re", "dataclasses"} - set(alone.stdout.split())
    assert names >= {"typing", "dataclasses"}
    shadowed(desk, *names)
    command = "import sys; sys.argv[1:] = ['explain', 'gc']; from advisor.__main__ import main; main()"
    done = desk.advisor(prefix=["sh", "-c", f'exec "$0" -c "{command}"'])
    assert (done.code, done.stderr) == (0, "")


def test_help_is_exit_code_0(desk: Desk) -> None:
    assert desk.advisor("--help").code == 0


TESTED = {
    ExitCode.OK: "here, and in most tests",
    ExitCode.INTERNAL: "here",
    ExitCode.USAGE: "here",
    ExitCode.SCRIPT_FAILED: "test_ends",
    ExitCode.NOTHING_MEASURED: "test_ends",
    ExitCode.ISOLATION: "here",
    ExitCode.BELOW_THRESHOLD: "tests/workflows/test_compare",
    ExitCode.STORAGE: "here, test_disk and test_stored",
    ExitCode.INTERRUPTED: "test_interrupts",
    ExitCode.TERMINATED: "test_interrupts",
}


def test_every_exit_code_has_a_case() -> None:
    """A new one needs its test, and its line here."""
    assert set(TESTED) == set(ExitCode)
