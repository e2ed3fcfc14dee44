"""Cases in a process of their own: what a knob leaves behind must not reach the next test.

Each is forked from a process that has imported torch, and no more: to import it takes longer than most cases.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

SERVER = """
import json, os, runpy, sys
import torch, torch._dynamo, torch.utils.data

def asked():
    '''Goes on in the process of a case; ends with the tests.'''
    for line in sys.stdin:
        case = os.fork()
        if case == 0:
            return json.loads(line)
        print(case, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(case, 0)[1]), flush=True)
    sys.exit()

case = asked()
os.setsid()
os.chdir(case["folder"])
os.environ.clear()
os.environ.update(case["environment"])
for number, path in ((0, os.devnull), (1, case["out"]), (2, case["err"])):
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, number)
    os.close(opened)
sys.argv[:] = ["case.py"]
sys.path.insert(0, case["folder"])
runpy.run_path("case.py", run_name="__main__")
"""


def says(folder: Path, *code: str, limit_s: float) -> str:
    """What these pieces of code print, one behind the other; every warning in them is an error."""
    (folder / "case.py").write_text("".join(map(textwrap.dedent, code)))
    out, err = folder / "case.out", folder / "case.err"
    case = {"folder": str(folder), "environment": _environment(), "out": str(out), "err": str(err)}
    server = _server()
    assert server.stdin is not None
    server.stdin.write(json.dumps(case).encode() + b"\n")
    pid = int(_line(server, limit_s) or 0)
    code_of_end = _line(server, limit_s)
    if code_of_end is None:
        os.killpg(pid, signal.SIGKILL)
        raise AssertionError(f"it took longer than {limit_s:g} s: {_line(server, limit_s)} {err.read_text()}")
    assert code_of_end == "0", (code_of_end, err.read_text())
    return out.read_text().strip()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what is read ahead would not be seen by `select`
    )

    def end() -> None:
        process.communicate(timeout=60)

    atexit.register(end)
    return process


def _line(server: subprocess.Popen[bytes], limit_s: float) -> str | None:
    """What the server says next; None where it says nothing for so long."""
    assert server.stdout is not None
    if not select.select([server.stdout], [], [], limit_s)[0]:
        return None
    line = server.stdout.readline()
    assert line, "the process that the cases are forked from has ended"
    return line.decode().strip()
