"""Cases in a process of their own: what a knob leaves behind must not reach the next test."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def says(folder: Path, *code: str, limit_s: float) -> str:
    """What these pieces of code print, one behind the other; every warning in them is an error."""
    (folder / "case.py").write_text("".join(map(textwrap.dedent, code)))
    done = subprocess.run(
        [sys.executable, "-W", "error", "case.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
