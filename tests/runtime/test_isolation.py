"""The user's files before and after a script that writes in every way scripts do."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from advisor.errors import IsolationError, UsageError
from advisor.runtime.isolation import choose, scratch
from advisor.runtime.isolation.overlay import Overlay

from .isolation_tools import PROTECTING, fingerprint, isolation_for, run, running, wait_until

STYLES = {
    "open": "open('kept.txt', 'w').write('new'); assert open('kept.txt').read() == 'new'",
    "append": "open('kept.txt', 'a').write('more'); assert open('kept.txt').read() == 'kept' + 'more'",
    "torch.save": (
        "import torch; torch.save({'a': torch.ones(3)}, 'model.pt'); assert torch.load('model.pt')['a'].sum() == 3"
    ),
    "safetensors": (
        "import numpy, safetensors.numpy as s; s.save_file({'a': numpy.ones(3)}, 'model.safetensors');"
        "assert s.load_file('model.safetensors')['a'].sum() == 3"
    ),
    "np.save": "import numpy; numpy.save('array.npy', numpy.arange(9)); assert numpy.load('array.npy').sum() == 36",
    "shutil": (
        "import shutil; shutil.rmtree('folder'); shutil.copytree('other', 'folder'); shutil.move('other', 'moved');"
        "assert open('folder/leaf').read() == open('moved/leaf').read()"
    ),
    "os.replace": (
        "import os; open('t', 'w').write('new'); os.replace('t', 'kept.txt'); assert open('kept.txt').read() == 'new'"
    ),
    "rename of a folder": "import os; os.rename('folder', 'renamed'); assert os.listdir('renamed') == ['leaf']",
    "unlink": "import os; os.unlink('kept.txt'); assert not os.path.exists('kept.txt')",
    "sqlite": (
        "import sqlite3; c = sqlite3.connect('data.db'); c.execute('insert into t values (2)'); c.commit();"
        "assert c.execute('select sum(x) from t').fetchone() == (3,)"
    ),
    "subprocess": "import subprocess; subprocess.run('echo new > kept.txt', shell=True, check=True)",
    "mmap": (
        "import mmap; f = open('kept.txt', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[:4] = b'mmap'; m.flush();"
        "assert open('kept.txt').read() == 'mmap'"
    ),
    "chmod": "import os; os.chmod('kept.txt', 0o600)",
    "truncate": "import os; os.truncate('kept.txt', 1); assert open('kept.txt').read() == 'k'",
}
OUTSIDE = {
    "another folder": "{root}/elsewhere/kept.txt",
    "project by its absolute path": "{root}/project/kept.txt",
    "a new file in another folder": "{root}/elsewhere/new.txt",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a project, another folder and advisor's own ones."""
    for folder in ("project", "elsewhere", "logs"):
        (tmp_path / folder).mkdir()
    lay_out(tmp_path / "project")
    (tmp_path / "elsewhere" / "kept.txt").write_text("kept")
    return tmp_path


def lay_out(project: Path) -> None:
    for name in ("folder", "other"):
        (project / name).mkdir(parents=True)
    (project / "kept.txt").write_text("kept")
    (project / "folder" / "leaf").write_text("leaf")
    (project / "other" / "leaf").write_text("other leaf")
    (project / "model.pt").write_bytes(b"old")
    with contextlib.closing(sqlite3.connect(project / "data.db")) as database, database:
        database.execute("create table t (x)")
        database.execute("insert into t values (1)")


def _outside(root: Path) -> dict[str, object]:
    return {name: fingerprint(root / name) for name in ("project", "elsewhere")}


