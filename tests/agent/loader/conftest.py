"""What the tests of the loader share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock

from ..loader_kit import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    clock = StepClock()
    hooks = LoaderHooks(clock)
    hooks.install()
    yield Loop(hooks, clock)
    hooks.close()
