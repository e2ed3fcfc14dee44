"""The real command on real scripts, and a look at what it leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked
import forked_keepers
import psutil
from search.thin import COMMAND

ROOT = Path(__file__).resolve().parents[2]
WILD = ROOT / "tests" / "workloads" / "wild"
COMMAND_S = 120.0
"""No command here needs a quarter of this on an idle machine; what takes longer hangs."""
GONE_S = 10.0
"""After kill -9 of the command its processes die when the kernel tells them: on a busy machine in seconds."""
MARK = forked_keepers.MARK

TRAINING = """\
import os, signal, sys, threading, time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
{setup}
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range({updates}):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 10)).square().mean()
    loss.backward()
    optimizer.step()
{loop}
"""


def training(*, setup: str = "", loop: str = "", updates: int = 300) -> str:
    """A small training; `setup` stands before the model, `loop` at the end of each update."""
    indented = "\n".join(f"    {line}" for line in loop.splitlines())
    return TRAINING.format(setup=setup, loop=indented, updates=updates)


BRIEF = 2
"""Updates of a script whose speed is no matter: too few to measure, so that it is started once only."""
TOO_FEW = 4
"""The exit code of a profile of it."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def last_line(self) -> str:
        return self.stderr.rstrip("\n").splitlines()[-1] if self.stderr.strip() else ""


@dataclass(kw_only=True)
class Desk:
    """A folder to work in, a folder for runs, and a mark on every process that starts here."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def scratch(self) -> list[str]:
        """What stands in the scratch folder."""
        folder = self.runs / f"scratch-{os.getuid()}"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def script(self, text: str, name: str = "train.py") -> str:
        self.project.mkdir(exist_ok=True)
        (self.project / name).write_text(text)
        return name

    def start(self, *words: object, prefix: Sequence[str] = (), thin: bool = False) -> subprocess.Popen[str]:
        """The command in a process group of its own, as a shell would start it; `thin`: with short windows."""
        self.project.mkdir(exist_ok=True)
        command = COMMAND if thin else (sys.executable, "-m", "advisor")
        return subprocess.Popen(
            [*prefix, *command, *map(str, words)],
            cwd=self.project,
            env={**os.environ, MARK: self.mark, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def advisor(self, *words: object, prefix: Sequence[str] = (), thin: bool = False, forks: bool = False) -> Ended:
        """The command and its end; `forks`: its scripts begin with torch imported."""
        if prefix:
            return ended(self.start(*words, prefix=prefix))
        self.project.mkdir(exist_ok=True)
        environment = {**os.environ, MARK: self.mark, **self.environment}
        done = forked.advisor(self.project, *words, limit_s=COMMAND_S, environment=environment, thin=thin, forks=forks)
        return Ended(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def profile(
        self,
        script: object,
        *words: object,
        options: Sequence[object] = (),
        thin: bool = False,
        forks: bool = True,
    ) -> Ended:
        """`advisor profile --json` with a short budget."""
        usual = ("profile", "--runs", self.runs, "--json", "--budget", "1")
        return self.advisor(*usual, *options, script, *words, thin=thin, forks=forks)

    def left(self) -> list[str]:
        """Processes that came from here and still live; waits a moment for those that are just being ended."""
        until = time.monotonic() + GONE_S
        while (found := self.alive()) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def alive(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and self._is_ours(process):
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        is_fork = Path(f"/proc/{process.pid}/comm").read_text().strip() == forked_keepers.name_of(self.mark)
        return is_fork or process.environ().get(MARK) == self.mark

    def end_all(self) -> None:
        """Whatever a failed test has left."""
        for line in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


def ended(process: subprocess.Popen[str]) -> Ended:
    """Waits for the end, at most two minutes."""
    try:
        stdout, stderr = process.communicate(timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"the command did not end within {COMMAND_S:.0f} s: {stderr[-2000:]}") from None
    return Ended(code=process.returncode, stdout=stdout, stderr=stderr)


def digests(*folders: Path) -> Mapping[str, str]:
    """SHA-256 of every file below, with its mode and time of change; folders and links by what they are."""
    return {str(path): _digest(path) for folder in folders for path in _walk(folder)}


def _walk(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*"))


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    seen = path.stat()
    if path.is_dir():
        return f"folder {seen.st_mode:o}"
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {seen.st_mode:o} {seen.st_mtime_ns}"
