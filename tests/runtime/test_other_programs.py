"""Programs that disturb a measurement are named, and nothing but their name is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.runtime import other_programs
from advisor.runtime.other_programs import Running, busiest, running
from advisor.types import OtherProgram


def proc(folder: Path, **words: str) -> Path:
    """A /proc with one process per keyword, `p7="python -u bake.py --key secret"`."""
    for name, line in words.items():
        process = folder / name.lstrip("p")
        process.mkdir()
        (process / "cmdline").write_bytes("\0".join(line.split()).encode())
        (process / "comm").write_text(line.split()[0])
    return folder


def table(*entries: tuple[int, int, float], started: str = "5") -> dict[int, Running]:
    return {pid: Running(parent=parent, started=started, cpu_s=cpu_s) for pid, parent, cpu_s in entries}


def test_the_busiest_programs_are_named_and_summed(tmp_path: Path) -> None:
    folder = proc(
        tmp_path, p7="/usr/bin/python3 -u bake.py --key secret", p8="/usr/bin/python3 -u bake.py", p9="ffmpeg -i x"
    )
    before = table((7, 1, 1.0), (8, 1, 0.0), (9, 1, 3.0))
    after = table((7, 1, 11.0), (8, 1, 5.0), (9, 1, 5.0))
    assert busiest(before, after, 10.0, folder) == (
        OtherProgram(name="python3 bake.py", cpus=1.5),
        OtherProgram(name="ffmpeg", cpus=0.2),
    )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("python -m pytest tests", "python -m pytest"),
        ("python -c import_secret", "python"),
        ("bash /srv/jobs/nightly.sh", "bash nightly.sh"),
        ("bash /dev/fd/3", "bash"),
        ("make -j4", "make"),
    ],
)
def test_an_interpreter_is_named_with_its_file_only(line: str, name: str, tmp_path: Path) -> None:
    assert other_programs._name(proc(tmp_path, p7=line) / "7") == name


def test_what_advisor_started_is_no_other_program(tmp_path: Path) -> None:
    folder = proc(tmp_path, p7="python train.py", p8="python worker.py")
    me = os.getpid()
    after = table((me, 1, 50.0), (7, me, 50.0), (8, 7, 50.0))
    assert busiest(table((me, 1, 0.0)), after, 10.0, folder) == ()


def test_a_number_that_was_used_again_counts_from_its_start(tmp_path: Path) -> None:
    folder = proc(tmp_path, p7="make")
    assert busiest(table((7, 1, 90.0)), table((7, 1, 10.0), started="6"), 10.0, folder) == (
        OtherProgram(name="make", cpus=1.0),
    )


def test_children_that_have_ended_count_for_their_parent_from_the_first_moment_on(tmp_path: Path) -> None:
    folder = proc(tmp_path, p7="make")
    before = table((7, 1, 1.0), (8, 7, 500.0), (9, 8, 100.0))
    after = {7: Running(parent=1, started="5", cpu_s=1.0, ended_children_s=620.0)}
    assert busiest(before, after, 10.0, folder) == (OtherProgram(name="make", cpus=2.0),)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_orphans_that_have_ended_do_not_count_for_the_process_that_inherits_them(tmp_path: Path) -> None:
    folder = proc(tmp_path, p1="init")
    before = {1: Running(parent=0, started="5", cpu_s=1.0, ended_children_s=10.0)}
    after = {1: Running(parent=0, started="5", cpu_s=3.0, ended_children_s=600.0)}
    assert busiest(before, after, 10.0, folder) == (OtherProgram(name="init", cpus=0.2),)


def test_a_real_program_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        before, begin_s = running(), time.monotonic()
        time.sleep(0.3)
        used_s = running()[process.pid].cpu_s - before[process.pid].cpu_s
        process.kill()
    assert 0 < used_s <= time.monotonic() - begin_s
    assert before[process.pid].parent == os.getpid()
