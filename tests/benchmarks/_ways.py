"""The ways of writing of `ways_of_writing.py` in each level of isolation, and what they changed outside."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import sqlite3
import stat
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from _common import HERE
from ways_of_writing import WAYS

from advisor.runtime.isolation import Isolation
from advisor.runtime.isolation.promises import Level
from advisor.runtime.processes import start

sys.path.insert(0, str(HERE.parent))
from runtime.levels import isolation_at

LIMIT_S = 120.0
PLACES = ("by a relative path", "by an absolute path", "elsewhere")
"""Where a way writes: twice in the project, and in a folder beside it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one way did in one place."""

    way: str
    place: str
    trouble: str
    """What went wrong for the script; empty if it wrote as it would alone."""
    changed: bool
    """Whether the user's files differ afterwards."""
    reported: bool
    """Whether advisor says so."""


def outcomes(level: Level) -> list[Outcome]:
    """Run every way in every place in one script run of this level."""
    with tempfile.TemporaryDirectory(prefix="advisor-ways-") as name:
        top = Path(name)
        project, logs = top / "project", top / "logs"
        folders = {
            PLACES[0]: project / "relative",
            PLACES[1]: project / "absolute",
            PLACES[2]: top / "elsewhere",
        }
        logs.mkdir()
        for folder in folders.values():
            lay_out(folder)
        names = ["relative", str(folders[PLACES[1]]), str(folders[PLACES[2]])]
        before = {place: state(folder) for place, folder in folders.items()}
        told, changed = _run(isolation_at(level, project, top / "scratch"), names, logs)
        found = []
        for place, script_name in zip(PLACES, names, strict=True):
            after = state(folders[place])
            for way in WAYS:
                shown = f"{folders[place].relative_to(project)}/{way}" if place != PLACES[2] else "elsewhere"
                found.append(
                    Outcome(
                        way=way,
                        place=place,
                        trouble=told[script_name][way],
                        changed=after.get(way) != before[place].get(way),
                        reported=any(words.partition(" ")[2].startswith(shown) for words in changed),
                    )
                )
        return found


def _run(chosen: Isolation, names: list[str], logs: Path) -> tuple[Mapping[str, Mapping[str, str]], tuple[str, ...]]:
    command = [sys.executable, str(HERE / "ways_of_writing.py"), *names]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        chosen.prepare(chosen.project, writable=[logs]) as view,
        start(command, cwd=view.cwd, env=environment, logs=logs, view=view) as process,
    ):
        code = process.wait(LIMIT_S)
    text = (logs / "script.stdout").read_text()
    if code != 0:
        raise SystemExit(f"the ways of writing ended with {code}: {(logs / 'script.stderr').read_text()[-2000:]}")
    return json.loads(text.splitlines()[-1]), view.changed_files


def lay_out(folder: Path) -> None:
    """Make a folder for each way, with everything that a way changes."""
    for way in WAYS:
        here = folder / way
        for name in ("folder", "other"):
            (here / name).mkdir(parents=True)
            (here / name / "leaf").write_text(f"{name} leaf")
        (here / "kept.txt").write_text("kept")
        with contextlib.suppress(OSError):
            os.setxattr(here / "kept.txt", "user.kept", b"kept")
        (here / "model.pt").write_bytes(b"old")
        (here / "array.npy").write_bytes(bytes(1000))
        (here / "link").symlink_to("kept.txt")
        with zipfile.ZipFile(here / "archive.zip", "w") as archive:
            archive.writestr("old", "old")
        with contextlib.closing(sqlite3.connect(here / "data.db")) as database, database:
            database.execute("create table t (x)")


def state(folder: Path) -> dict[str, str]:
    """Content, mode, owner, times and attributes of all below each of its folders, as a digest."""
    found = {}
    for way in folder.iterdir():
        parts = []
        for path in sorted(way.rglob("*")):
            seen = path.lstat()
            is_file = stat.S_ISREG(seen.st_mode)
            content = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
            attributes = [(name, os.getxattr(path, name)) for name in os.listxattr(path)] if is_file else []
            changed_ns = seen.st_ctime_ns if is_file else 0  # of the flags that no other field shows
            parts.append(
                (path.name, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, changed_ns, content, attributes)
            )
        found[way.name] = hashlib.sha256(repr(parts).encode()).hexdigest()
    return found


def plain(found: list[Outcome]) -> list[dict[str, object]]:
    return [dataclasses.asdict(one) for one in found]
