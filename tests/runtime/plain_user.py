"""Commands as a plain user, for what runs as root."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

UID = 12345
GROUP = 12346
"""Another group of the user."""


def as_plain_user(command: Sequence[str], home: Path, *, before: str = "") -> tuple[list[str], Mapping[str, str]]:
    """Return the command as another user with this home, and its environment; a closed home is covered by an open one.

    Nothing outside is changed: the cover is a tmpfs that only this namespace sees, with the interpreter bound into it.
    `before` is a command of the shell that root runs in that namespace.
    """
    home.chmod(0o755)
    shutil.chown(home, UID, UID)
    interpreter = Path(sys.executable).resolve().parents[1]
    closed = closed_parents(interpreter)
    steps = f"{before} && " if before else ""
    if closed:
        top, place = closed[-1], home.parent / f"{home.name}-interpreter"
        place.mkdir(exist_ok=True)
        steps += (
            f"mount --bind {interpreter} {place} && mount -t tmpfs -o mode=755 tmpfs {top}"
            f" && mkdir -p {interpreter} && mount --bind {place} {interpreter} && "
        )
    drop = f'exec setpriv --reuid {UID} --regid {UID} --groups {UID},{GROUP} "$@"'
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("XDG_STATE_HOME", None)
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", steps + drop, "sh", *command]
    return words, environment


def closed_parents(*paths: Path) -> list[Path]:
    """Return the folders on the way that other users may not enter."""
    found = []
    for path in paths:
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & 0o001 and folder not in found:
                found.append(folder)
    return found
