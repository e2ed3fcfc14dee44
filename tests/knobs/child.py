"""Cases in a process of their own: what a knob leaves behind must not reach the next test."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import forked


def says(folder: Path, *code: str, limit_s: float) -> str:
    """What these pieces of code print, one behind the other; every warning in them is an error."""
    (folder / "case.py").write_text("".join(map(textwrap.dedent, code)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = forked.run(folder, "case.py", limit_s=limit_s, environment=environment, strict=True)
    assert done.code == 0, (done.code, done.err)
    return done.out.strip()
