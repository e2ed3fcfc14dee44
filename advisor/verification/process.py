"""One version of a script, and one fresh process of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import wire
from ..runtime.isolation import Isolation
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session import BASELINE_SETUP, Setup
from ..types import Command, Config
from ..types.comparison import Side, VersionRun
from .parity import Losses


@dataclass(frozen=True, kw_only=True)
class ScriptVersion:
    """One version of the script, and how it is run."""

    name: str
    """Name in messages: "the version before"."""
    side: Side
    command: Command
    isolation: Isolation
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    setup: Setup = BASELINE_SETUP
    """Part of `config` that its process starts with; the rest is set after the first updates."""
    samples_per_update: int | None = None
    """Samples per update, if they differ from the others': fewer updates then cover as many samples."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """Fresh process that ran to the end of its window."""

    run: VersionRun
    losses: Losses
    peak_bytes: int | None
    """Peak of the accelerator's memory if it used one, otherwise of the process's."""
    set_up_s: float | None
    wall_s: tuple[float, ...] = ()
    """Seconds of the counted updates; empty for a process of an earlier verification."""
    script_run: ScriptRunRecord | None = None
    """None for a process of an earlier verification."""

    @classmethod
    def of(cls, run: VersionRun, done: wire.WindowDone, script_run: ScriptRunRecord | None = None) -> Process:
        """Return what its window says of it."""
        return cls(
            run=run,
            losses=Losses.of(done),
            peak_bytes=peak_bytes(done),
            set_up_s=done.set_up_s,
            wall_s=tuple(done.wall_s),
            script_run=script_run,
        )


def peak_bytes(window: wire.WindowDone) -> int | None:
    """Return the accelerator's peak memory if the window used one, otherwise the process's."""
    return window.device_peak_bytes or window.host_peak_bytes or max(window.rss_bytes, default=0) or None
