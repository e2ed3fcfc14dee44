"""A full disk is a clean stop with one line; what was stored before stays whole."""

from __future__ import annotations

import subprocess

import pytest

from .commands import Desk, Ended, training

pytestmark = pytest.mark.slow

LOUD = training(loop="print('x' * 20000); print('y' * 20000, file=sys.stderr)")


@pytest.fixture
def small_disk(desk: Desk) -> Desk:
    """Runs are kept on a small disk of their own, that only the commands of this test see."""
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, timeout=10, check=False
    )
    if tried.returncode:
        pytest.skip("no disk can be mounted here")
    desk.runs.mkdir()
    return desk


def on_small_disk(desk: Desk, size: str, *commands: str) -> Ended:
    """Shell lines with `$advisor` and `$runs`, in a mount namespace that ends with them."""
    script = "\n".join(["set -u", 'mount -t tmpfs -o "size=$size" none "$runs"', *commands])
    program = f"size={size}; runs={desk.runs}\n{script}"
    shell = ["unshare", "-m", "sh", "-c", f'run() {{ "$0" "$@"; }}\n{program}']
    return desk.advisor(prefix=shell)


def test_a_disk_that_is_full_from_the_start_is_exit_code_7(small_disk: Desk) -> None:
    name = small_disk.script(training())
    done = on_small_disk(
        small_disk,
        "64k",
        'cat /dev/zero > "$runs/filler" 2>/dev/null',
        f'run -m advisor profile --runs "$runs" {name}; echo "code $?"',
    )
    assert done.stdout.splitlines()[-1] == "code 7", done.stderr
    assert "No space left on device. Free some space" in done.last_line
    assert small_disk.left() == []


@pytest.mark.parametrize("size", ["300k", "600k", "900k"])
def test_a_disk_that_fills_while_we_measure_is_exit_code_7(size: str, small_disk: Desk) -> None:
    done = on_small_disk(
        small_disk,
        size,
        f'run -m advisor profile --budget 1 --runs "$runs" {small_disk.script(LOUD)}; echo "code $?"',
        'ls -A "$runs"/2*',
    )
    assert "code 7" in done.stdout, done.stdout + done.stderr
    assert "No space left on device" in done.last_line
    assert "profile.json" not in done.stdout  # nothing half-done under its final name
    assert small_disk.left() == []


def test_runs_from_before_can_still_be_read(small_disk: Desk) -> None:
    small_disk.script(LOUD, "loud.py")
    done = on_small_disk(
        small_disk,
        "4m",
        f'run -m advisor profile --budget 1 --runs "$runs" {small_disk.script(training())} >/dev/null',
        'cat /dev/zero > "$runs/filler" 2>/dev/null',
        'run -m advisor profile --budget 1 --runs "$runs" loud.py; echo "code $?"',
        'run -m advisor report --runs "$runs" >/dev/null; echo "read $?"',
    )
    assert ("code 7" in done.stdout, "read 0" in done.stdout) == (True, True), done.stdout + done.stderr


def test_a_script_that_fills_the_disk_is_told_as_such(small_disk: Desk) -> None:
    greedy = training(loop="open(f'big{step}', 'wb').write(bytes(4 << 20))")
    done = on_small_disk(
        small_disk,
        "8m",
        f'run -m advisor profile --budget 1 --json --runs "$runs" {small_disk.script(greedy)}; echo "code $?"',
    )
    assert '"kind": "disk_full"' in done.stdout, done.stdout + done.stderr
    shown = " ".join(done.stdout.split())
    assert "advisor keeps what the script writes in its scratch folder" in shown
    assert "0.01 GiB with 0.00 GiB free: choose a disk with more room with --runs" in shown, shown


def test_a_checkpoint_that_fills_the_disk_is_told_as_such(small_disk: Desk) -> None:
    """The error of `torch.save` does not say what is the matter."""
    greedy = training(loop="torch.save(torch.zeros(1 << 20), f'big{step}.pt')")
    done = on_small_disk(
        small_disk, "8m", f'run -m advisor profile --budget 1 --json --runs "$runs" {small_disk.script(greedy)}'
    )
    assert '"kind": "disk_full"' in done.stdout, done.stdout + done.stderr
