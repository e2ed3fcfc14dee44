"""The interpreter that runs the tests has a real torch; other interpreters are small scripts that stand in for one."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from advisor.hardware.torch_build import CHILD, torch_build

pytestmark = pytest.mark.skipif(platform.system() == "Windows", reason="stands in for interpreters by shell scripts")


def stand_in(tmp_path: Path, script: str) -> str:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_nobody_is_asked_without_an_interpreter() -> None:
    answer = torch_build(None)
    assert (answer.build, answer.error) == (None, None)


@pytest.mark.slow
def test_the_build_of_this_interpreter() -> None:
    build = torch_build(sys.executable).build
    assert build is not None
    assert build.version.split("+")[0] == importlib.metadata.version("torch").split("+")[0]
    assert build.python == platform.python_version()


def test_our_modules_do_not_hide_those_of_the_interpreter(tmp_path: Path) -> None:
    # torch's own packages are found as `nvidia`, and scripts have a `memory` of their own.
    names = ("nvidia", "memory", "disk", "show", "peaks", "bus")
    (tmp_path / "probe.py").write_text(
        "import importlib.util, runpy, sys\n"
        f"sys.argv = ['child', 'request', {str(tmp_path / 'answer.json')!r}]\n"
        f"sys.path.insert(0, {str(CHILD.parent)!r})\n"
        f"runpy.run_path({str(CHILD)!r})\n"
        f"print([n for n in {names!r} if {str(CHILD.parent)!r} in str(importlib.util.find_spec(n))])\n"
    )
    done = subprocess.run([sys.executable, str(tmp_path / "probe.py")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_interpreter_without_torch_is_told(tmp_path: Path) -> None:
    # -S leaves site-packages out.
    answer = torch_build(stand_in(tmp_path, f'exec {sys.executable} -S "$@"'))
    assert answer.build is None
    assert "torch cannot be imported" in str(answer.error)


def test_an_interpreter_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert "cannot be started" in str(torch_build(str(tmp_path / "missing")).error)


def test_a_crash_is_told_with_its_last_line(tmp_path: Path) -> None:
    answer = torch_build(stand_in(tmp_path, "echo 'libtorch.so: bad ELF' >&2; exit 3"))
    assert "exit code 3: libtorch.so: bad ELF" in str(answer.error)


def test_an_unreadable_answer_is_told(tmp_path: Path) -> None:
    assert "no readable answer" in str(torch_build(stand_in(tmp_path, 'echo "{" > "$3"')).error)


@pytest.mark.slow
def test_a_hang_ends_with_all_its_processes(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    answer = torch_build(stand_in(tmp_path, f"sleep 300 & echo $! > {note}; wait"), timeout_s=1.0)
    assert "no answer within 1 s" in str(answer.error)
    sleeper = int(note.read_text())
    psutil.wait_procs([psutil.Process(sleeper)] if psutil.pid_exists(sleeper) else [], timeout=10)
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE
