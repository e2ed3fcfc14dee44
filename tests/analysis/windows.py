"""Windows and results as a session would bring them back, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence

from advisor import wire
from advisor.runtime.session_result import SessionResult


def done(
    name: str,
    wall_s: Sequence[float],
    *,
    start_s: float = 0.0,
    evaluation_s: Sequence[float] | None = None,
    samples: int | None = 8,
    micro_steps: int = 1,
    extra: dict[str, object] | None = None,
) -> wire.WindowDone:
    """A window whose updates are half forward and half backward, with what is given beside them."""
    beside = list(evaluation_s or [0.0] * len(wall_s))
    inside = [wall - off for wall, off in zip(wall_s, beside, strict=True)]
    return wire.WindowDone(
        rank=0,
        id=name,
        start_s=start_s,
        wall_s=list(wall_s),
        phases_s={
            "data_wait": [0.0] * len(inside),
            "host_to_device": [0.0] * len(inside),
            "forward": [value / 2 for value in inside],
            "backward": [value / 2 for value in inside],
            "optimizer": [0.0] * len(inside),
            "other": [0.0] * len(inside),
        },
        off_step_s={
            "evaluation": beside,
            "checkpoint": [0.0] * len(inside),
            "logging": [0.0] * len(inside),
            "loader_restart": [0.0] * len(inside),
        },
        micro_steps=[micro_steps] * len(inside),
        samples=[samples] * len(inside),
        samples_from="indices" if samples is not None else "not known",
        losses=[1.0] * len(inside),
        dropped_updates=3,
        extra=dict(extra or {}),
    )


def result(*windows: tuple[wire.Window, wire.WindowDone | wire.WindowRefused, int]) -> SessionResult:
    """Windows with their outcomes and the life they were run in, in the order they were run."""
    found = SessionResult()
    for window, outcome, script_run in windows:
        found.windows[window.id] = window
        found.outcomes[window.id] = outcome
        found.script_run_of[window.id] = script_run
    return found


def base(
    name: str, at: float, wall_s: Sequence[float], script_run: int = 0, *, samples: int | None = 8
) -> tuple[wire.Window, wire.WindowDone, int]:
    return (
        wire.Window(id=name, role=wire.WindowRole.BASELINE),
        done(name, wall_s, start_s=at, samples=samples),
        script_run,
    )
