"""Loop that waits for no value of the device: the script gets the last one known at the same place instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..types import Workload

READS = ("item", "cpu", "tolist", "bool", "float", "int", "print")
"""Traced calls that it can answer."""


def _applies(workload: Workload) -> str | None:
    return "a CPU's values are there already: reading one waits for nothing" if workload.device == "cpu" else None


def _worthwhile(calls: Collection[str]) -> str | None:
    return None if any(name in READS for name in calls) else "the trace shows no read of a value of the device"


WHAT_IF = WhatIf(
    id="no_sync",
    title="no waiting for values of the device",
    applies=_applies,
    worthwhile=_worthwhile,
    enter=lambda controls: controls.reads.answer(True),
    leave=lambda controls: controls.reads.answer(False),
    may_break=True,
)
