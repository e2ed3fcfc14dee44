"""Is there a verdict on updates of any length, with the default budget or with the one that the report advises?

    python tests/benchmarks/update_lengths.py [--updates 0.2 0.5 1 3 10 30]

Scripts that wait for data 60% of each update must be told so, and scripts that compute 97% of it that they do. Their
updates are pauses, so that all are profiled at the same time. Where nothing is decided, the command that the report
gives is run, once.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from _common import SCRIPTS, machine, options, publish, say, table

import advisor
from advisor.report.profile.headline import verdict_of
from advisor.types import Profile

SCRIPT = SCRIPTS / "long_updates.py"
UPDATES_S = (0.2, 0.5, 1.0, 3.0, 10.0, 30.0)
RIGHT = {
    0.6: ("waits for its disk or network",),
    0.03: ("is forward and backward", "No avoidable cost was found"),
}
"""Part of an update in which data is awaited → what may then be said."""
LIMIT_S = 3600


@dataclass(frozen=True, kw_only=True)
class Told:
    update_s: float
    wait: float
    profiles: tuple[Profile, ...]
    """The default one, and the advised one if the first decided nothing."""
    seconds: float

    @property
    def sentence(self) -> str:
        return verdict_of(self.profiles[-1]).sentence

    @property
    def right(self) -> bool:
        return decides(self.wait, self.sentence)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--updates", type=float, nargs="+", default=UPDATES_S, metavar="SECONDS")
    arguments = parser.parse_args()
    before = machine()
    wanted = list(product(arguments.updates, RIGHT))
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(lambda one: told(*one), wanted))
    header = ("update, s", "waits", "budget", "updates counted", "right", "seconds", "what is said")
    summary = f"{sum(one.right for one in found)} of {len(found)} verdicts are right. All ran at the same time."
    publish(
        "update_lengths",
        "Verdicts on updates of any length",
        before,
        [summary, table(header, [cells(one) for one in found])],
        keep=not arguments.no_result,
    )


def told(update_s: float, wait: float) -> Told:
    begin_s = time.monotonic()
    profiles = [profiled(update_s, wait, [])]
    if not decides(wait, verdict_of(profiles[0]).sentence):
        words = shlex.split(verdict_of(profiles[0]).next_command)
        if words[1] == "profile":
            profiles.append(profiled(update_s, wait, words[2 : words.index(str(SCRIPT))]))
    found = Told(update_s=update_s, wait=wait, profiles=tuple(profiles), seconds=time.monotonic() - begin_s)
    say(f"{update_s:g} s, waits {wait:.0%}: {found.sentence}")
    return found


def decides(wait: float, sentence: str) -> bool:
    return any(words in sentence for words in RIGHT[wait])


def profiled(update_s: float, wait: float, budget: list[str]) -> Profile:
    with tempfile.TemporaryDirectory(prefix="advisor-lengths-") as name:
        folder = Path(name)
        (folder / "project").mkdir()
        command = [sys.executable, "-m", "advisor", "profile", "--json", "--runs", str(folder / "runs"), *budget]
        done = subprocess.run(
            [*command, str(SCRIPT), f"--update={update_s}", f"--wait={wait}"],
            cwd=folder / "project",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"advisor profile ended with {done.returncode}:\n{done.stderr[-2000:]}")
        (run,) = (folder / "runs").glob("2*")
        profile = advisor.load_run(run)
        assert isinstance(profile, Profile)
        return profile


def cells(one: Told) -> list[str]:
    last = one.profiles[-1]
    budget = "default" if len(one.profiles) == 1 else f"default, then {last.budget_s:.0f} s"
    counted = str(last.steps.updates) if last.steps is not None else "0"
    right = "yes" if one.right else "no"
    return [f"{one.update_s:g}", f"{one.wait:.0%}", budget, counted, right, f"{one.seconds:.0f}", one.sentence]


if __name__ == "__main__":
    main()
