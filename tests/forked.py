"""Scripts in processes that are forked from one which has imported torch.

To import it takes longer than most of what they do, and the end of an interpreter that holds it half as long.
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
from dataclasses import dataclass
from pathlib import Path

SERVER = """
import atexit, gc, json, os, runpy, sys, threading, traceback, warnings
import torch, torch._dynamo, torch.utils.data

def asked():
    '''Goes on in the process of a script; ends with the tests.'''
    for line in sys.stdin:
        script = os.fork()
        if script == 0:
            return json.loads(line)
        print(script, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(script, 0)[1]), flush=True)
    sys.exit()

def run(path):
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

gc.collect()
gc.freeze()
given = asked()
os.setsid()
os.chdir(given["folder"])
os.environ.clear()
os.environ.update(given["environment"])
for number, path in ((0, os.devnull), (1, given["out"]), (2, given["err"])):
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, number)
    os.close(opened)
sys.argv[:] = given["argv"]
sys.path[:1] = [given["folder"], *filter(None, given["environment"].get("PYTHONPATH", "").split(os.pathsep))]
if given["strict"]:
    warnings.simplefilter("error")
code = run(given["argv"][0])
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str


def run(
    folder: Path,
    script: str,
    *args: str,
    limit_s: float,
    environment: dict[str, str] | None = None,
    strict: bool = False,
) -> Ended:
    """The script of this name in `folder`, as `python script args` there; `strict`: every warning is an error."""
    out, err = folder / f"{script}.out", folder / f"{script}.err"
    given = {
        "folder": str(folder),
        "argv": [script, *args],
        "environment": dict(os.environ) if environment is None else environment,
        "out": str(out),
        "err": str(err),
        "strict": strict,
    }
    server = _server()
    assert server.stdin is not None
    server.stdin.write(json.dumps(given).encode() + b"\n")
    pid = int(_line(server, limit_s) or 0)
    code = _line(server, limit_s)
    if code is None:
        os.killpg(pid, signal.SIGKILL)
        raise AssertionError(f"it took longer than {limit_s:g} s: {_line(server, limit_s)} {err.read_text()}")
    found = Ended(code=int(code), out=out.read_text(), err=err.read_text())
    out.unlink()
    err.unlink()
    return found


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
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
    assert line, "the process that scripts are forked from has ended"
    return line.decode().strip()
