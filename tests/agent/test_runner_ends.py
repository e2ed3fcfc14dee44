"""How a script ends: exit code and stderr as under plain Python, and what the controller hears of it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from .launched import Ended, advised, plain

ENDS = {
    "error": "def f(x):\n    return 1 / x\n\nf(0)\n",
    "nested imports": "import outer\n",
    "syntax error": "x = 1\nprint(x\ny = 2\n",
    "indentation error": "if True:\nprint(1)\n",
    "syntax error of an import": "import broken\n",
    "cause": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('wrapped') from error\n",
    "context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    {}['missing']\n",
    "suppressed": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('alone') from None\n",
    "group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])\n",
    "notes": "error = ValueError(1)\nerror.add_note('said')\nraise error\n",
    "import_module": "import importlib\nimportlib.import_module('failing')\n",
    "no such module": "import nothing_of_that_name\n",
    "own runpy": "import runpy\nrunpy.run_path('failing.py')\n",
    "own hook": (
        "import sys\n"
        "def hook(kind, error, tb): print('hook', kind, tb.tb_frame.f_code.co_name, tb.tb_next)\n"
        "sys.excepthook = hook\n"
        "1 / 0\n"
    ),
    "base exception": "class Stop(BaseException): pass\nraise Stop('now')\n",
    "no text": "class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad\n",
    "exit": "import sys; sys.exit()",
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "import sys; sys.exit(3)",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit text": "import sys; sys.exit('grüße')",
    "exit tuple": "import sys; sys.exit((1, 2))",
    "exit True": "import sys; sys.exit(True)",
    "raise SystemExit": "raise SystemExit('out') from ValueError(1)\n",
    "argparse": "import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\np.parse_args(['x'])\n",
    "os._exit": "import os; print('x', flush=True); os._exit(7)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "aborted": "import os; os.abort()",
    "interrupted": "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "raise KeyboardInterrupt": "raise KeyboardInterrupt\n",
    "atexit": "import atexit\natexit.register(print, 'first')\natexit.register(print, 'second')\nprint('body')\n",
    "atexit error": "import atexit\natexit.register(int, 'x')\n",
    "thread": "import threading as t, time\nt.Thread(target=lambda: [time.sleep(.3), print(1)]).start()\nprint(2)\n",
    "thread error": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T')\nt.start(); t.join()\n",
    "finaliser": "class A:\n    def __del__(self): print('gone')\na = A()\n",
    "warning": "import warnings\nwarnings.warn('careful')\n",
    "fork ends": "import os, sys\nif os.fork() == 0: sys.exit(5)\nprint(os.wait()[1])\n",
    "fork fails": "import os, sys\nif os.fork() == 0: 1 / 0\nprint(os.wait()[1])\n",
}
HELPERS = {
    "outer.py": "import inner\n",
    "inner.py": "def g():\n    raise LookupError('deep')\ng()\n",
    "broken.py": "def (:\n",
    "failing.py": "raise OSError('failing')\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in HELPERS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def ended(project: Path, text: str, *, mode: str = "probe") -> Ended:
    (project / "script.py").write_text(text, encoding="utf-8")
    return advised(project, "script.py", mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_a_script_ends_as_under_plain_python(project: Path, name: str) -> None:
    (project / "script.py").write_text(ENDS[name], encoding="utf-8")
    expected = plain(project, "script.py")
    seen = advised(project, "script.py")
    assert (seen.out, seen.err, seen.code) == (expected.out, expected.err, expected.code)


@pytest.mark.parametrize("text", [b"x = 1\0\nprint(x)\n", b"# one\n# t\0wo\n", b"print(1)\n\0\0"])
def test_a_script_with_nul_bytes_ends_as_under_plain_python(project: Path, text: bytes) -> None:
    (project / "script.py").write_bytes(text)
    expected = plain(project, "script.py")
    seen = advised(project, "script.py")
    assert (seen.out, seen.err, seen.code) == (expected.out, expected.err, expected.code)


@pytest.mark.parametrize("name", ["error", "nested imports", "exit text", "syntax error", "interrupted", "context"])
def test_a_real_run_ends_so_too(project: Path, name: str) -> None:
    (project / "script.py").write_text(ENDS[name], encoding="utf-8")
    expected = plain(project, "script.py")
    seen = advised(project, "script.py", mode="run")
    assert (seen.out, seen.err, seen.code) == (expected.out, expected.err, expected.code)


def test_a_module_shows_its_own_frames_without_the_ones_that_start_it(project: Path) -> None:
    expected = plain(project, "inner", is_module=True)
    seen = advised(project, "inner", is_module=True)
    assert seen.code == expected.code
    without_runpy = [line for line in expected.err.splitlines() if "<frozen runpy>" not in line]
    assert seen.err.splitlines() == without_runpy


@pytest.mark.parametrize("module", ["nothing_of_that_name", "email", "nothing.inner", "script.py"])
def test_a_module_that_cannot_be_run(project: Path, module: str) -> None:
    expected = plain(project, module, is_module=True)
    seen = advised(project, module, is_module=True)
    assert (seen.err, seen.code) == (expected.err, expected.code)


def test_an_interrupt_ends_by_the_signal(project: Path) -> None:
    assert ended(project, ENDS["interrupted"]).code == -signal.SIGINT


def test_endless_recursion_ends_where_it_ends_alone(project: Path) -> None:
    (project / "script.py").write_text("def f(): f()\nf()\n", encoding="utf-8")
    assert advised(project, "script.py").err == plain(project, "script.py").err


def test_a_crash_is_told_with_its_chain(project: Path) -> None:
    (crashed,) = ended(project, ENDS["cause"]).of("Crashed")
    assert crashed["kind"] == "crash"
    assert crashed["exceptions"] == ["ValueError: wrapped", "ZeroDivisionError: division by zero"]
    assert "script.py" in crashed["traceback"]


def test_the_told_traceback_is_the_shown_one(project: Path) -> None:
    seen = ended(project, ENDS["nested imports"])
    assert seen.of("Crashed")[0]["traceback"] == seen.err


def test_an_end_without_an_exception_is_no_crash(project: Path) -> None:
    assert ended(project, ENDS["exit 3"]).of("Crashed") == []


def test_an_interrupt_is_no_crash(project: Path) -> None:
    assert ended(project, ENDS["raise KeyboardInterrupt"]).of("Crashed") == []


def test_a_forked_child_tells_nothing(project: Path) -> None:
    assert ended(project, ENDS["fork fails"]).of("Crashed") == []


OUT_OF_MEMORY = {
    "MemoryError": "raise MemoryError",
    "torch's class": "class OutOfMemoryError(RuntimeError): pass\nraise OutOfMemoryError('CUDA: tried to allocate')",
    "wrapped": "try:\n    raise RuntimeError('out of memory')\nexcept Exception as e:\n    raise ValueError from e",
    "CPU allocator": "raise RuntimeError('[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory')",
    "no memory": "import errno\nraise OSError(errno.ENOMEM, 'Cannot allocate memory')",
    "in a group": "raise ExceptionGroup('g', [ValueError(1), MemoryError()])",
    "given up": "import sys\ntry:\n    raise MemoryError\nexcept MemoryError:\n    sys.exit(1)",
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_out_of_memory_is_told_as_such(project: Path, name: str) -> None:
    (crashed,) = ended(project, OUT_OF_MEMORY[name]).of("Crashed")
    assert crashed["kind"] == "oom"


def test_a_script_that_recovers_from_out_of_memory_has_not_crashed(project: Path) -> None:
    text = "import sys\ntry:\n    raise MemoryError\nexcept MemoryError:\n    sys.exit(0)"
    assert ended(project, text).of("Crashed") == []


def test_a_long_traceback_is_cut(project: Path) -> None:
    text = "raise ExceptionGroup('g', [ValueError('x' * 1000) for _ in range(1000)])"
    (crashed,) = ended(project, text).of("Crashed")
    assert len(crashed["traceback"]) < 21_000


def test_a_failing_import_that_is_waited_for_shows_no_frame_of_ours(project: Path) -> None:
    (project / "wandb.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    (project / "script.py").write_text("import wandb\n", encoding="utf-8")
    assert advised(project, "script.py").err == plain(project, "script.py").err


def test_an_import_that_fails_in_its_code_shows_no_frame_of_ours(project: Path) -> None:
    (project / "mlflow.py").write_text("1 / 0\n", encoding="utf-8")
    (project / "script.py").write_text("import mlflow\n", encoding="utf-8")
    assert advised(project, "script.py").err == plain(project, "script.py").err


def test_a_refused_connection_shows_no_frame_of_ours(project: Path) -> None:
    text = "import socket\nsocket.create_connection(('127.0.0.1', 9), timeout=5)\n"
    (project / "script.py").write_text(text, encoding="utf-8")
    assert advised(project, "script.py").err == plain(project, "script.py").err


def test_network_connections_are_told_once(project: Path) -> None:
    text = (
        "import socket\n"
        "for _ in range(3):\n"
        "    s = socket.socket()\n"
        "    s.settimeout(0.01)\n"
        "    s.connect_ex(('192.0.2.1', 443))\n"
        "    s.close()\n"
        "s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9)); s.close()\n"
    )
    assert ended(project, text).notes("network") == ["192.0.2.1:443"]


def test_a_look_up_that_fails_is_told(project: Path) -> None:
    text = "import socket\ntry: socket.create_connection(('nothing.invalid', 80))\nexcept OSError: pass\n"
    assert ended(project, text).notes("network") == ["nothing.invalid:80"]


def test_a_real_run_is_not_watched(project: Path) -> None:
    text = "import socket; s = socket.socket(); s.settimeout(0.01); s.connect_ex(('192.0.2.1', 443))\n"
    assert ended(project, text, mode="run").of("Note") == []


def test_python_is_the_one_that_was_asked_for(project: Path) -> None:
    assert ended(project, "pass").messages[0]["python"] == sys.version.split()[0]
