"""Loss after 300 updates at the rate that `advisor lr` suggests, against the script's own.

    python tests/benchmarks/range_test.py [--seeds 1]

The script's rate is a good one, or that divided by 30, divided by 5, or five times as large. The good ones are those of
a grid of the same script (factors of 1.8). Both trainings have the same seed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from _common import SCRIPTS, machine, options, publish, say, table

SCRIPT = str(SCRIPTS / "digits_mlp.py")
GOOD = {"sgd": 0.3, "momentum": 0.06, "adam": 0.005}
CHANGED = {"÷ 30": 1 / 30, "÷ 5": 1 / 5, "good": 1.0, "× 5": 5.0}
STEPS = 300
LIMIT_S = 600


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    before, rows = machine(), []
    for optimizer, good in GOOD.items():
        for name, factor in CHANGED.items():
            for seed in range(arguments.seeds):
                words = [SCRIPT, "--optimizer", optimizer, "--lr", f"{good * factor:.3g}", "--seed", str(seed)]
                rows.append([optimizer, name, *row(words)])
                say(" ".join(map(str, rows[-1])))
    header = (
        "optimizer", "rate", "script's", "suggested", "interval", "updates of the test",
        "training loss, script's", "suggested", "validation loss, script's", "suggested",
    )  # fmt: skip
    parts = [f"Digits with an MLP, after {STEPS} updates:", table(header, rows)]
    publish("range_test", "Rates that `advisor lr` suggests", before, parts, keep=not arguments.no_result)


def row(words: list[str]) -> list[object]:
    """One range test, and a training at each of the two rates."""
    with tempfile.TemporaryDirectory(prefix="advisor-rates-") as folder:
        found = json.loads(called([sys.executable, "-m", "advisor", "lr", "--json", "--runs", folder, *words]))
    suggestion = found["suggestion"]
    own = losses([sys.executable, *words])
    if suggestion is None:
        return [f"{found['script_rate']:g}", "–", found["abstained"], found["updates"], own[0], own[0], own[1], own[1]]
    rate = f"learning_rate={suggestion['rate']:.3g}"
    new = losses([sys.executable, "-m", "advisor", "run", "--set", rate, *words])
    interval = f"{suggestion['low']:.2g} to {suggestion['high']:.2g}"
    rates = [f"{found['script_rate']:g}", f"{suggestion['rate']:.3g}", interval]
    return [*rates, found["updates"], own[0], new[0], own[1], new[1]]


def losses(argv: list[str]) -> list[str]:
    return called([*argv, "--steps", str(STEPS)]).split()[1:]


def called(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout


if __name__ == "__main__":
    main()
