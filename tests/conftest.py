"""What all tests share: nothing is kept outside of pytest's own folders, whoever runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_state_and_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs and measured peaks of the person at the keyboard are neither read nor added to, in children either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # Threads that wait actively for each other make steps ten times longer where tests share the CPUs.
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
