"""The user's files are byte-identical after a profile; the tiers that cannot promise it tell what changed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from .commands import BRIEF, TOO_FEW, WILD, Desk, digests, training

pytestmark = pytest.mark.slow

MESS = """
import pathlib, shutil, sqlite3, subprocess, tempfile
import numpy as np
home, temporary = pathlib.Path.home(), pathlib.Path(tempfile.gettempdir())
torch.save({'new': 1}, 'best.pt')
np.save('array.npy', np.zeros(3))
for folder in (pathlib.Path('.').absolute(), home, temporary):
    (folder / 'kept.txt').write_text('spoilt')
    (folder / 'deleted.txt').unlink()
    (folder / 'old').rename(folder / 'new')
    (folder / 'made').mkdir()
    (folder / 'half').write_text('x')
    os.replace(folder / 'half', folder / 'replaced.txt')
    os.chmod(folder / 'kept.txt', 0o777)
    shutil.rmtree(folder / 'tree')
    with sqlite3.connect(folder / 'runs.db') as database:
        database.execute('insert into runs values (2)')
    subprocess.run(['sh', '-c', f'echo spoilt >> {folder}/log.txt'], check=True)
"""


DAEMON = """
address = tempfile.mkdtemp(dir="/tmp") + "/s"
code = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({address!r}); s.listen(); s.accept()"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
client = socket.socket(socket.AF_UNIX)
for _ in range(600):
    try:
        client.connect(address)
        break
    except OSError:
        time.sleep(0.05)
"""


def lay_out(folder: Path) -> None:
    import sqlite3

    (folder / "old").mkdir(parents=True, exist_ok=True)
    (folder / "tree" / "deep").mkdir(parents=True)
    for name in ("kept.txt", "deleted.txt", "replaced.txt", "log.txt", "old/one.txt", "tree/deep/two.txt"):
        (folder / name).write_text(f"the user's {name}")
    with sqlite3.connect(folder / "runs.db") as database:
        database.execute("create table runs (number)")
    database.close()


@pytest.mark.parametrize("isolation", ["overlay", "landlock"])
def test_project_home_and_temporary_files_are_byte_identical(isolation: str, desk: Desk) -> None:
    places = {"HOME": desk.folder / "home", "TMPDIR": desk.folder / "temporary"}
    name = desk.script(training(setup=MESS, updates=BRIEF))
    for folder in (desk.project, *places.values()):
        lay_out(folder)
    desk.environment |= {key: str(folder) for key, folder in places.items()}
    before = digests(desk.project, *places.values())
    done = desk.profile(name, options=["--isolation", isolation])
    if done.code == 5:
        pytest.skip(done.last_line)
    # Under Landlock writing to the home is refused, and this script does not survive that; its files do.
    assert done.code == TOO_FEW or isolation == "landlock", done.stderr
    assert digests(desk.project, *places.values()) == before


def test_the_repository_of_the_user_is_untouched(desk: Desk) -> None:
    name = desk.script(
        training(setup="import subprocess\nsubprocess.run(['git', 'commit', '-qam', 'by the script'])", updates=BRIEF)
    )
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(desk.project), *words], check=True, timeout=30)
    before = digests(desk.project)
    assert desk.profile(name).code == TOO_FEW
    assert digests(desk.project) == before


@pytest.mark.parametrize("isolation", ["none", "copy"])
def test_an_unprotected_run_says_so_and_what_changed(isolation: str, desk: Desk) -> None:
    where = "." if isolation == "none" else str(desk.project)  # in a copy only an absolute path leads back
    name = desk.script(
        training(setup=f"open('{where}/log.txt', 'a').write('x')\nopen('{where}/made', 'w').close()", updates=BRIEF)
    )
    (desk.project / "log.txt").write_text("first line")
    done = desk.profile(name, options=["--isolation", isolation])
    isolation = done.json["isolation"]
    assert isolation["promise"].startswith("UNPROTECTED")
    assert isolation["changed_files"] == ["modified log.txt", "created made"], isolation
    shown = desk.advisor("report", "--runs", desk.runs).stdout
    assert "UNPROTECTED" in shown
    assert "log.txt" in shown


def test_runs_inside_the_project_are_no_trouble(desk: Desk) -> None:
    desk.script(training())
    done = desk.advisor("profile", "--runs", "runs", "--json", "--budget", "1", "--isolation", "copy", "train.py")
    assert (done.code, done.json["steps"]["updates"] > 0) == (0, True), done.stderr
    shutil.rmtree(desk.project / "runs")


@pytest.mark.parametrize("isolation", ["overlay", "landlock", "copy", "none"])
def test_a_network_connection_is_told_at_once_and_in_the_report(isolation: str, desk: Desk) -> None:
    connect = """
import socket
try:
    socket.create_connection(("192.0.2.1", 443), timeout=0.2)
except OSError:
    pass
"""
    done = desk.profile(desk.script(training(setup=connect, updates=BRIEF)), options=["--isolation", isolation])
    if done.code == 5:
        pytest.skip(done.last_line)
    assert (done.code, "connects to 192.0.2.1:443" in done.stderr) == (TOO_FEW, True), done.stderr
    shown = " ".join(desk.advisor("report", "--runs", desk.runs).stdout.split())
    assert "the script opened a network connection (192.0.2.1:443)" in shown


def test_a_service_on_this_machine_that_answers_is_told_too(desk: Desk) -> None:
    """A database on the same machine is undone as little as one elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5).close()"
        done = desk.profile(desk.script(training(setup=connect, updates=BRIEF)))
    assert (done.code, f"connects to 127.0.0.1:{port}" in done.stderr) == (TOO_FEW, True), done.stderr


def test_a_service_behind_a_unix_socket_is_told_too(desk: Desk) -> None:
    """A container engine, for one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as service:
        address = f"{short}/service.sock"
        service.bind(address)
        service.listen()
        connect = f"import socket\nsocket.socket(socket.AF_UNIX).connect({address!r})"
        done = desk.profile(desk.script(training(setup=connect, updates=BRIEF)))
    assert (done.code, f"connects to the Unix socket {address}" in done.stderr) == (TOO_FEW, True), done.stderr


@pytest.mark.parametrize("isolation", ["overlay", "none"])
def test_a_script_that_talks_to_itself_or_to_nobody_is_no_matter(isolation: str, desk: Desk) -> None:
    own = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
import multiprocessing, subprocess, tempfile, time
with multiprocessing.Manager() as manager:
    assert list(manager.list([1])) == [1]
"""
    if isolation == "overlay":  # without a namespace of its own, a session of its own looks like another program
        own += DAEMON
    options = ["--isolation", isolation]
    done = desk.profile(desk.script(training(setup=own, updates=BRIEF)), options=options, forks=False)
    if done.code == 5:
        pytest.skip(done.last_line)
    assert (done.code, "connects to" in done.stderr) == (TOO_FEW, False), done.stderr
    assert "connects to" not in desk.profile(WILD / "reports_home.py").stderr
