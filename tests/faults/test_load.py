"""Very much output, and several commands at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from advisor.storage.run_store import list_runs, load_profile

from .commands import WILD, Desk, ended, training

pytestmark = pytest.mark.slow(15)

MOST_MEMORY_MIB = 120
"""Half of what the script prints."""
AT_ONCE = 5


def peak_memory_mib(pid: int) -> float:
    """The most that the process itself, without its children, has ever had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def test_very_much_output_costs_no_memory_and_little_disk(desk: Desk) -> None:
    process = desk.start("profile", "--runs", desk.runs, "--json", "--budget", "60", WILD / "loud.py", "--mib", "256")
    peaks = [0.0]
    while process.poll() is None:
        peaks.append(peak_memory_mib(process.pid))
        if process.stdout is not None and any(desk.runs.glob("2*/profile.json")):
            break  # it prints now, and the pipe is small: it must be read
    done = ended(process)
    assert (done.code, max(peaks) <= MOST_MEMORY_MIB) == (0, True), (max(peaks), done.stderr)
    logs = [path.stat().st_size for path in desk.runs.glob("2*/life-*.std*")]
    assert max(logs) < 1 << 20
    assert "the last line" in next(desk.runs.glob("2*/life-0.stdout")).read_text()[-100:]


def test_commands_at_once_in_one_folder_have_a_run_each(desk: Desk) -> None:
    name = desk.script(training(loop="torch.save(model.state_dict(), 'best.pt')"))
    words = ("profile", "--runs", desk.runs, "--json", "--budget", "1", name, "--number")
    done = [ended(process) for process in [desk.start(*words, number) for number in range(AT_ONCE)]]
    assert [one.code for one in done] == [0] * AT_ONCE, [one.stderr for one in done]
    asked = {json.dumps(load_profile(run.profile_path).command.args) for run in list_runs(desk.runs)}
    assert asked == {json.dumps(["--number", str(number)]) for number in range(AT_ONCE)}
    assert (desk.left(), desk.scratch) == ([], [])
