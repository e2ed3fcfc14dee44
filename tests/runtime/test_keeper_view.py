"""Views are made while other programs work: what they remove meanwhile is left out, and nothing fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from advisor.runtime.isolation import keeper_view


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which a file is removed when it is about to be copied."""
    copy = keeper_view._copy_file

    def late(source: str, target: str) -> None:
        if Path(source).name == "going":
            Path(source).unlink(missing_ok=True)
        copy(source, target)

    monkeypatch.setattr(keeper_view, "_copy_file", late)
    folder = tmp_path / "project"
    (folder / "inner").mkdir(parents=True)
    for name in ("a", "going", "z", "inner/a", "inner/going", "inner/z"):
        (folder / name).write_text(name)
    return folder


def test_a_copied_folder_leaves_out_what_is_gone(project: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    keeper_view._copy_tree(str(project), str(tmp_path / "copy"))
    copied = sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*"))
    assert copied == ["a", "inner", "inner/a", "inner/z", "z"]


def test_a_mirror_leaves_out_what_is_gone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted: list[Any] = []
    monkeypatch.setattr(keeper_view, "mount", lambda *arguments: mounted.append(arguments))
    keeper_view._mirror(str(project), str(tmp_path / "target"), str(tmp_path / "layer"))
    assert sorted(path.name for path in (tmp_path / "layer" / "mirror").iterdir()) == ["a", "inner", "z"]
    assert len(mounted) == 1


def test_an_overlay_leaves_out_single_files_that_are_gone(project: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    for name in ("inner/going", "inner/z"):
        keeper_view._unless_gone(keeper_view._copy_one_into_upper, str(project), str(upper), name)
    assert sorted(path.name for path in (upper / "inner").iterdir()) == ["z"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount here")
@pytest.mark.parametrize("step", [{"do": "bind"}, {"do": "mirror"}, {"do": "read_only", "recursive": True}], ids=str)
def test_a_folder_that_is_removed_before_it_is_mounted_is_left_out(step: dict[str, Any], tmp_path: Path) -> None:
    notes: list[str] = []
    path = str(tmp_path / "gone")
    keeper_view._apply({**step, "path": path}, str(tmp_path / "root"), str(tmp_path / "layer"), {}, notes)
    assert notes == []


def test_a_folder_whose_mount_is_gone_again_is_left_out(tmp_path: Path) -> None:
    """Its source may be removed between the two: what lies there then belongs to the mount around it."""
    try:
        keeper_view._unless_gone(keeper_view._read_only, str(tmp_path), False)
    except PermissionError:
        pytest.skip("only who may mount may ask")


def test_a_mount_is_told_from_a_folder(tmp_path: Path) -> None:
    assert keeper_view._is_mounted("/proc")
    assert not keeper_view._is_mounted(str(tmp_path))
    assert keeper_view._unescaped(rb"/mnt/a\040b\134c") == rb"/mnt/a b\c"
