"""What stands between the launch file and the script: the connection, the version, hooks that fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.agent.base.channel import EXIT_NO_CONTROLLER
from advisor.agent.runner import EXIT_AGENT_FAILED, _Ending
from advisor.wire import WIRE_VERSION

from .launched import BOOTSTRAP, LIMIT_S, advised, plain


def start(folder: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    """Starts a script that prints `ran`, with nobody at the other end of the socket."""
    (folder / "script.py").write_text("print('ran')\n", encoding="utf-8")
    spec = {
        "version": WIRE_VERSION,
        "socket": str(folder / "nobody"),
        "token": "secret",
        "target": "script.py",
        "is_module": False,
        "args": [],
        **changes,
    }
    launch_file = folder / "launch.json"
    launch_file.write_text(json.dumps(spec), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(BOOTSTRAP), str(launch_file)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_probe_without_a_controller_does_not_run_the_script(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_NO_CONTROLLER, "")


def test_a_probe_without_a_controller_says_where_it_looked(tmp_path: Path) -> None:
    assert str(tmp_path / "nobody") in start(tmp_path).stderr


def test_a_real_run_goes_on_without_a_controller(tmp_path: Path) -> None:
    done = start(tmp_path, mode="run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_another_version_is_refused(tmp_path: Path) -> None:
    done = start(tmp_path, version=WIRE_VERSION + 1)
    assert done.returncode == EXIT_AGENT_FAILED
    assert f"version {WIRE_VERSION + 1}" in done.stderr


def test_a_probe_ends_when_its_controller_goes(tmp_path: Path) -> None:
    """The controller reads the first line and closes; the next thing that is sent finds nobody."""
    import socket

    text = "import socket, time\nfor i in range(600):\n    s = socket.socket()\n    s.settimeout(0.1)\n"
    text += "    s.connect_ex(('192.0.2.1', 1 + i % 9))\nprint('went on')\n"
    (tmp_path / "long.py").write_text(text, encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "somebody"))
        listening.listen()
        listening.settimeout(LIMIT_S)
        spec = {
            "version": WIRE_VERSION,
            "socket": str(tmp_path / "somebody"),
            "token": "t",
            "target": "long.py",
            "is_module": False,
            "args": [],
        }
        (tmp_path / "launch.json").write_text(json.dumps(spec), encoding="utf-8")
        with subprocess.Popen(
            [sys.executable, str(BOOTSTRAP), str(tmp_path / "launch.json")],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            connection, _ = listening.accept()
            connection.recv(1)
            connection.close()
            out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (EXIT_NO_CONTROLLER, b"")
    assert b"the controller is gone" in err


def test_only_light_modules_are_loaded_before_the_script(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "script.py").write_text("import sys\nprint(*sys.modules)\n", encoding="utf-8")
    # What an environment's own start-up loads is not ours.
    loaded = set(advised(folder, "script.py").out.split()) - set(plain(folder, "script.py").out.split())
    assert not loaded & {"torch", "numpy", "asyncio", "subprocess", "pathlib", "tempfile", "logging", "email", "http"}


class Told:
    """An agent that keeps what it was told."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def finished(self, exit_code: int) -> None:
        self.codes.append(exit_code)

    def crashed(self, *_: object) -> None:
        raise AssertionError("nothing crashed")


def test_the_end_is_told_once() -> None:
    told = Told()
    ending = _Ending(told)
    ending.exit_code = 3
    ending.report()
    ending.report()
    assert told.codes == [3]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_end_of_a_forked_child_is_not_told() -> None:
    told = Told()
    ending = _Ending(told)
    child = os.fork()
    if child == 0:
        ending.report()
        os._exit(len(told.codes))
    assert os.waitpid(child, 0)[1] == 0
