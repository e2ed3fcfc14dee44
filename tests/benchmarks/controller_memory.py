"""The most memory that the controller uses, whatever the script prints.

    python tests/benchmarks/controller_memory.py [--mib 0 1024]

The peak is the kernel's own figure (VmHWM) of the process of `advisor profile`, read as its last act; the script's
processes are not part of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from _common import SCRIPTS, machine, options, publish, say, table

SCRIPT = SCRIPTS / "loud.py"
PRINTED_MIB = (0, 64, 1024)
LIMIT_S = 600
ASK = """
import atexit, sys
from pathlib import Path
def tell(out=sys.argv.pop(1)):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path(out).write_text(status["VmHWM"].split()[0])
atexit.register(tell)
from advisor.cli.main import main
main()
"""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--mib", type=int, nargs="+", default=PRINTED_MIB, help="what the script prints")
    arguments = parser.parse_args()
    before = machine()
    rows = []
    for mib in arguments.mib:
        peak_mib, kept_mib = profile(mib)
        say(f"{mib} MiB printed: peak {peak_mib:.0f} MiB")
        rows.append([mib, f"{peak_mib:.1f}", f"{kept_mib:.2f}"])
    header = ("printed, MiB", "peak of the controller, MiB", "kept of the output, MiB")
    parts = [
        "Default `advisor profile` of a script that prints in its first updates and trains on:",
        table(header, rows),
    ]
    publish("controller_memory", "Memory of the controller", before, parts, keep=not arguments.no_result)


def profile(mib: int) -> tuple[float, float]:
    """The controller's peak, and what is kept of the output, in MiB."""
    with tempfile.TemporaryDirectory(prefix="advisor-memory-") as name:
        folder = Path(name)
        (folder / "project").mkdir()
        peak = folder / "peak"
        words = ["profile", "--runs", str(folder / "runs"), str(SCRIPT)]
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(peak), *words, f"--mib={mib}"],
            cwd=folder / "project",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"advisor profile ended with {done.returncode}:\n{done.stderr[-2000:]}")
        logs = [*(folder / "runs").rglob("life-*.stdout"), *(folder / "runs").rglob("life-*.stderr")]
        if f"printed {mib} MiB" not in "".join(log.read_text(errors="replace") for log in logs):
            raise SystemExit(f"the script has not printed its {mib} MiB before the profile ended")
        return int(peak.read_text()) / 1024, sum(log.stat().st_size for log in logs) / 2**20


if __name__ == "__main__":
    main()
