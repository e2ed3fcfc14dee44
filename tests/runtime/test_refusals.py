"""Errors of a script that its view causes are told as advisor's; others stay the script's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from advisor.runtime.isolation import View, refusals
from advisor.runtime.isolation.promises import Level

from .isolation_tools import run
from .levels import isolation_at

UPPER = {"view": {"user_namespace": True, "memory_bytes": 0}}


class _At:
    """Level without a view of its own."""

    def __init__(self, level: Level, scratch: Path) -> None:
        self.level = level
        self.scratch = scratch


def said(level: Level, text: str, folder: Path, keeper: dict[str, Any] | None = None) -> str:
    view = View(cwd=folder, keeper=keeper or {}, scratch=folder)
    return refusals.words([text], _At(level, folder), view)  # type: ignore[arg-type]  # only these two are read


@pytest.mark.parametrize(
    ("level", "text", "words"),
    [
        (Level.OVERLAY, "OSError: [Errno 75] Value too large for defined data type: 'a.pt'", "another user or group"),
        (
            Level.OVERLAY,
            "RuntimeError: [enforce fail at inline_container.cc:747] . open file failed with strerror: "
            "Value too large for defined data type",
            "another user or group",
        ),
        (Level.OVERLAY, "OSError: [Errno 18] Invalid cross-device link: 'a' -> 'b'", "cannot be renamed"),
        (Level.OVERLAY, "OSError: [Errno 30] Read-only file system: 'a'", "read-only in the view"),
        (Level.LANDLOCK, "OSError: [Errno 30] Read-only file system: '{folder}/a'", "read-only in the view"),
        (Level.LANDLOCK_ALONE, "PermissionError: [Errno 13] Permission denied: '{folder}/a'", "refuses writes outside"),
        (Level.OVERLAY, "PermissionError: [Errno 13] Permission denied: '{folder}/a'", ""),
        (Level.LANDLOCK, "PermissionError: [Errno 13] Permission denied: '/nowhere/a'", ""),
        (Level.OVERLAY, "OSError: [Errno 18] Invalid cross-device link: 'a' -> '/dev/shm/b'", ""),
        (Level.OVERLAY, "OSError: [Errno 30] Read-only file system: '/nowhere/a'", ""),
        (Level.OVERLAY, "RuntimeError: shapes do not match", ""),
        (Level.NONE, "OSError: [Errno 30] Read-only file system: 'a'", ""),
    ],
)
def test_an_error_of_the_view_is_told_as_ours(level: Level, text: str, words: str, tmp_path: Path) -> None:
    found = said(level, text.format(folder=tmp_path), tmp_path, UPPER)
    if words:
        assert words in found
        assert "isolation='copy'" in found
    else:
        assert found == ""


def test_a_full_disk_names_the_scratch_folder_its_size_and_the_option(tmp_path: Path) -> None:
    (tmp_path / "written").write_bytes(bytes(32 << 20))
    for text in ("OSError: [Errno 28] No space left on device", "OSError: [Errno 122] Disk quota exceeded: 'x'"):
        found = said(Level.OVERLAY, text, tmp_path)
        assert f"scratch folder {tmp_path}, now 0.03 GiB" in found
        assert "runs=" in found
    in_memory = said(Level.OVERLAY, text, tmp_path, {"view": {"memory_bytes": 3 << 30}})
    assert "in memory what the script writes, at most 3.0 GiB" in in_memory
    assert said(Level.NONE, text, tmp_path) == ""


def test_a_socket_path_that_our_temporary_folder_makes_too_long_names_the_option(tmp_path: Path) -> None:
    text = "OSError: AF_UNIX path too long"
    view = View(cwd=tmp_path, keeper={}, scratch=tmp_path, env={"TMPDIR": f"{tmp_path}/tmp"})
    found = refusals.words([text], _At(Level.LANDLOCK, tmp_path), view)  # type: ignore[arg-type]
    assert f"{tmp_path}/tmp, has a long name" in found
    assert "runs=" in found
    assert said(Level.OVERLAY, text, tmp_path) == ""


def test_torch_does_not_say_why_it_could_not_write_so_the_disk_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 576 vs 470"
    real = shutil.disk_usage(tmp_path)
    isolation = _At(Level.OVERLAY, tmp_path)
    for free_bytes, full in ((1 << 40, False), (4096, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder, free=free_bytes: real._replace(free=free))
        assert refusals.is_full([text], isolation) == full  # type: ignore[arg-type]  # only these two are read


@pytest.mark.skipif(os.getuid() != 0, reason="a plain user may not write there outside the view either")
def test_what_a_real_view_refuses_is_recognized(tmp_path: Path) -> None:
    for name in ("project", "logs"):
        (tmp_path / name).mkdir()
    isolation = isolation_at(Level.LANDLOCK, tmp_path / "project", tmp_path / "scratch")
    with isolation.prepare(tmp_path / "project") as view:
        for code in (
            f"open({str(tmp_path / 'made')!r}, 'w')",
            f"import torch; torch.save(torch.ones(1), {str(tmp_path / 'made.pt')!r})",
        ):
            _, _, stderr = run(isolation, code, tmp_path / "logs")
            assert refusals.words(stderr.splitlines()[-3:], isolation, view), stderr
