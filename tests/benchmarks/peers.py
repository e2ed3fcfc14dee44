"""What other tools advise for the same trainings, each pick timed by one neutral timer.

    python tests/benchmarks/peers.py [--python PATH] [--train-doctor PATH] [--seconds 45]
    python tests/benchmarks/peers.py towers                those workloads whose name contains one of the words

`--python` is an interpreter that has loadtune 0.3.0 and pytorch-autotune 2.0.0 beside the packages of this one, and
`--train-doctor` the command of train-doctor 0.2.0, which needs none of them; the others run in this interpreter. Tools
that are not installed are skipped, and their rows say so. Tools that need a wrapper get one (scripts/peers/ask.py).
Picks are turned into the same plain script's settings, applied by hand in plain torch, and timed in fresh processes in
turns; the first row of each workload is the script as written. Tools with the same pick share its processes. Ctrl-C
keeps what there is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _train_doctor
from _common import SCRIPTS, collect, machine, one_line, options, publish, say, spread, table

import advisor
from advisor import knobs
from advisor.errors import AdvisorError, InterruptedByUserError

FOLDER = SCRIPTS / "peers"
NAMES = ("images", "towers", "many_weights")
OWN_PYTHON = ("loadtune", "autotune")
"""Installed beside the others, as they are no dependency of the tests."""
TRAIN_DOCTOR = "train-doctor"
TOOLS = ("advisor", TRAIN_DOCTOR, *OWN_PYTHON, "lightning", "optuna")
SHOWN = {"autotune": "pytorch-autotune", "lightning": "Lightning's Tuner", "optuna": "Optuna, a process a trial"}
PACKAGES = {
    TRAIN_DOCTOR: "train-doctor",
    "loadtune": "loadtune",
    "autotune": "pytorch-autotune",
    "lightning": "lightning",
    "optuna": "optuna",
}
BASELINE = "as written"
TAKEN = (
    "num_workers",
    "persistent_workers",
    "prefetch_factor",
    "threads",
    "precision",
    "matmul_precision",
    "memory_format",
    "fused_optimizer",
    "compile",
)
"""Knobs whose settings the timer's script can take."""
LIMIT_S = 420
Pick = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool said, and how long it took."""

    tool: str
    pick: Pick | None = None
    seconds: float = 0.0
    failure: str | None = None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all are run")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help=f"of {', '.join(OWN_PYTHON)}")
    parser.add_argument("--train-doctor", default=TRAIN_DOCTOR, metavar="PATH")
    parser.add_argument("--seconds", type=float, default=45.0, help="of search, where a tool takes a budget")
    parser.add_argument("--timed", type=float, default=2.0, help="seconds counted of a pick, after as long a warm-up")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    before = machine()
    wanted = [name for name in NAMES if not arguments.words or any(word in name for word in arguments.words)]
    found, interrupted = collect(
        wanted, lambda name: measure(name, arguments), lambda name, why: [[name, "–", "–", f"FAILED: {why}", "–"]]
    )
    parts = [
        *([interrupted] if interrupted else []),
        f"Budget {arguments.seconds:g} s where one can be given; advisor's goes for searching and verifying, with"
        f" the knobs that the timer's script can take ({', '.join(TAKEN)}). Speed: samples a second, counted for"
        f" {arguments.timed:g} s after as long a warm-up, in fresh processes in turns, over the script as written of"
        f" the same round: median (lowest … highest) of {arguments.rounds} rounds.",
        f"A larger batch is another training: its speed says nothing of its loss. Versions: {versions(arguments)}.",
        table(("workload", "tool", "took, s", "advises", "speed"), [row for rows in found for row in rows]),
    ]
    publish("peers", "What other tools advise", before, parts,
            keep=not arguments.no_result and len(wanted) == len(NAMES))  # fmt: skip


def measure(name: str, arguments: Namespace) -> list[list[str]]:
    answers = [Answer(tool=BASELINE, pick={})]
    for tool in TOOLS:
        answers.append(answer_of(tool, name, arguments))
        say(f"{name}: {tool} advises {answers[-1].pick}, {answers[-1].failure or ''} {answers[-1].seconds:.0f} s")
    speeds = timed(name, [answer.pick for answer in answers if answer.pick is not None], arguments)
    return [
        [
            name,
            SHOWN.get(answer.tool, answer.tool),
            f"{answer.seconds:.0f}",
            told(answer),
            "–" if answer.pick is None else speeds[key_of(answer.pick)],
        ]
        for answer in answers
    ]


def answer_of(tool: str, name: str, arguments: Namespace) -> Answer:
    missing = lacking(tool, arguments)
    if missing:
        return Answer(tool=tool, failure=f"SKIPPED: {missing}")
    begin_s = time.perf_counter()
    try:
        match tool:
            case "advisor":
                pick = ours(name, arguments)
            case "train-doctor":
                pick = _train_doctor.pick(arguments.train_doctor, FOLDER / f"{name}.py")
            case _:
                pick = ask(tool, name, arguments)
    except (AdvisorError, subprocess.TimeoutExpired, ValueError) as error:
        if isinstance(error, InterruptedByUserError):
            raise
        return Answer(tool=tool, failure=one_line(error, 100), seconds=time.perf_counter() - begin_s)
    return Answer(tool=tool, pick=pick, seconds=time.perf_counter() - begin_s)


def ours(name: str, arguments: Namespace) -> Pick:
    """What `advisor tune` recommends after it has verified it."""
    with tempfile.TemporaryDirectory(prefix="advisor-peers-") as folder:
        found = advisor.tune(
            FOLDER / f"{name}.py",
            budget=arguments.seconds,
            no_knobs=[knob.id for knob in knobs.all_knobs() if knob.id not in TAKEN],
            runs=Path(folder),
            isolation="none",
        )
    return plain(found.recommendation.config.as_dict())


def plain(settings: Mapping[str, Any]) -> Pick:
    """Name settings of advisor as the timer's script takes them: a form of the optimizer is a name of its own."""
    others = {name: value for name, value in settings.items() if name != "fused_optimizer"}
    form = settings.get("fused_optimizer")
    return {**others, **({str(form): True} if form is not None else {})}


