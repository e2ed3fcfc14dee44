"""`advisor run -m`: a module runs as `python -m` runs it, with settings and without."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow(25)

LIMIT_S = 200
TRAIN = """
import __main__, json, multiprocessing, pickle, sys
import torch
from . import config
from .parts import layers

class Own: pass

def scaled(value):
    return value * config.RATE

if __name__ == "__main__":
    print(__name__, __package__, __spec__.name, type(__spec__.loader).__name__, __file__, sys.argv, sys.path[0])
    print(sys.orig_argv[1:], __main__ is sys.modules["__main__"], __main__.__dict__ is globals())
    print(sorted(name for name in globals() if name.startswith("__")), pickle.dumps(Own()))
    print(sorted(name for name in sys.modules if name.startswith("project")))
    model = layers.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(scaled, [1, 2]))
    sys.exit(7)
"""
FILES = {
    "project/__init__.py": "",
    "project/__main__.py": "import sys\nprint(__name__, __package__, __spec__.name, sys.argv)\n",
    "project/config.py": "RATE = 3\n",
    "project/parts/__init__.py": "",
    "project/parts/layers.py": "import torch\ndef model(): return torch.nn.Linear(2, 2)\n",
    "project/train.py": TRAIN,
    "no_package/module.py": "import sys\nprint(__name__, __package__, sys.argv[1:])\nraise SystemExit('ended')\n",
}


def ended(folder: Path, *words: str) -> tuple[int, str, list[str]]:
    """Exit code, stdout, and the lines of stderr that are not advisor's."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stdout, [line for line in done.stderr.splitlines() if not line.startswith("advisor:")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("modules")
    for name, text in FILES.items():
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_text(text)
    return found


@functools.cache
def alone(folder: Path, module: str) -> tuple[int, str, list[str]]:
    return ended(folder, module, "--lr", "1", "-m")


@pytest.mark.parametrize("settings", ["threads: 1", ""])
@pytest.mark.parametrize(
    ("module", "code"),
    [("project.train", 7), ("project", 0), ("no_package.module", 1), ("project.missing", 1), ("missing", 1)],
)
def test_a_module_runs_as_python_runs_it(module: str, code: int, settings: str, folder: Path) -> None:
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{{settings}}}\n")
    plain = alone(folder, module)
    assert plain[0] == code
    assert ended(folder, "advisor", "run", "--config", "advisor.yaml", "-m", module, "--lr", "1", "-m") == plain