IN_EVERY_STYLE = """
import json, os, sys, traceback
failed, here = {}, os.getcwd()
for style, code in json.loads(sys.argv[1]).items():
    os.chdir(os.path.join(here, style))
    try:
        exec(code, {})
    except BaseException:
        failed[style] = traceback.format_exc()
print(json.dumps(failed))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTECTING)
def test_every_style_of_writing_works_in_the_view_and_changes_nothing_outside(name: str, root: Path) -> None:
    """In one process, each in a folder of its own."""
    styles = {style: code for style, code in STYLES.items() if style != "safetensors" or find_spec(style) is not None}
    for style in styles:
        lay_out(root / "project" / style)
    isolation = isolation_for(name, root / "project", root / "scratch")
    before = _outside(root)
    code, failed, stderr = run(isolation, IN_EVERY_STYLE, root / "logs", json.dumps(styles))
    assert (code, json.loads(failed), stderr) == (0, {}, "")
    assert _outside(root) == before


@pytest.mark.parametrize("where", OUTSIDE)
@pytest.mark.parametrize("name", PROTECTING)
def test_writing_by_an_absolute_path_changes_nothing(name: str, where: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    before = _outside(root)
    path = OUTSIDE[where].format(root=root)
    code, _, stderr = run(isolation, "import sys; open(sys.argv[1], 'w').write('spoilt')", root / "logs", path)
    assert code == (0 if name == "overlay" else 1), stderr
    assert _outside(root) == before


@pytest.mark.parametrize("folder", ["~", "/tmp", "/var/tmp", "~/.cache"])
def test_home_cache_and_temporary_folders_are_writable_in_the_overlay(folder: str, root: Path) -> None:
    isolation = isolation_for("overlay", root / "project", root / "scratch")
    path = Path(folder).expanduser() / f"advisor-test-{os.getpid()}"
    if not os.access(path.parent if path.parent.exists() else path.parent.parent, os.W_OK):
        pytest.skip(f"{folder} is not writable outside either")
    code, _, stderr = run(
        isolation,
        "import os, sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); open(sys.argv[1], 'w').close()",
        root / "logs",
        str(path),
    )
    assert (code, stderr) == (0, "")
    assert not path.exists()


@pytest.mark.parametrize("name", PROTECTING)
def test_what_is_written_to_an_own_folder_is_truly_written(name: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    run(isolation, "import sys; open(sys.argv[1] + '/real', 'w').write('yes')", root / "logs", str(root / "logs"))
    assert (root / "logs" / "real").read_text() == "yes"


@pytest.mark.parametrize("name", PROTECTING)
def test_a_unix_socket_in_an_own_folder_can_be_reached(name: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "logs" / "s"))
        server.listen()
        server.settimeout(20)
        code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'hello')"
        with running(isolation, code, root / "logs", str(root / "logs" / "s")):
            connection, _ = server.accept()
            with connection:
                assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("name", PROTECTING)
def test_a_service_of_another_program_can_be_reached_by_its_unix_socket(name: str, root: Path) -> None:
    """An overlay alone answers with "connection refused": its file is not the one that the service has bound."""
    isolation = isolation_for(name, root / "project", root / "scratch")
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/service")
        server.listen()
        before = Path(short, "service").stat()
        code = (
            "import os, socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
            "try: os.chmod(sys.argv[1], 0)\nexcept OSError: pass"
        )
        assert run(isolation, code, root / "logs", f"{short}/service") == (0, "", "")
        assert Path(short, "service").stat().st_mode == before.st_mode


def test_the_script_sees_itself_as_outside(root: Path) -> None:
    isolation = isolation_for("overlay", root / "project", root / "scratch")
    code = (
        "import os, sys, json; print(json.dumps([os.getuid(), os.getgid(), os.getcwd(), sys.argv, os.uname().nodename,"
        " os.statvfs('/dev/shm').f_blocks, os.stat('kept.txt').st_uid, os.environ.get('HOME'),"
        " [os.stat(path).st_mode for path in ('/', '/tmp', '/var/tmp', '.')]]))"
    )
    import json

    args = ["a b", "", "--", "-m"]
    plain = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=root / "project", capture_output=True, text=True, check=True
    )
    _, inside, _ = run(isolation, code, root / "logs", *args)
    assert json.loads(inside) == json.loads(plain.stdout)


@pytest.mark.parametrize("name", PROTECTING)
def test_loader_workers_and_semaphores_work(name: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    code = """
import multiprocessing as m, os
from multiprocessing import shared_memory
def work(lock, queue, block):
    with lock:
        attached = shared_memory.SharedMemory(block)
        queue.put(bytes(attached.buf[:2]))
if __name__ == "__main__":
    context = m.get_context("fork")
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[:2] = b"ok"
    lock, queue = context.Lock(), context.Queue()
    workers = [context.Process(target=work, args=(lock, queue, block.name)) for _ in range(2)]
    [w.start() for w in workers]
    print([queue.get(timeout=20) for _ in workers])
    [w.join() for w in workers]
    block.close(); block.unlink()
