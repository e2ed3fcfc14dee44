"""What one process of a command compiles is there for the next, and gone with the command."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest

from advisor.runtime.isolation import compiler_cache

from .isolation_tools import PROTECTING, isolation_for, run

SAVES = "import os, pathlib; pathlib.Path(os.environ['TORCHINDUCTOR_CACHE_DIR'], 'kernel').write_text('compiled')"
READS = "import os, pathlib; print(pathlib.Path(os.environ['TORCHINDUCTOR_CACHE_DIR'], 'kernel').read_text())"


@pytest.fixture(autouse=True)
def no_code_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compiler_cache.VARIABLE, raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.mark.parametrize("name", PROTECTING)
def test_the_next_process_finds_it_and_nothing_of_it_is_left_at_the_end(tmp_path: Path, name: str) -> None:
    for folder in ("project", "logs"):
        (tmp_path / folder).mkdir()
    isolation = isolation_for(name, tmp_path / "project", tmp_path / "scratch")
    assert run(isolation, SAVES, tmp_path / "logs") == (0, "", "")
    assert run(isolation, READS, tmp_path / "logs") == (0, "compiled\n", "")
    assert list((tmp_path / "scratch").iterdir())
    del isolation
    gc.collect()
    assert not list((tmp_path / "scratch").iterdir())


def test_two_commands_share_nothing(tmp_path: Path) -> None:
    for folder in ("project", "logs"):
        (tmp_path / folder).mkdir()
    one, other = (isolation_for("overlay", tmp_path / "project", tmp_path / "scratch") for _ in range(2))
    assert run(one, SAVES, tmp_path / "logs")[0] == 0
    assert "FileNotFoundError" in run(other, READS, tmp_path / "logs")[2]


def test_code_that_the_user_has_already_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler_cache.environment(tmp_path) == {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    monkeypatch.setenv("LOGNAME", "a:b")
    theirs = tmp_path / "temporary" / "torchinductor_a_b"
    theirs.mkdir()
    assert compiler_cache.environment(tmp_path) == {}
    theirs.rmdir()
    monkeypatch.setenv(compiler_cache.VARIABLE, "/elsewhere")
    assert compiler_cache.environment(tmp_path) == {}


def test_it_is_where_torch_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    assert str(compiler_cache._usual()) == default_cache_dir()
    monkeypatch.setattr(compiler_cache.getpass, "getuser", _without_a_name)
    assert compiler_cache._usual().name == f"torchinductor_uid_{os.getuid()}"


def _without_a_name() -> str:
    raise KeyError("getpwuid(): uid not found")
