"""Copies of a project: what links lead to, large files, and what is compared afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.runtime.isolation import copier, manifest
from advisor.runtime.isolation.copied import Copy
from advisor.runtime.isolation.promises import Level

from .isolation_tools import run
from .levels import isolation_at
from .test_promises import run_at

COPYING = [Level.LANDLOCK, Level.LANDLOCK_ALONE, Level.COPY]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("project", "elsewhere/folder", "logs"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("project", "elsewhere", "elsewhere/folder"):
        (tmp_path / name / "kept.txt").write_text("kept")
    return tmp_path


def sparse(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        file.write(b"kept")
        file.truncate(size_bytes)
    return path


def link(root: Path, how: str) -> Path:
    """A link in the project that leads out of it, or by an absolute path back into it."""
    aims = {
        "file": root / "elsewhere/kept.txt",
        "relative": Path("../elsewhere/kept.txt"),
        "folder": root / "elsewhere/folder",
        "inward": root / "project/kept.txt",
    }
    (root / "project/link").symlink_to(aims[how])
    return Path("link/kept.txt") if how == "folder" else Path("link")


@pytest.mark.parametrize("how", ["file", "relative", "folder", "inward"])
@pytest.mark.parametrize("level", COPYING)
def test_a_script_writes_through_a_link_and_its_aim_stays(level: Level, how: str, root: Path) -> None:
    name = link(root, how)
    code, output, changed = run_at(level, root, f"open('{name}', 'w').write('new'); print(open('{name}').read())")
    assert (code, output, changed) == (0, "new\n", ())
    assert {path.read_text() for path in root.rglob("kept.txt")} == {"kept"}


@pytest.mark.parametrize("how", ["a large file", "a new file"])
@pytest.mark.parametrize("level", [Level.COPY, Level.NONE])
def test_a_change_where_a_link_leads_is_told(
    level: Level, how: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "LINKED_COPIED_BYTES", 100)
    aim = root / "elsewhere" / "model.pt"
    if how == "a large file":
        sparse(aim, 1000)
    (root / "project/last.pt").symlink_to(aim)
    code, _, changed = run_at(level, root, "open('last.pt', 'w').write('new')")
    assert (code, aim.read_text()) == (0, "new")
    assert changed == (f"{'modified' if how == 'a large file' else 'created'} {aim}",)


def test_a_folder_behind_a_link_with_too_many_entries_is_named_and_the_rest_compared(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LINKED_ENTRIES", 1)
    (root / "project/link").symlink_to(root / "elsewhere")
    isolation = isolation_at(Level.NONE, root / "project", root / "scratch")
    with isolation.prepare(root / "project") as view:
        (root / "project/kept.txt").write_text("new")
        (root / "elsewhere/kept.txt").write_text("new")
    assert view.changed_files == ("modified kept.txt",)
    assert view.notes == (f"{root / 'elsewhere'} has too many entries to be compared",)


def test_attributes_and_times_that_were_set_back_are_told(root: Path) -> None:
    path = root / "project/kept.txt"
    before = path.stat()
    isolation = isolation_at(Level.NONE, root / "project", root / "scratch")
    with isolation.prepare(root / "project") as view:
        path.write_text("tpek")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert view.changed_files == ("modified kept.txt",)


@pytest.mark.parametrize("level", [Level.LANDLOCK, Level.LANDLOCK_ALONE])
def test_a_large_checkpoint_can_be_overwritten_and_stays_as_it_was(level: Level, root: Path) -> None:
    model = sparse(root / "project/model.pt", copier.LARGE_BYTES + 1)
    before = (model.stat().st_mode, model.stat().st_mtime_ns)
    code, output, _ = run_at(
        level, root, "import os; open('model.pt', 'r+').write('new'); os.chmod('model.pt', 0); os.utime('model.pt')"
    )
    assert (code, output) == (0, "")
    assert (model.stat().st_mode, model.stat().st_mtime_ns) == before
    with model.open("rb") as file:
        assert file.read(4) == b"kept"


def test_beyond_a_limit_the_largest_files_are_read_only_and_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "LARGE_BYTES", 100)
    monkeypatch.setattr(copier, "LARGE_COPIED_BYTES", 1500)
    sparse(root / "project/model.pt", 1000)
    data = sparse(root / "project/a.data", 2000)
    isolation = isolation_at(Level.LANDLOCK, root / "project", root / "scratch")
    with isolation.prepare(root / "project") as view:
        is_link = (view.cwd / "a.data").is_symlink()
    if not is_link:
        pytest.skip("this disk shares blocks: there is no limit")
    assert view.notes == (f"{data} is too large to copy: it is read-only in the view",)
    tried = "import os\ntry: os.chmod('a.data', 0)\nexcept OSError: open('model.pt', 'a').write('new')\nelse: 1 / 0"
    assert run(isolation, tried, root / "logs")[0] == 0
    assert data.stat().st_mode & 0o777


@pytest.mark.parametrize("aim", ["..", "../scratch", "/"])
def test_a_link_to_what_holds_the_project_or_our_own_folder_stays_a_link(aim: str, root: Path) -> None:
    (root / "scratch").mkdir()
    (root / "project/link").symlink_to(aim)
    with Copy(project=root / "project", scratch=root / "scratch").prepare(root / "project") as view:
        assert (view.cwd / "link").is_symlink()


def test_links_in_circles_are_no_trouble(root: Path) -> None:
    (root / "project/a").symlink_to("b")
    (root / "project/b").symlink_to("a")
    (root / "elsewhere/back").symlink_to(root / "elsewhere")
    (root / "project/link").symlink_to(root / "elsewhere")
    for level in (Level.COPY, Level.NONE):
        assert run_at(level, root, "pass")[::2] == (0, ())
