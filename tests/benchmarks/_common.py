"""What the benchmarks share: the machine they ran on, tables, and where results are kept."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from advisor.errors import INTERRUPTIONS, InterruptedByUserError, Terminated

Item = TypeVar("Item")
Row = TypeVar("Row")

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
RESULTS = HERE / "results"
INTERRUPTED = "**Interrupted after"
"""How a part begins that says so; what was interrupted before it had anything leaves an earlier result alone."""
APPLIED = re.compile(r"advisor: .*\.yaml: (settings|arguments|constants) ")
"""How the line begins in which `advisor run` lists what it applies."""
PACKAGES = ("advisor", "torch", "numpy", "pydantic", "rich", "typer")


def options(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-result", action="store_true", help="print the table only, keep results/ as it is")
    return parser


def machine() -> dict[str, str]:
    """Read before the first measurement: the load is that of others."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "accelerators": _accelerators(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "load average before": load,
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table that can be read as it is, too."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def publish(name: str, title: str, before: Mapping[str, str], parts: Sequence[str], *, keep: bool) -> None:
    """Prints the parts (paragraphs and tables), and writes them with the machine to results/NAME.md."""
    text = document(name, title, before, parts)
    print("\n" + text)
    if keep and not parts[0].startswith(f"{INTERRUPTED} 0 "):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text)
        print(f"written to {RESULTS / f'{name}.md'}", file=sys.stderr)


def document(name: str, title: str, before: Mapping[str, str], parts: Sequence[str]) -> str:
    """The page of a result: machine, command, and the parts."""
    about = {**before, "load average after": ", ".join(f"{value:.2f}" for value in os.getloadavg())}
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items())
    command = f"Command: `python {' '.join([f'tests/benchmarks/{Path(sys.argv[0]).name}', *sys.argv[1:]])}`"
    return "\n\n".join([f"# {title}", facts, command, *parts]) + "\n"


def collect(
    items: Iterable[Item], measure: Callable[[Item], Row], failed: Callable[[Item, str], Row]
) -> tuple[list[Row], str | None]:
    """What was measured of each item, and a sentence where Ctrl-C or SIGTERM ended it before all had their turn.

    One that fails is a row that says why; the others go on.
    """
    stoppable()
    wanted, rows = list(items), []
    for number, item in enumerate(wanted, 1):
        begin_s = time.monotonic()
        try:
            rows.append(measure(item))
        except (*INTERRUPTIONS, InterruptedByUserError):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what there is, is written
            say(f"interrupted after {len(rows)} of {len(wanted)}")
            return rows, f"{INTERRUPTED} {len(rows)} of {len(wanted)}.**"
        except (Exception, SystemExit) as error:
            say(f"failed: {error!r}")
            rows.append(failed(item, one_line(error)))
        say(f"[{number} of {len(wanted)}] took {time.monotonic() - begin_s:.0f} s")
    return rows, None


def one_line(error: BaseException, most: int = 160) -> str:
    """What fits a cell of a table."""
    text = " ".join(str(error).split()).replace("|", "/") or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"


def complaints(stderr: str) -> list[str]:
    """Return what `advisor run` said of settings that it gave up; it lists those that it applies, too."""
    said = [line for line in stderr.splitlines() if line.startswith("advisor:")]
    return [line for line in said if APPLIED.match(line) is None]


def stoppable() -> None:
    """SIGTERM becomes an exception, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(*_: Any) -> None:
    raise Terminated


def say(text: str) -> None:
    """Progress: to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def spread(values: Sequence[float], form: str = "{:.2f}", *, scale: float = 1.0) -> str:
    """`median (lowest … highest)`; of one value, that value."""
    scaled = [value * scale for value in values]
    if len(scaled) == 1:
        return form.format(scaled[0])
    return f"{form.format(statistics.median(scaled))} ({form.format(min(scaled))} … {form.format(max(scaled))})"


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerators() -> str:
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "none"
    return ", ".join(asked.stdout.split("\n")).strip(", ") or "none"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", "not installed"))  # found by PYTHONPATH
