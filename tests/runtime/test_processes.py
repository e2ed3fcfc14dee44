"""Starting and ending a script: how it ended, what it left, what it used."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import psutil
import pytest

from advisor.errors import UsageError
from advisor.runtime.isolation import Isolation
from advisor.runtime.processes import MemoryGuard, exit_reason, start
from advisor.runtime.usage import system_usage

from .isolation_tools import ALL_ISOLATIONS, WAIT_S, isolation_for, run, running, wait_until, with_marker

EXITS = {
    "exit 0": "pass",
    "exit 3": "raise SystemExit(3)",
    "exception": "raise ValueError('broken')",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "SIGSEGV": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "SIGINT": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "os._exit": "import os; os._exit(77)",
    "abort": "import os; os.abort()",
    "SIGPIPE": "import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGPIPE)",
}
DAEMONS = textwrap.dedent("""
    import os, signal, sys, time
    for _ in range(8):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
    for _ in range(8):
        os.wait()
""")


@pytest.fixture(params=ALL_ISOLATIONS)
def isolation(request: pytest.FixtureRequest, tmp_path: Path) -> Isolation:
    for name in ("project", "logs"):
        (tmp_path / name).mkdir()
    return isolation_for(request.param, tmp_path / "project", tmp_path / "scratch")


@pytest.fixture
def marker() -> str:
    """On the command line of every process that a test starts, so that survivors are found from outside."""
    return f"advisor-test-{uuid.uuid4().hex}"


@functools.cache
def plain_run(kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", EXITS[kind]], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", EXITS)
def test_an_end_is_the_same_as_in_a_plain_run(kind: str, isolation: Isolation, tmp_path: Path) -> None:
    plain = plain_run(kind)
    returncode, _, stderr = run(isolation, EXITS[kind], tmp_path / "logs")
    assert (returncode, stderr) == (plain.returncode, plain.stderr)


@pytest.mark.slow
def test_daemons_do_not_outlive_the_script(isolation: Isolation, tmp_path: Path, marker: str) -> None:
    """They fork twice, have sessions of their own and ignore SIGTERM."""
    code = DAEMONS + "time.sleep(0.3)\n"
    returncode, _, stderr = run(isolation, code, tmp_path / "logs", marker)
    assert returncode == 0, stderr
    assert with_marker(marker) == []


def test_ending_takes_daemons_along(isolation: Isolation, tmp_path: Path, marker: str) -> None:
    code = DAEMONS + "print('up', flush=True)\ntime.sleep(600)\n"
    with running(isolation, code, tmp_path / "logs", marker) as process:
        assert wait_until(lambda: process.stdout.total_bytes and len(with_marker(marker)) >= 9)
        assert process.end(0.2) == ()
        assert with_marker(marker) == []


def test_the_script_may_end_itself_on_sigterm(isolation: Isolation, tmp_path: Path) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print("up", flush=True)
time.sleep(600)
"""
    with running(isolation, code, tmp_path / "logs") as process:
        assert wait_until(lambda: process.stdout.total_bytes)
        process.end(20.0)
        assert process.poll() == 42


@pytest.mark.parametrize(
    "code",
    [
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
        "import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, signal; print(1, flush=True); os.killpg(0, signal.SIGSTOP)",
        "print(1, flush=True)\nwhile True: pass",
    ],
    ids=["ignores SIGTERM", "stops itself", "stops its group", "spins"],
)
def test_a_script_that_does_not_want_to_end_is_ended(
    code: str, isolation: Isolation, tmp_path: Path, marker: str
) -> None:
    with running(isolation, code, tmp_path / "logs", marker) as process:
        assert wait_until(lambda: process.stdout.total_bytes)
        assert process.end(0.1) == ()
        assert process.poll() in (-signal.SIGKILL, -signal.SIGTERM)
        assert with_marker(marker) == []


def test_a_script_that_signals_its_own_group_ends_as_in_a_plain_run(isolation: Isolation, tmp_path: Path) -> None:
    assert run(isolation, "import os, signal; os.killpg(0, signal.SIGTERM)", tmp_path / "logs")[0] == -signal.SIGTERM


def test_a_script_that_ends_its_group_and_lives_on_is_not_ended_by_it(isolation: Isolation, tmp_path: Path) -> None:
    code = "import os, signal; signal.signal(15, signal.SIG_IGN); os.killpg(0, 15); raise SystemExit(5)"
    assert run(isolation, code, tmp_path / "logs")[0] == 5


def test_a_keeper_that_was_killed_leaves_nothing(isolation: Isolation, tmp_path: Path, marker: str) -> None:
    code = DAEMONS + "print('up', flush=True)\ntime.sleep(600)\n"
    with running(isolation, code, tmp_path / "logs", marker) as process:
        assert wait_until(lambda: process.stdout.total_bytes and len(with_marker(marker)) >= 9)
        process.usage()  # what supervision asks for all the time; it is how the descendants are known
        os.kill(process.keeper_pid, signal.SIGKILL)
        process.end(0.0)
        assert wait_until(lambda: with_marker(marker) == [])


