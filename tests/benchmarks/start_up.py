"""How long it takes to begin: `advisor --help`, a script with the agent beside it, and a script in a view.

    python tests/benchmarks/start_up.py [--calls 20] [--pairs 15] [--views 15]

A script that imports torch and ends is started bare and with the agent, in turn, the order reversed from pair to pair.
The agent's end of the channel is real; the copy-on-write view, which is not the agent, is measured by itself: a
program that says its time is started bare and at each level of isolation, in turn, in a project of 200 files.
"""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _common import HERE, SCRIPTS, machine, options, publish, say, spread, table

import advisor
from advisor import wire
from advisor.errors import IsolationError
from advisor.runtime.bootstrap_file import BOOTSTRAP
from advisor.runtime.channel import ControllerChannel
from advisor.runtime.isolation import Isolation
from advisor.runtime.isolation.promises import Level
from advisor.runtime.processes import start

sys.path.insert(0, str(HERE.parent))
from runtime.levels import isolation_at
from runtime.plain_user import as_plain_user

SCRIPT = SCRIPTS / "import_torch.py"
LIMIT_S = 120
SAYS_ITS_TIME = [sys.executable, "-ISE", "-c", "import time; print(time.time())"]
VIEWED_FILES = 200
VIEWED_FILE_BYTES = 20 << 10
HEAVY = ("torch", "optuna", "sklearn", "numpy", "pydantic", "rich", "jinja2", "psutil", "pynvml", "yaml")


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds since the process was asked for."""

    first_line_s: float
    torch_there_s: float
    ended_s: float


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=20, help="of `advisor --help`")
    parser.add_argument("--pairs", type=int, default=15, help="of the script, bare and with the agent")
    parser.add_argument("--views", type=int, default=15, help="at each level of isolation")
    parser.add_argument("--only-views", action="store_true", help="print what levels of isolation add, as this user")
    arguments = parser.parse_args()
    if arguments.only_views:
        print("\n\n".join(views(arguments)))
        return
    before = machine()
    # As pip leaves it. In a checkout, and where PYTHONDONTWRITEBYTECODE is set, every start would compile it anew.
    compileall.compile_dir(Path(advisor.__file__).parent, quiet=2)
    publish(
        "start_up",
        "Starting",
        before,
        [
            "Median (lowest … highest).",
            *command_line(arguments),
            *agent(arguments),
            *views(arguments),
            *views_of_a_plain_user(arguments),
        ],
        keep=not arguments.no_result,
    )


def command_line(arguments: Namespace) -> list[str]:
    rows = []
    for name, words in (
        ("advisor --help", [sys.executable, "-m", "advisor", "--help"]),
        ("python -c pass", [sys.executable, "-c", "pass"]),
    ):
        wall_call([*words])  # once to warm the disk's cache
        walls = [wall_call(words) for _ in range(arguments.calls)]
        say(f"{name}: {spread(walls, '{:.0f}', scale=1e3)} ms")
        rows.append([name, arguments.calls, spread(walls, "{:.0f}", scale=1e3)])
    loaded = heavy_modules()
    return [
        table(["command", "calls", "wall time, ms"], rows),
        f"Loaded by `advisor --help`, of {', '.join(HEAVY)}: {', '.join(loaded) if loaded else 'none'}.",
    ]


def agent(arguments: Namespace) -> list[str]:
    pairs: list[tuple[Start, Start]] = []
    with tempfile.TemporaryDirectory(prefix="advisor-start-") as name:
        folder = Path(name)
        start_bare(folder), start_with_agent(folder)
        for number in range(arguments.pairs):
            if number % 2:
                beside, bare = start_with_agent(folder), start_bare(folder)
            else:
                bare, beside = start_bare(folder), start_with_agent(folder)
            pairs.append((bare, beside))
            say(f"first line after {bare.first_line_s * 1e3:.0f} ms, {beside.first_line_s * 1e3:.0f} ms with the agent")
    rows = []
    for label, field in (
        ("the script's first line", "first_line_s"),
        ("torch is imported", "torch_there_s"),
        ("the process has ended", "ended_s"),
    ):
        bare_s = [getattr(bare, field) for bare, _ in pairs]
        beside_s = [getattr(beside, field) for _, beside in pairs]
        added_s = [with_agent - alone for alone, with_agent in zip(bare_s, beside_s, strict=True)]
        rows.append([label, *(spread(values, "{:.0f}", scale=1e3) for values in (bare_s, beside_s, added_s))])
    return [
        f"A script that imports torch and ends, {len(pairs)} pairs of fresh processes in turn:",
        table(["until", "bare, ms", "with the agent, ms", "the agent adds, ms (by pair)"], rows),
    ]


def views(arguments: Namespace) -> list[str]:
    """What a level of isolation adds to each start of the script: the keeper, its view, and their end."""
    added_s: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="advisor-start-") as name:
        project, logs = Path(name) / "project", Path(name) / "logs"
        logs.mkdir()
        for number in range(VIEWED_FILES):
            folder, ending = ("package", "py") if number % 4 else ("results", "json")
            file = project / f"{folder}_{number % 10}" / f"part_{number}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(VIEWED_FILE_BYTES))
        levels = {}
        for level in Level:
            try:
                levels[level.value] = isolation_at(level, project, Path(name) / "scratch")
            except IsolationError as error:
                say(f"{level.value}: {error}")
        for number in range(arguments.views + 1):
            bare = timed(lambda: bare_start(project))
            for label, isolation in levels.items():
                viewed = timed(lambda isolation=isolation: start_in_view(isolation, logs))  # type: ignore[misc]  # bound at once
                if number:  # the first fills the caches
                    pair = (viewed[0] - bare[0], viewed[1] - bare[1])
                    added_s.setdefault(label, []).append(pair)
    rows = []
    for label, pairs in added_s.items():
        columns = [spread([pair[side] for pair in pairs], "{:.0f}", scale=1e3) for side in (0, 1)]
        say(f"{label}: {columns[0]} ms")
        rows.append([label, len(pairs), *columns])
    user = "root" if os.getuid() == 0 else "a plain user"
    return [
        f"What a level of isolation adds to a start as {user}, in a project of {VIEWED_FILES} files with "
        f"{VIEWED_FILES * VIEWED_FILE_BYTES >> 20} MiB:",
        table(["level", "starts", "until the first line, ms", "until all is removed, ms"], rows),
    ]


def views_of_a_plain_user(arguments: Namespace) -> list[str]:
    """The same as another user, if this one is root: its views are made in another way."""
    if os.getuid() != 0:
        return []
    with tempfile.TemporaryDirectory(prefix="advisor-user-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        home = Path(name) / "home"
        home.mkdir()
        words, environment = as_plain_user(
            [sys.executable, __file__, "--only-views", "--views", str(arguments.views)], home
        )
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S)
    return [done.stdout.strip() if done.returncode == 0 else f"As a plain user: not measured (exit {done.returncode})."]


def timed(run: Callable[[], str]) -> tuple[float, float]:
    """Seconds until the program's first line and until everything has ended."""
    begun = time.time()
    said = run()
    return float(said) - begun, time.time() - begun


