"""Stored runs made by somebody hostile, or broken: one clear line, exit code 7, and nothing in them is executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from report.sample import healthy

from advisor.storage.run_store import new_run, save_profile

from .commands import Desk


class Canary:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


def flipped(whole: bytes) -> bytes:
    return whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]


HOSTILE: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": lambda whole, canary: b"",
    "cut": lambda whole, canary: whole[: len(whole) // 2],
    "one bit flipped": lambda whole, canary: flipped(whole),
    "a pickle": lambda whole, canary: pickle.dumps(Canary(canary)),
    "a pickle behind a header": lambda whole, canary: whole.split(b"\n")[0] + b"\n" + pickle.dumps(Canary(canary)),
    "deep JSON": lambda whole, canary: whole.split(b"\n")[0] + b"\n" + b"[" * 500_000,
    "deep JSON in the header": lambda whole, canary: b"[" * 100_000 + b"\n{}",
    "another document": lambda whole, canary: b'{"hello": "world"}',
    "no text": lambda whole, canary: bytes(range(256)) * 40,
    "a newer format": lambda whole, canary: whole.replace(b'"version": 2', b'"version": 99', 1),
    "YAML with a call": lambda whole, canary: f"!!python/object/apply:os.mkdir ['{canary}']".encode(),
    "NaN and infinities": lambda whole, canary: whole.split(b"\n")[0] + b"\n" + json.dumps([float("nan")]).encode(),
}


@pytest.fixture
def stored(desk: Desk) -> Path:
    run = new_run(desk.runs, "train.py")
    return save_profile(healthy(), run)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_run_is_one_line_and_exit_code_7(name: str, desk: Desk, stored: Path) -> None:
    canary = desk.folder / "canary"
    stored.write_bytes(HOSTILE[name](stored.read_bytes(), canary))
    done = desk.advisor("report", stored.parent)
    assert (done.code, done.stderr.count("\n"), str(stored) in done.stderr) == (7, 1, True), done.stderr[-500:]
    assert not canary.exists()


def test_a_checkpoint_that_is_named_as_a_run_is_refused_unread(desk: Desk) -> None:
    desk.script("")
    canary = desk.folder / "canary"
    (desk.project / "model.pt").write_bytes(pickle.dumps(Canary(canary)))
    done = desk.advisor("report", "model.pt", "--runs", desk.runs)
    assert (done.code, canary.exists()) == (7, False)


def test_a_pipe_is_not_waited_for(desk: Desk, stored: Path) -> None:
    stored.unlink()
    os.mkfifo(stored)
    done = desk.advisor("report", stored.parent)
    assert (done.code, done.stderr.count("\n")) == (7, 1)


def test_comparing_with_a_broken_run_names_it(desk: Desk, stored: Path) -> None:
    broken = desk.runs / stored.parent.name.replace("train", "other")
    shutil.copytree(stored.parent, broken)
    (broken / "profile.json").write_bytes(flipped(stored.read_bytes()))
    done = desk.advisor("compare", stored.parent, broken)
    assert (done.code, str(broken) in done.last_line) == (7, True)


def test_escape_sequences_in_a_run_do_not_reach_the_terminal(desk: Desk) -> None:
    import dataclasses

    profile = dataclasses.replace(healthy(), notes=("harmless \x1b]0;owned\x07\x1b[2J",))
    path = save_profile(profile, new_run(desk.runs, "train.py"))
    done = desk.advisor("report", path.parent)
    assert (done.code, "harmless" in done.stdout, "\x1b" in done.stdout) == (0, True, False)