def ask(tool: str, name: str, arguments: Namespace) -> Pick:
    python = arguments.python if tool in OWN_PYTHON else sys.executable
    words = [python, "ask.py", tool, name, str(arguments.seconds)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise ValueError(f"failed: {(done.stderr.strip().splitlines() or ['nothing on stderr'])[-1]}")
    pick: Pick = json.loads(done.stdout.strip().splitlines()[-1])
    return pick


def versions(arguments: Namespace) -> str:
    found = [(package, installed(tool, arguments)) for tool, package in PACKAGES.items()]
    return ", ".join(f"{package} {version or 'not installed'}" for package, version in found)


def lacking(tool: str, arguments: Namespace) -> str | None:
    """Say which package a tool misses where it would run."""
    package = PACKAGES.get(tool)
    return None if package is None or installed(tool, arguments) else f"{package} is not installed"


def installed(tool: str, arguments: Namespace) -> str | None:
    """Return the version of a tool where it would run; None where it is not installed."""
    if tool == TRAIN_DOCTOR:
        return _train_doctor.version(arguments.train_doctor)
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    words = [arguments.python if tool in OWN_PYTHON else sys.executable, "-c", code, PACKAGES[tool]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def key_of(pick: Pick) -> str:
    """What tells picks apart: a setting that is off is none."""
    return json.dumps({name: value for name, value in sorted(pick.items()) if value not in (None, False)})


def told(answer: Answer) -> str:
    if answer.pick is None:
        return answer.failure or "nothing"
    return ", ".join(f"{name}={value}" for name, value in answer.pick.items()) or BASELINE


def timed(name: str, picks: Sequence[Pick], arguments: Namespace) -> dict[str, str]:
    """Key of a pick → its speed over the first pick's; one that the plain script cannot run says so."""
    different = {key_of(pick): pick for pick in picks}
    ratios: dict[str, list[float]] = {key: [] for key in different}
    failed: dict[str, str] = {}
    first = key_of(picks[0])
    for number in range(arguments.rounds):
        rates = {}
        for key in list(different) if number % 2 == 0 else list(reversed(different)):
            if key in failed:
                continue
            try:
                rates[key] = rate(name, different[key], arguments.timed)
            except (subprocess.SubprocessError, ValueError) as error:
                failed[key] = f"FAILED: {one_line(error, 60)}"
        for key, found in rates.items():
            ratios[key].append(found / rates[first])
        say(f"{name}: " + ", ".join(f"{rate:.0f}" for rate in rates.values()) + " samples/s")
    return {key: failed.get(key) or spread(found) for key, found in ratios.items()}


def rate(name: str, settings: Pick, seconds: float) -> float:
    words = [sys.executable, f"{name}.py", "--settings", json.dumps(settings), "--seconds", str(seconds)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found: float = json.loads(done.stdout.strip().splitlines()[-1])["samples_per_s"]
    return found


if __name__ == "__main__":
    main()
