"""Devices that a training may write to: accelerators, terminals and streams, but not the machine's disks or memory."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

OF_THE_MACHINE = re.compile(
    r"mem|kmem|port|kmsg|nvram|autofs|fuse|btrfs-control|loop-control|mcelog|snapshot|uinput|uhid"
    r"|tty\d+|ttyS\d+|vcs.*|hpet|rtc.*|watchdog.*|cpu_dma_latency|rfkill|sg\d+|nvme.*"
)
"""Character devices through which root could change the machine itself."""
FOLDERS = ("accel", "dri", "habanalabs", "infiniband", "nvidia-caps", "nvidia-caps-imex-channels", "pts")
"""Folders of devices for computing and communicating, and of terminals."""

MAKE_S = 20.0
"""Limit for loading a driver."""


def make_ready() -> None:
    """Let the driver of NVIDIA make what it makes at the first use of a GPU: in a view no device can be made."""
    tool = shutil.which("nvidia-modprobe")
    if tool is None or not Path("/proc/driver/nvidia").exists() or Path("/dev/nvidia-uvm").exists():
        return
    try:
        subprocess.run([tool, "-c", "0", "-u"], capture_output=True, timeout=MAKE_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return  # the script will say what is missing


def writable(folder: Path = Path("/dev")) -> list[str]:
    """Return character devices and folders of such that a script may write to."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if _is_writable(entry))
    except OSError:
        return []


def _is_writable(entry: os.DirEntry[str]) -> bool:
    if entry.name in FOLDERS:
        return entry.is_dir(follow_symlinks=False)
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) and not OF_THE_MACHINE.fullmatch(entry.name)