"""
    _, stdout, stderr = run(isolation, code, root / "logs")
    assert stdout == "[b'ok', b'ok']\n", stderr


def test_shared_memory_is_private_in_the_overlay(root: Path) -> None:
    isolation = isolation_for("overlay", root / "project", root / "scratch")
    name = f"/dev/shm/advisor-test-{os.getpid()}"
    run(isolation, f"open({name!r}, 'w').close()", root / "logs")
    assert not Path(name).exists()


@pytest.mark.parametrize("name", PROTECTING)
def test_devices_stay_usable(name: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    code = "import pty; open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(1); pty.openpty()"
    assert run(isolation, code, root / "logs")[0] == 0


def test_a_full_scratch_folder_is_the_scripts_error_and_leaves_the_files_alone(root: Path) -> None:
    isolation_for("overlay", root / "project", root / "scratch")
    isolation = Overlay(project=root / "project", scratch=root / "scratch", in_memory=True, memory_bytes=8 << 20)
    before = _outside(root)
    code = "open('kept.txt', 'wb').write(bytes(32 << 20))"
    returncode, _, stderr = run(isolation, code, root / "logs")
    assert returncode == 1
    assert "No space left on device" in stderr
    assert _outside(root) == before


def test_changes_can_be_held_in_memory(root: Path) -> None:
    isolation_for("overlay", root / "project", root / "scratch")
    isolation = Overlay(project=root / "project", scratch=root / "scratch", in_memory=True)
    before = _outside(root)
    assert run(isolation, STYLES["shutil"], root / "logs")[0] == 0
    assert _outside(root) == before


def test_the_overlay_works_without_a_process_namespace(root: Path) -> None:
    isolation_for("overlay", root / "project", root / "scratch")
    isolation = Overlay(project=root / "project", scratch=root / "scratch", processes=False)
    before = _outside(root)
    assert run(isolation, STYLES["open"], root / "logs")[0] == 0
    assert _outside(root) == before


def test_folder_names_with_option_characters_work(tmp_path: Path) -> None:
    project, logs = tmp_path / "a,b:c\\d e", tmp_path / "logs"
    project.mkdir()
    logs.mkdir()
    isolation = isolation_for("overlay", project, project / "scratch")
    assert run(isolation, "open('x', 'w').close()", logs)[0] == 0
    assert not (project / "x").exists()


@pytest.mark.parametrize("name", [*PROTECTING, "copy"])
def test_the_scratch_folder_is_empty_afterwards(name: str, root: Path) -> None:
    isolation = isolation_for(name, root / "project", root / "scratch")
    run(
        isolation,
        "import os; os.makedirs('deep/er'); open('deep/er/x', 'w').close(); os.chmod('deep', 0)",
        root / "logs",
    )
    del isolation  # with what its views share
    gc.collect()
    assert list((root / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("open('{p}/kept.txt', 'w').write('new')", ("modified kept.txt",)),
        ("import os; os.unlink('{p}/kept.txt')", ("deleted kept.txt",)),
        ("open('{p}/made', 'w')", ("created made",)),
        ("import os; os.utime('{p}/kept.txt', (1, 1))", ("modified kept.txt",)),
        ("pass", ()),
    ],
)
@pytest.mark.parametrize("name", ["copy", "none"])
def test_unprotected_tiers_tell_what_changed(name: str, action: str, expected: tuple[str, ...], root: Path) -> None:
    isolation = choose(name, project=root / "project", scratch=root / "scratch")
    env = dict(os.environ)
    from advisor.runtime.processes import start

    code = action.format(p=root / "project")
    with (
        isolation.prepare(root / "project", writable=[root / "logs"]) as view,
        start([sys.executable, "-c", code], cwd=view.cwd, env=env, logs=root / "logs", view=view) as process,
    ):
        assert process.wait(30) == 0
    assert view.changed_files == expected


def test_relative_writes_stay_in_the_copy(root: Path) -> None:
    isolation = choose("copy", project=root / "project", scratch=root / "scratch")
    before = _outside(root)
    assert run(isolation, STYLES["shutil"], root / "logs")[0] == 0
    assert _outside(root) == before


def test_automatic_choice_protects(root: Path) -> None:
    for name in PROTECTING:
        isolation_for(name, root / "project", root / "scratch")
    assert choose("auto", project=root / "project", scratch=root / "scratch").name == "overlay"


def test_an_own_folder_that_holds_the_project_is_refused(root: Path) -> None:
    """It would be truly writable, and the project with it."""
    isolation = isolation_for("overlay", root / "project", root / "scratch")
    with (
        pytest.raises(UsageError, match="contains the project folder"),
        isolation.prepare(root / "project", writable=[root]),
    ):
        pass


def test_an_unknown_tier_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="unknown isolation 'chroot': expected one of auto, overlay, landlock, copy, none"
    ):
        choose("chroot", project=tmp_path, scratch=tmp_path / "scratch")


def test_a_tier_that_fails_is_told_with_its_reason(root: Path) -> None:
    """A scratch folder that nobody can write to makes every tier fail."""
    (root / "scratch").write_text("a file")
    with pytest.raises(IsolationError, match=r"no isolation works here .*overlay: .*landlock: .*without protection"):
        choose("auto", project=root / "project", scratch=root / "scratch")


@pytest.mark.slow
def test_advisor_killed_leaves_no_process_and_no_mount(root: Path) -> None:

    from .isolation_tools import with_marker

    isolation_for("overlay", root / "project", root / "scratch")
    marker = f"advisor-marker-{os.getpid()}"
    driver = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from runtime.isolation_tools import running
from advisor.runtime.isolation import choose
tier = choose("overlay", project=Path({str(root / "project")!r}), scratch=Path({str(root / "scratch")!r}))
with running(tier, "import time; time.sleep(600)", Path({str(root / "logs")!r}), {marker!r}) as p:
    p.wait(600)
"""
    process = subprocess.Popen([sys.executable, "-c", driver])
    try:
        assert wait_until(lambda: (root / "logs" / "script.stdout").exists() and with_marker(marker))
    finally:
        process.kill()
        process.wait(20)
    assert wait_until(lambda: not with_marker(marker))
    assert list((root / "scratch").iterdir()), "nothing was left to sweep: the test does not test"
    assert scratch.sweep(root / "scratch")
    assert list((root / "scratch").iterdir()) == []