def bare_start(project: Path) -> str:
    done = subprocess.run(SAYS_ITS_TIME, cwd=project, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    return done.stdout


def start_in_view(isolation: Isolation, logs: Path) -> str:
    with (
        isolation.prepare(isolation.project, writable=[logs]) as view,
        start(SAYS_ITS_TIME, cwd=view.cwd, env=os.environ, logs=logs, view=view) as process,
    ):
        if process.wait(LIMIT_S) != 0:
            raise SystemExit(f"the program failed in its view: {process.stderr.tail()}")
    return (logs / "script.stdout").read_text()


def wall_call(words: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT_S)
    return time.perf_counter() - begun


def heavy_modules() -> list[str]:
    code = (
        "import json, sys, advisor.cli.main\nsys.argv = ['advisor', '--help']\n"
        "try: advisor.cli.main.main()\nexcept SystemExit: pass\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def start_bare(folder: Path) -> Start:
    return run_to_its_end([sys.executable, str(SCRIPT)], folder)


def start_with_agent(folder: Path) -> Start:
    with ControllerChannel(folder) as channel:
        spec = wire.LaunchSpec(
            version=wire.WIRE_VERSION,
            socket=str(channel.path),
            token=channel.token,
            target=str(SCRIPT),
            is_module=False,
            args=[],
        )
        path = folder / "life.json"
        path.write_text(json.dumps(asdict(spec)))
        start = run_to_its_end([sys.executable, str(BOOTSTRAP), str(path)], folder)
        reasons = []
        while (message := channel.receive(0.0)) is not None:
            if isinstance(message, wire.Goodbye):
                reasons.append(message.reason)
    if reasons != ["finished"]:
        raise SystemExit(f"the agent said {reasons or 'no'} goodbye: what it costs was not measured")
    return start


def run_to_its_end(words: Sequence[str], folder: Path) -> Start:
    begun = time.time()  # the clock that the child shares
    done = subprocess.run(
        words, cwd=folder, env=os.environ, capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    ended = time.time()
    first_line, torch_there, _version = done.stdout.split()
    return Start(
        first_line_s=float(first_line) - begun, torch_there_s=float(torch_there) - begun, ended_s=ended - begun
    )


if __name__ == "__main__":
    main()
