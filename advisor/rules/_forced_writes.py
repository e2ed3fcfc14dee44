"""Lines that force files to the disk (`os.fsync`): a checkpoint's where something is saved there, a log's otherwise."""

from __future__ import annotations

from ..types import Evidence, HotLine
from ._read import beside_share, loop_lines

FORCES = "sync("
"""Part of the text of such a line: `os.fsync(f.fileno())`, `os.fdatasync(…)`, `os.sync()`."""
SAVES_SHARE = 0.02
"""Share of the loop in saving from which what is forced to the disk may be the saved file."""


def checkpoint_lines(evidence: Evidence) -> tuple[HotLine, ...]:
    """Return the lines that write checkpoints."""
    lines = loop_lines(evidence, ("checkpoint",))
    saved = beside_share(evidence, "checkpoint") or 0.0
    saves = saved >= SAVES_SHARE or any(FORCES not in line.text for line in lines)
    return lines if saves else ()


def logging_lines(evidence: Evidence) -> tuple[HotLine, ...]:
    """Return the lines that write logs; a file that is forced to the disk while nothing is saved is one."""
    if checkpoint_lines(evidence):
        return loop_lines(evidence, ("logging",))
    return loop_lines(evidence, ("logging", "checkpoint"))
