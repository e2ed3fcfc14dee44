"""Compiled code run eagerly: it shows what the script's own torch.compile gains or costs once it has compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    return None if workload.facts.compiled_code else "the script compiles nothing"


WHAT_IF = WhatIf(
    id="no_compile",
    title="no torch.compile",
    applies=_applies,
    enter=lambda controls: controls.run_eagerly(True),
    leave=lambda controls: controls.run_eagerly(False),
    may_break=True,
    eager=True,
)
