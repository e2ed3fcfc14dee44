"""A window with some of its updates left out of all columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from .. import wire


def without_updates(window: wire.WindowDone, places: Collection[int]) -> wire.WindowDone:
    """Return the window without the updates at these places."""
    if not places:
        return window

    def without(values: list[Any]) -> list[Any]:
        return [value for place, value in enumerate(values) if place not in places]

    return replace(
        window,
        wall_s=without(window.wall_s),
        phases_s={name: without(values) for name, values in window.phases_s.items()},
        off_step_s={name: without(values) for name, values in window.off_step_s.items()},
        micro_steps=without(window.micro_steps),
        samples=without(window.samples),
    )
