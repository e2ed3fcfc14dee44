"""Loop that runs on batches it has seen already: no loader work, no waiting, no worker beside it."""

from __future__ import annotations

from ._base import WhatIf, without_loader

REMEMBERED = 4
"""Number of real batches fetched before the first is seen again."""


WHAT_IF = WhatIf(
    id="no_data_wait",
    title="no waiting for data",
    applies=without_loader,
    enter=lambda controls: controls.loaders.replay(True),
    leave=lambda controls: controls.loaders.replay(False),
    settle_updates=REMEMBERED,
)
