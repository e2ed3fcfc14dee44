"""What other tools advise for the same trainings, each pick timed by one neutral timer.

    python tests/benchmarks/peers.py [--python PATH] [--seconds 60]

`--python` is an interpreter that has loadtune 0.3.0 and pytorch-autotune 2.0.0 beside the packages of this one. Tools
that need a wrapper get one (scripts/peers/ask.py). Picks are turned into the same plain script's settings, applied by
hand in plain torch, and timed in fresh processes in turns; the first row of each workload is the script as written.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from _common import SCRIPTS, machine, options, publish, say, table

import advisor

FOLDER = SCRIPTS / "peers"
NAMES = ("images", "towers", "many_weights")
TOOLS = ("loadtune", "autotune", "lightning", "optuna")
NOT_CHANGED = {"fused_optimizer": "fused"}
LIMIT_S = 900


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--seconds", type=float, default=60.0, help="of search, where a tool takes a budget")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    before, rows = machine(), []
    for name in NAMES:
        picks: dict[str, tuple[dict[str, Any] | str, float]] = {"as written": ({}, 0.0)}
        for tool in ("advisor", *TOOLS):
            begin_s = time.perf_counter()
            pick = ours(name, arguments) if tool == "advisor" else ask(tool, name, arguments)
            picks[tool] = (pick, time.perf_counter() - begin_s)
            say(f"{name}: {tool} advises {pick}")
        rows += timed(name, picks, arguments)
    parts = [
        f"Budget {arguments.seconds:g} s where one can be given. Speed: median of {arguments.rounds} rounds of fresh"
        " processes over the script as written of the same round (lowest … highest).",
        table(("workload", "tool", "took, s", "advises", "speed"), rows),
    ]
    publish("peers", "What other tools advise", before, parts, keep=not arguments.no_result)


def ours(name: str, arguments: Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="advisor-peers-") as folder:
        found = advisor.tune(FOLDER / f"{name}.py", budget=arguments.seconds, runs=Path(folder), isolation="none")
    settings = found.recommendation.config.as_dict()
    return {
        NOT_CHANGED.get(knob, knob): True if knob == "fused_optimizer" else value for knob, value in settings.items()
    }


def ask(tool: str, name: str, arguments: Namespace) -> dict[str, Any] | str:
    words = [arguments.python, "ask.py", tool, name, str(arguments.seconds)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:100]}"
    pick: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return pick


def timed(name: str, picks: dict[str, tuple[dict[str, Any] | str, float]], arguments: Namespace) -> list[list[str]]:
    speeds: dict[str, list[float]] = {tool: [] for tool in picks}
    usable = [tool for tool, (pick, _took) in picks.items() if not isinstance(pick, str)]
    for number in range(arguments.rounds):
        rates = {}
        for tool in usable if number % 2 == 0 else reversed(usable):
            rates[tool] = rate(name, picks[tool][0])
        for tool in usable:
            speeds[tool].append(rates[tool] / rates["as written"])
    rows = []
    for tool, (pick, took_s) in picks.items():
        found = speeds[tool]
        said = f"{statistics.median(found):.2f} ({min(found):.2f} … {max(found):.2f})" if found else "–"
        words = pick if isinstance(pick, str) else ", ".join(f"{k}={v}" for k, v in pick.items()) or "as written"
        rows.append([name, tool, f"{took_s:.0f}", words, said])
    return rows


def rate(name: str, settings: dict[str, Any] | str) -> float:
    words = [sys.executable, f"{name}.py", "--settings", json.dumps(settings), "--seconds", "4"]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found: float = json.loads(done.stdout.strip().splitlines()[-1])["samples_per_s"]
    return found


if __name__ == "__main__":
    main()
