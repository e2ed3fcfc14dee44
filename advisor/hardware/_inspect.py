"""Complete inspection of the machine, as `advisor hardware` and `advisor.hardware()` show it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from ..types import Hardware
from ._probe import probe
from .calibrate import calibrate as measured
from .problems import setup_problems


def inspect_machine(*, calibrate: bool = False, python: str | None = None) -> Hardware:
    """Inspect this machine: what it has, what of it may be used, and what is set up wrong.

    `python` is the interpreter whose torch is inspected (default: this one), which takes as long as importing torch.
    With `calibrate`, the peaks are measured (about 15 s on two cores) and kept in the cache folder. Raises
    CalibrationError if they cannot be measured.
    """
    interpreter = python or sys.executable
    found = probe(folder=Path.cwd(), interpreter=interpreter)
    if calibrate:
        found = measured(found, interpreter=interpreter, cache_folder=cache_folder())
    return replace(found, problems=setup_problems(found))


def cache_folder() -> Path:
    """Return the folder that keeps measured peaks: `$XDG_CACHE_HOME/advisor`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "advisor"
