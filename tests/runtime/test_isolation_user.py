"""The tests of isolation and processes once more as a plain user, where the tests themselves run as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .plain_user import GROUP, UID, as_plain_user, closed_parents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="the other tests run as a plain user already"),
]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
RUN = """
import json, sys
sys.path[:0] = PATHS
from pathlib import Path
from advisor.errors import IsolationError
from advisor.runtime.isolation import choose, refusals
from runtime.isolation_tools import run
home, name, code = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(home / "logs").mkdir()
try:
    isolation = choose(name, project=home / "project", scratch=home / "scratch")
except IsolationError as error:
    print(json.dumps([5, str(error)]))
else:
    ended, out, error = run(isolation, code, home / "logs")
    with isolation.prepare(home / "project") as view:
        print(json.dumps([ended, out + (refusals.words(error.splitlines()[-1:], isolation, view) or error)]))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """The home of a plain user, in a folder of root's, as it is in /home."""
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs unshare and setpriv (util-linux)")
    if closed_parents(REPOSITORY):
        pytest.skip(f"another user cannot read {REPOSITORY}")
    theirs = Path("/var/tmp") / f"advisor-test-{os.getpid()}"
    home = theirs / "home"
    home.mkdir(parents=True)
    theirs.chmod(0o755)
    try:
        command, environment = as_plain_user([sys.executable, "-c", ""], home)
        tried = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"another user cannot run the interpreter: {tried.stderr.strip()}")
        yield home
    finally:
        shutil.rmtree(theirs, ignore_errors=True)


@pytest.mark.parametrize(
    "file", ["test_isolation.py", "test_isolation_plan.py", "test_processes.py", "test_promises.py", "test_scratch.py"]
)
def test_the_same_holds_for_a_plain_user(file: str, home: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "pytest"), "-o", "addopts=-rs"]
    command, environment = as_plain_user([sys.executable, "-m", "pytest", *options, str(HERE / file)], home)
    # Copies and unprotected scripts need no rights: for them it is the same user by another name.
    environment = {**environment, "ADVISOR_TEST_ISOLATIONS": "overlay landlock"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:]


def run_as_user(home: Path, code: str, *, isolation: str = "overlay", before: str = "") -> tuple[int, str]:
    """Exit code and output of `code` in a view of a plain user; 5 and the reason if there is none."""
    (home / "project").mkdir(exist_ok=True)
    shutil.chown(home / "project", UID, UID)
    text = RUN.replace("PATHS", repr(sys.path))
    command, environment = as_plain_user([sys.executable, "-c", text, str(home), isolation, code], home, before=before)
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    ended, output = json.loads(done.stdout)
    return ended, output


def shared(path: Path, mode: int, text: str | None = None, owner: int = UID) -> Path:
    """A file or folder of another of the user's groups."""
    if text is None:
        path.mkdir(parents=True)
    else:
        path.write_text(text)
    os.chown(path, owner, GROUP)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("owner", [UID, UID + 5])
def test_files_and_folders_of_another_group_can_be_written_to_in_the_view(owner: int, home: Path) -> None:
    """One of the user's own beside them must not hide that kind from the probe."""
    (home / "project").mkdir()
    mine = home / "project" / "a.txt"
    mine.write_text("mine")
    os.chown(mine, UID, UID)
    files = [shared(home / "project" / name, 0o664, "old", owner) for name in ("model.pt", "z.txt")]
    folder = shared(home / "project" / "checkpoints", 0o2775, owner=owner)
    files.append(shared(folder / "last.pt", 0o664, "old", owner))
    only_large = shared(home / "project" / "data", 0o2775, owner=owner)
    for large in (folder / "large", only_large / "large"):  # so that the folder as a whole is not copied
        with large.open("wb") as file:
            file.truncate(200 << 20)
        os.chown(large, owner, GROUP)
    writes = "; ".join(f"open({str(path)!r}, 'a').write('new')" for path in files)
    made = [folder / "made", only_large / "made"]
    code = "; ".join([writes, *(f"open({str(path)!r}, 'w').write('new')" for path in made)])
    assert run_as_user(home, code) == (0, "")
    assert [path.read_text() for path in files] == ["old"] * 3
    assert not any(path.exists() for path in made)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.rename('{outside}/folder', '{outside}/renamed')", "cannot be renamed in the view"),
        ("open('{outside}/theirs.pt', 'a')", "another user or group cannot be changed in the view"),
        ("open('{outside}/missing/x', 'a')", "FileNotFoundError"),
    ],
)
def test_what_only_the_view_refuses_to_a_plain_user_is_told_as_ours(code: str, words: str, home: Path) -> None:
    outside = shared(home / "outside", 0o755)
    os.chown(outside, UID, UID)
    shared(outside / "theirs.pt", 0o664, "old")
    (outside / "folder").mkdir()
    os.chown(outside / "folder", UID, UID)
    ended, said = run_as_user(home, code.format(outside=outside))
    assert (ended, words in said) == (1, True), said
    assert ("outside of advisor's view this works" in said) == ("missing" not in code)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_a_foreign_folder_with_a_mount_in_a_temporary_folder_is_no_trouble(mode: int, home: Path) -> None:
    theirs = Path("/tmp") / f"advisor-theirs-{os.getpid()}"
    (theirs / "mount").mkdir(parents=True)
    (theirs / "kept.txt").write_text("theirs")
    theirs.chmod(mode)
    readable = mode != 0o700
    code = f"""
import os
open("/tmp/made-{os.getpid()}", "w").write("new")
if {readable}:
    assert open({str(theirs / "kept.txt")!r}).read() == "theirs"
    assert open({str(theirs / "mount/inside")!r}).read() == "inside\\n"
"""
    before = f"mount -t tmpfs -o mode=755 tmpfs {theirs}/mount && echo inside > {theirs}/mount/inside"
    try:
        assert run_as_user(home, code, before=before) == (0, "")
        assert (theirs / "kept.txt").read_text() == "theirs"
        assert not (Path("/tmp") / f"made-{os.getpid()}").exists()
    finally:
        shutil.rmtree(theirs)


def test_two_users_can_share_a_folder_of_runs(home: Path) -> None:
    """The first one, here root, has made the folder and a scratch folder of its own in it."""
    runs = home.parent / "runs"
    runs.mkdir()
    runs.chmod(0o1777)
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from advisor.runtime import RunOptions
from advisor.runtime.isolation import scratch
with scratch.lent(RunOptions(runs={str(runs)!r}).scratch) as folder:
    print(folder.is_dir(), scratch.sweep(folder.parent))
"""
    for words, environment in (([sys.executable, "-c", code], None), as_plain_user([sys.executable, "-c", code], home)):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == ("True []\n", "")