@pytest.mark.slow
def test_advisor_killed_leaves_nothing(isolation: Isolation, tmp_path: Path, marker: str) -> None:
    project, logs, scratch = tmp_path / "project", tmp_path / "logs", tmp_path / "scratch"
    code = DAEMONS + "print('up', flush=True)\ntime.sleep(600)\n"
    driver = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from runtime.isolation_tools import running
from advisor.runtime.isolation import choose
tier = choose({isolation.name!r}, project=Path({str(project)!r}), scratch=Path({str(scratch)!r}))
with running(tier, {code!r}, Path({str(logs)!r}), {marker!r}) as process:
    process.wait(600)
"""
    advisor = subprocess.Popen([sys.executable, "-c", driver])
    try:
        assert wait_until(lambda: (logs / "script.stdout").exists() and (logs / "script.stdout").read_text() == "up\n")
        assert len(with_marker(marker)) >= 9
    finally:
        advisor.kill()
        advisor.wait(WAIT_S)
    assert wait_until(lambda: with_marker(marker) == [])


def test_nothing_else_is_ended(isolation: Isolation, tmp_path: Path, marker: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", marker]) as other:
        run(isolation, DAEMONS, tmp_path / "logs")
        assert other.poll() is None
        other.kill()


def test_a_question_gets_the_end_of_its_input(isolation: Isolation, tmp_path: Path) -> None:
    _, _, stderr = run(isolation, "input('continue? ')", tmp_path / "logs")
    assert stderr.strip().endswith("EOFError: EOF when reading a line")


def test_standard_input_is_a_terminal_of_the_usual_size(isolation: Isolation, tmp_path: Path) -> None:
    assert run(isolation, "import os; os.system('stty size')", tmp_path / "logs")[1] == "24 80\n"


def test_a_script_that_writes_to_its_own_input_does_not_stand_still(isolation: Isolation, tmp_path: Path) -> None:
    assert run(isolation, "import os; os.write(0, b'x' * 100_000)", tmp_path / "logs")[0] == 0


def test_no_descriptor_of_ours_reaches_the_script(isolation: Isolation, tmp_path: Path) -> None:
    _, stdout, _ = run(
        isolation, "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])", tmp_path / "logs"
    )
    assert stdout == "[0, 1, 2]\n"


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"could not be started: .*No such file or directory"):
        start([str(tmp_path / "nothing")], cwd=tmp_path, env={}, logs=tmp_path)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"could not be started: .*nowhere"):
        start([sys.executable], cwd=tmp_path / "nowhere", env={}, logs=tmp_path)


def test_a_failed_start_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        start([str(tmp_path / "nothing")], cwd=tmp_path, env={}, logs=tmp_path)
    assert [child for child in psutil.Process().children() if "keeper.py" in " ".join(child.cmdline())] == []


def test_the_environment_is_what_was_given(tmp_path: Path) -> None:
    code = "import os; print({k: v for k, v in os.environ.items() if k != 'LC_CTYPE'})"
    with start([sys.executable, "-c", code], cwd=tmp_path, env={"A": "1"}, logs=tmp_path) as process:
        process.wait(WAIT_S)
    assert (tmp_path / "script.stdout").read_text() == "{'A': '1'}\n"


@pytest.mark.slow
def test_a_script_that_eats_memory_is_ended(isolation: Isolation, tmp_path: Path) -> None:
    code = "held = [bytearray(b'x') * (32 << 20) for _ in range(40) if not __import__('time').sleep(0.05)]"
    with running(isolation, code, tmp_path / "logs") as process, MemoryGuard(process, limit_bytes=200 << 20) as guard:
        process.wait(WAIT_S)
    assert guard.tripped


@pytest.mark.slow
def test_a_modest_script_is_left_alone(isolation: Isolation, tmp_path: Path) -> None:
    with running(isolation, "import time; time.sleep(0.5)", tmp_path / "logs") as process:
        with MemoryGuard(process, limit_bytes=1 << 30) as guard:
            assert process.wait(WAIT_S) == 0
        assert not guard.tripped


@pytest.mark.slow
def test_usage_sums_over_the_tree(isolation: Isolation, tmp_path: Path) -> None:
    code = """
import multiprocessing, time
def work():
    held = bytearray(b"x") * (64 << 20)
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print("used", flush=True)
    time.sleep(600)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work) for _ in range(2)]
    [w.start() for w in workers]
    time.sleep(600)
"""
    with running(isolation, code, tmp_path / "logs") as process:
        assert wait_until(lambda: process.stdout.total_bytes >= len("used\n") * 2)
        usage = process.usage()
    assert usage.processes == 3
    assert usage.threads == 3
    assert usage.rss_bytes >= 128 << 20
    assert usage.cpu_s >= 0.55


def test_the_system_is_measured_too() -> None:
    usage = system_usage()
    if not sys.platform.startswith("linux"):
        assert usage is None
    else:
        assert usage is not None
        assert usage.busy_s >= 0


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL (exit 137), often the kernel's out-of-memory killer"),
        (137, "was killed by SIGKILL (exit 137), often the kernel's out-of-memory killer"),
        (-11, "was killed by SIGSEGV (exit 139), a crash in compiled code"),
        (-2, "was killed by SIGINT (exit 130)"),
        (255, "ended with exit code 255"),
    ],
)
def test_the_end_is_put_into_words(returncode: int, text: str) -> None:
    assert exit_reason(returncode) == text
