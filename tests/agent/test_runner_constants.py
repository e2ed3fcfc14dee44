"""Constants that are set before the script runs: it has other values, and is otherwise the file that it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from advisor.agent.runner import EXIT_AGENT_FAILED

from .launched import Ended, advised, plain

SCRIPT = '''\
"""Doc."""
import inspect
import sys
from config import LR

BATCH = 64


def where():
    return sys._getframe().f_lineno


if __name__ == "__main__":
    print(BATCH, LR, where(), __doc__, __file__)
    print(inspect.getsource(where))
    print(sys.modules["config"].__file__, type(sys.modules["config"].__loader__).__name__)
    if "fail" in sys.argv:
        raise ValueError(BATCH)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    (made / "package").mkdir(parents=True)
    (made / "train.py").write_text(SCRIPT)
    (made / "config.py").write_text("LR = 0.1\n")
    (made / "package" / "__init__.py").write_text("print('package', __name__)\n")
    (made / "package" / "train.py").write_text(SCRIPT)
    (made / "package" / "__main__.py").write_text("ROWS = 1\nprint(ROWS, __name__)\n")
    return made


def run(folder: Path, target: str = "train.py", *args: str, constants: Any, **options: Any) -> Ended:
    return advised(folder, target, *args, mode="run", constants=constants, **options)


def test_the_script_and_its_module_have_the_values(folder: Path) -> None:
    expected = plain(folder, "train.py").out.replace("64 0.1", "128 0.5")
    done = run(folder, constants={"": {"BATCH": 128}, "config": {"LR": 0.5}})
    assert (done.out, done.err, done.code) == (expected, "", 0)
    assert "128 0.5" in done.out


def test_a_module_that_is_run_has_them(folder: Path) -> None:
    expected = plain(folder, "package.train", is_module=True).out.replace("64 0.1", "128 0.5")
    done = run(folder, "package.train", is_module=True, constants={"": {"BATCH": 128}, "config": {"LR": 0.5}})
    assert (done.out, done.err) == (expected, "")


@pytest.mark.parametrize("is_module", [True, False], ids=["-m package", "folder"])
def test_the_main_of_a_package_has_them(folder: Path, is_module: bool) -> None:
    done = run(folder, "package", is_module=is_module, constants={"": {"ROWS": 7}})
    assert (done.out.splitlines()[-1], done.err) == ("7 __main__", "")


def test_files_and_cached_bytecode_stay_as_they_are(folder: Path) -> None:
    plain(folder, "train.py")
    run(folder, constants={"": {"BATCH": 128}, "config": {"LR": 0.5}})
    assert "64 0.1" in plain(folder, "train.py").out
    (folder / "config.py").unlink()
    cached = next((folder / "__pycache__").glob("config.*.pyc"))
    cached.rename(folder / "config.pyc")
    assert "64 0.1" in plain(folder, "train.py").out


def test_a_traceback_shows_the_lines_of_the_file(folder: Path) -> None:
    done = run(folder, "train.py", "fail", constants={"": {"BATCH": 128}})
    assert done.code == 1
    assert done.err == plain(folder, "train.py", "fail").err.replace("Error: 64", "Error: 128")
    assert "line 18" in done.err


@pytest.mark.parametrize(
    ("constants", "why"),
    [
        ({"": {"GONE": 1}}, "it has no constant GONE"),
        ({"config": {"GONE": 1}}, "it has no constant GONE"),
    ],
)
def test_a_constant_that_is_gone_ends_the_run_with_the_reason(folder: Path, constants: Any, why: str) -> None:
    (folder / "train.py").write_text("import config\nprint('ran')\n")
    done = run(folder, constants=constants)
    assert (done.code, done.out) == (EXIT_AGENT_FAILED, "")
    assert why in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_processes_that_are_started_anew_are_told_of_once(folder: Path) -> None:
    text = (
        "import multiprocessing, sys\nBATCH = 64\n\ndef work():\n    print(BATCH, flush=True)\n\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn', 'spawn'):\n"
        "        process = multiprocessing.get_context(method).Process(target=work)\n"
        "        process.start(); process.join()\n"
    )
    (folder / "train.py").write_text(text)
    done = run(folder, constants={"": {"BATCH": 128}})
    assert done.out.split() == ["128", "64", "64"]
    assert done.err.count("advisor: processes that are started by spawn or forkserver import the script with") == 1
