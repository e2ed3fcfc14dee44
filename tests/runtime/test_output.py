"""What a script prints: bounded on disk and in memory, and nobody waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.redaction import Redactor
from advisor.runtime.output import HEAD_BYTES, TAIL_BYTES, CappedLog, OutputReader
from advisor.runtime.processes import start

from .isolation_tools import WAIT_S, wait_until


def _log(folder: Path, *parts: bytes, head: int = 10, tail: int = 10) -> CappedLog:
    log = CappedLog(folder / "log", head_bytes=head, tail_bytes=tail)
    for part in parts:
        log.write(part)
    return log


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 19, 20])
def test_what_fits_is_kept_whole(size: int, tmp_path: Path) -> None:
    text = bytes(65 + number for number in range(size))
    _log(tmp_path, *(text[start : start + 3] for start in range(0, size, 3))).close()
    assert (tmp_path / "log").read_bytes() == text


def test_what_does_not_fit_keeps_both_ends_and_says_so(tmp_path: Path) -> None:
    _log(tmp_path, b"0123456789", b"a" * 70, b"ABCDEFGHIJ").close()
    assert (tmp_path / "log").read_bytes() == b"0123456789\n[... 70 bytes of output left out here ...]\nABCDEFGHIJ"


def test_the_tail_is_there_at_any_moment(tmp_path: Path) -> None:
    log = _log(tmp_path, b"head")
    assert log.tail() == "head"
    log.write(b"0123456789abcdef")
    assert log.tail(8) == "89abcdef"
    log.close()
    assert log.tail(8) == "89abcdef"


def test_the_tail_joins_head_and_ring(tmp_path: Path) -> None:
    log = _log(tmp_path, b"0123456789", b"abc")
    assert log.tail(5) == "89abc"
    log.close()


def test_broken_text_is_readable(tmp_path: Path) -> None:
    log = _log(tmp_path, b"\xff\xfeok")
    assert log.tail().endswith("ok")
    log.close()


def test_a_full_disk_is_noted_and_does_not_raise() -> None:
    log = CappedLog(Path("/dev/full"), head_bytes=10, tail_bytes=10)
    log.write(b"0123456789abc")
    log.close()
    assert log.write_error is not None
    assert "No space" in str(log.write_error)


def test_an_open_pipe_does_not_hold_us_up(tmp_path: Path) -> None:
    """A daemon that keeps the pipe for ever."""
    reader, writer = os.pipe()
    log = CappedLog(tmp_path / "log")
    os.write(writer, b"said")
    OutputReader([(reader, log)]).close()
    assert (tmp_path / "log").read_bytes() == b"said"
    os.close(writer)


def test_a_script_ends_though_its_output_is_held_open(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '600']); print('done')"
    with start([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, logs=tmp_path) as process:
        assert process.wait(WAIT_S) == 0
    assert (tmp_path / "script.stdout").read_text() == "done\n"


def test_a_daemon_that_writes_for_ever_does_not_hold_us_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(["yes"], stdout=writer) as flood:
        os.close(writer)
        log = CappedLog(tmp_path / "log")
        output = OutputReader([(reader, log)])
        assert wait_until(lambda: log.total_bytes > 1 << 20)
        begun = time.monotonic()
        output.close()
        assert time.monotonic() - begun < WAIT_S
        flood.wait(WAIT_S)  # ended by SIGPIPE, now that nobody reads
    assert (tmp_path / "log").stat().st_size < HEAD_BYTES + TAIL_BYTES + 200


def test_both_streams_go_to_their_own_file(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    with start([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, logs=tmp_path) as process:
        process.wait(WAIT_S)
    assert ((tmp_path / "script.stdout").read_text(), (tmp_path / "script.stderr").read_text()) == ("out\n", "err\n")


@pytest.mark.slow
def test_very_much_output_costs_little_memory_and_disk(tmp_path: Path) -> None:
    driver = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from advisor.runtime.processes import start
code = "import os\\nblock = b'x' * 1023 + b'\\\\n'\\nfor _ in range(256): os.write(1, block * 1024)\\nprint('the end')"
logs = Path({str(tmp_path)!r})
with start([sys.executable, "-c", code], cwd=logs, env=os.environ, logs=logs) as process:
    assert process.wait(120) == 0
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(process.stdout.total_bytes, peak.split()[1])
"""
    done = subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True, timeout=200, check=True)
    total_bytes, peak_kib = map(int, done.stdout.split())
    assert total_bytes >= 256 << 20
    assert peak_kib < 120 << 10  # half of it
    assert (tmp_path / "script.stdout").stat().st_size < HEAD_BYTES + TAIL_BYTES + 200
    assert (tmp_path / "script.stdout").read_text().endswith("the end\n")


def test_secrets_in_the_output_are_hidden_and_the_file_is_the_owners(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log", head_bytes=30, tail_bytes=100, redactor=Redactor(known=("Hunter2-xyz",)))
    log.write(b"\xff key Hunter2-xyz\n" + b"." * 100 + b"\nlast Hunter2-xyz, really\n")
    assert log.tail(17) == "last ***, really\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    log.close()
    kept = (tmp_path / "log").read_bytes()
    assert (kept.count(b"***"), b"Hunter2" in kept, kept.startswith(b"\xff key ***\n")) == (2, False, True)


def test_a_tail_that_begins_within_a_secret_does_not_show_its_end(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log", redactor=Redactor(known=("Hunter2-xyz",)))
    log.write(b"x" * 5000 + b" Hunter2-xyz end")
    assert "xyz" not in log.tail(9)
    log.close()
